//! Goes through one block, series by series and chunk by chunk, and checks everything on the way.
//!
//! A walk and no callback, so that the series of several blocks, or of a block and something else, can be taken side by side. Damage
//! does not end it: whoever wants to know all that is wrong goes on, and is told what is left.

use std::borrow::BorrowMut;
use std::ops::RangeInclusive;

use emberkeep_model::{Labels, SeriesRuns};

use super::reader::append_kept;
use crate::error::corrupt;
use crate::index::SeriesEntry;
use crate::{BlockReader, BlockStats, ChunkMeta, TsdbError};

/// A walk through a block that it owns or borrows. Holds 4 bytes per posting, and one chunk.
#[derive(Debug)]
pub struct BlockWalk<B = BlockReader> {
    reader: B,
    /// What is wrong with the postings, until it is told.
    damage: Option<TsdbError>,
    postings: Postings,
    position: usize,
    series: Option<SeriesEntry>,
    chunk: usize,
    deleted: Vec<RangeInclusive<i64>>,
    stored: SeriesRuns,
    last_labels: Option<Labels>,
    last_reference: u64,
    stats: BlockStats,
    span: Option<(i64, i64)>,
    state: State,
}

/// The lists of the index, and how far the series have gone through each.
#[derive(Debug, Default)]
struct Postings {
    lists: Vec<Vec<u32>>,
    seen: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All that was seen is as it should be.
    Whole,
    /// Something is wrong, and what follows from it is not told again.
    Damaged,
    /// There is nothing more.
    Ended,
}

impl<B: BorrowMut<BlockReader>> BlockWalk<B> {
    /// Begins before the first series.
    pub fn new(mut reader: B) -> Self {
        let block: &mut BlockReader = reader.borrow_mut();
        let stats = BlockStats {
            num_tombstones: block.tombstones.len() as u64,
            ..BlockStats::default()
        };
        let (postings, damage) = match Postings::read(block) {
            Ok(postings) => (postings, None),
            Err(error) => (Postings::default(), Some(error)),
        };
        Self {
            reader,
            damage,
            postings,
            position: 0,
            series: None,
            chunk: 0,
            deleted: Vec::new(),
            stored: SeriesRuns::default(),
            last_labels: None,
            last_reference: 0,
            stats,
            span: None,
            state: State::Whole,
        }
    }

    /// The block.
    pub fn reader(&self) -> &BlockReader {
        self.reader.borrow()
    }

    /// What was found so far; all of the block once [`BlockWalk::next_series`] has said that there is no more.
    pub fn stats(&self) -> BlockStats {
        self.stats
    }

    /// Times of the first and the last sample that was seen, of deleted ones too.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// The series at which the walk stands.
    pub fn series(&self) -> Option<&SeriesEntry> {
        self.series.as_ref()
    }

    /// Goes to the next series, past chunks that were not asked for; false at the end. After an error it can be called again: the walk
    /// goes on behind what is damaged.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`] when the order of series, their postings, or at the end the counts are not what they must be; else as
    /// [`BlockReader::series`].
    pub fn next_series(&mut self) -> Result<bool, TsdbError> {
        let mut passed = SeriesRuns::default();
        while self.next_chunk(&mut passed)? {
            passed.clear();
        }
        if let Some(series) = self.series.take() {
            self.last_labels = Some(series.labels);
        }
        if let Some(error) = self.damage.take() {
            return Err(self.broken(error));
        }
        let block: &BlockReader = self.reader.borrow();
        if self.position >= block.series_count() {
            return self.end().map(|()| false);
        }
        let id = block.index.ids()[self.position];
        self.position += 1;
        let series = match block.index.series(id) {
            Ok(series) => series,
            Err(error) => return Err(self.broken(error)),
        };
        self.deleted = block.tombstones.of_series(id).to_vec();
        if let Err(error) = self.check(&series) {
            return Err(self.broken(error));
        }
        self.stats.num_series += 1;
        self.stats.num_chunks += series.chunks.len() as u64;
        (self.series, self.chunk) = (Some(series), 0);
        Ok(true)
    }

    /// Appends what is left of the next chunk of the series; false when it has no more. After an error the next call goes on with the
    /// chunk behind, and `runs` is as it was.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`] when a chunk does not cover the time that the index says, or lies outside of the block; else as
    /// [`BlockReader::chunk_samples`].
    pub fn next_chunk(&mut self, runs: &mut SeriesRuns) -> Result<bool, TsdbError> {
        let Some(chunk) = self.series.as_ref().and_then(|series| series.chunks.get(self.chunk)) else {
            return Ok(false);
        };
        let chunk = *chunk;
        self.chunk += 1;
        self.last_reference = chunk.reference;
        if let Err(error) = self.read(&chunk) {
            return Err(self.broken(error));
        }
        let (first, last) = self.span.unwrap_or((chunk.min_time, chunk.max_time));
        self.span = Some((first.min(chunk.min_time), last.max(chunk.max_time)));
        self.stats.num_float_samples += self.stored.samples.len() as u64;
        self.stats.num_histogram_samples += self.stored.histograms.len() as u64;
        if self.deleted.is_empty() {
            runs.append(&self.stored);
        } else {
            append_kept(&self.stored, &self.deleted, runs);
        }
        Ok(true)
    }

    fn read(&mut self, chunk: &ChunkMeta) -> Result<(), TsdbError> {
        self.stored.clear();
        let block: &mut BlockReader = self.reader.borrow_mut();
        block.stored_samples(chunk, &mut self.stored)?;
        let labels = || {
            self.series
                .as_ref()
                .map_or(String::new(), |series| series.labels.to_string())
        };
        if self.stored.time_span() != Some((chunk.min_time, chunk.max_time)) {
            let labels = labels();
            return Err(self.damaged(format!(
                "a chunk of series `{labels}` does not cover the time that the index says"
            )));
        }
        let meta = &self.reader().meta;
        if chunk.min_time < meta.min_time || chunk.max_time >= meta.max_time {
            let labels = labels();
            return Err(self.damaged(format!("samples of series `{labels}` are outside the block")));
        }
        Ok(())
    }

    /// Order and postings of a series.
    fn check(&mut self, series: &SeriesEntry) -> Result<(), TsdbError> {
        let labels = &series.labels;
        if labels.is_empty() || self.last_labels.as_ref().is_some_and(|last| labels <= last) {
            return Err(self.damaged(format!("series `{labels}` is out of order")));
        }
        if self.state == State::Whole {
            for (name, value) in labels.iter() {
                let found = self.reader().index.position(name.as_bytes(), value.as_bytes());
                if !self.postings.pass(found, series.id) {
                    return Err(self.damaged(format!(
                        "the postings of `{name}={value:?}` do not hold series `{labels}`"
                    )));
                }
            }
        }
        match series.chunks.first() {
            None => Err(self.damaged(format!("series `{labels}` has no chunk"))),
            Some(first) if first.reference < self.last_reference => Err(self.damaged(format!(
                "the chunks of series `{labels}` lie before those of the previous"
            ))),
            Some(_) => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), TsdbError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        self.stats.num_samples = self.stats.num_float_samples + self.stats.num_histogram_samples;
        if state != State::Whole {
            return Ok(());
        }
        if !self.postings.are_passed() {
            return Err(self.damaged("postings hold a series that does not have the label".to_owned()));
        }
        let (said, found) = (self.reader().meta.stats, self.stats);
        if agrees(&said, &found) {
            Ok(())
        } else {
            Err(self.damaged(format!("it holds {found:?}, but says {said:?}")))
        }
    }

    fn broken(&mut self, error: TsdbError) -> TsdbError {
        self.state = State::Damaged;
        error
    }

    fn damaged(&self, what: String) -> TsdbError {
        let directory = &self.reader().directory;
        corrupt(|| format!("block `{}`", directory.display()))(what)
    }
}

impl Postings {
    fn read(block: &BlockReader) -> Result<Self, TsdbError> {
        let mut lists = Vec::new();
        let mut listed = 0;
        for number in 1..block.index.list_count() {
            let list = block.index.postings_at(number)?;
            listed += 4 * list.len() as u64;
            // Entries of the table that share a list would take memory without end.
            if listed > block.index.bytes() {
                let place = || format!("block `{}`", block.directory.display());
                return Err(corrupt(place)("its postings lists are larger than the index"));
            }
            lists.push(list);
        }
        Ok(Self {
            seen: vec![0; lists.len()],
            lists,
        })
    }

    /// Goes one further in a list, whose position among all lists this is; false when the series is not the next of it.
    fn pass(&mut self, position: Option<usize>, id: u32) -> bool {
        let list = position.and_then(|position| position.checked_sub(1));
        let Some(list) = list.filter(|&list| self.lists[list].get(self.seen[list]) == Some(&id)) else {
            return false;
        };
        self.seen[list] += 1;
        true
    }

    fn are_passed(&self) -> bool {
        self.lists
            .iter()
            .zip(&self.seen)
            .all(|(list, &seen)| list.len() == seen)
    }
}

/// Whether the description of a block says what was found.
fn agrees(said: &BlockStats, found: &BlockStats) -> bool {
    let mut said = *said;
    // Old versions do not count the kinds apart.
    if said.num_float_samples == 0 && said.num_histogram_samples == 0 {
        (said.num_float_samples, said.num_histogram_samples) = (found.num_float_samples, found.num_histogram_samples);
    }
    // Written after the tombstones: a crash between the two leaves an old number.
    said.num_tombstones = found.num_tombstones;
    said == *found
}
