//! From blocks to digests: the series of one data directory in label order, each with the digests of what is left of it.
//!
//! One forward walk through each block, merged by labels. A series that lies in several blocks is read chunk by chunk as long as
//! those do not overlap in time; only where they do are its rows brought together, as Prometheus does when it reads them. What is
//! damaged is told and passed over, so that one bad chunk does not hide what else is wrong.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_archive::digest::Digests;
use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use emberkeep_tsdb::{BlockMeta, BlockReader, BlockWalk, SeriesEntry, TsdbError};
use ulid::Ulid;

use super::StoredForm;
use crate::ReaderError;

/// A series of the blocks.
#[derive(Debug)]
pub struct SeriesDigests {
    /// The series.
    pub labels: Labels,
    /// Digests of its rows inside the range, in [`StoredForm`].
    pub digests: Digests,
    /// Number of those rows.
    pub rows: u64,
    /// The first chunk of it that cannot be read; its rows are not in the digests.
    pub damage: Option<TsdbError>,
}

/// A walk through blocks. It holds the index of each, and what [`BlockWalk`] does.
#[derive(Debug)]
pub struct BlockDigests {
    walks: Vec<BlockWalk>,
    /// What the walks stand at; the least is next.
    heap: BinaryHeap<Reverse<(Labels, usize)>>,
    /// Walks that have to go on before anything else.
    waiting: Vec<usize>,
    range: TimeRange,
    form: StoredForm,
    runs: SeriesRuns,
}

impl BlockDigests {
    /// Opens all blocks of a data directory: what has a ULID as its name. Other files are none of our business.
    ///
    /// # Errors
    /// [`ReaderError::Output`] names the first block that cannot be opened; [`ReaderError::File`].
    pub fn open(directory: &Path) -> Result<Self, ReaderError> {
        let open =
            |path: &PathBuf| BlockReader::open(path).map_err(|error| ReaderError::output(path, error.to_string()));
        let blocks: Result<_, ReaderError> = block_directories(directory)?.iter().map(open).collect();
        Ok(Self::new(blocks?, TimeRange::ALL))
    }

    /// Walks through open blocks; of their rows those inside the range count.
    #[must_use]
    pub fn new(blocks: Vec<BlockReader>, range: TimeRange) -> Self {
        let walks: Vec<_> = blocks.into_iter().map(BlockWalk::new).collect();
        Self {
            heap: BinaryHeap::with_capacity(walks.len()),
            waiting: (0..walks.len()).rev().collect(),
            walks,
            range,
            form: StoredForm::default(),
            runs: SeriesRuns::default(),
        }
    }

    /// The next series that has a row in the range, or is damaged; none at the end. Call it again after an error: the walk goes on
    /// behind what is damaged.
    ///
    /// # Errors
    /// What is wrong with a block apart from its chunks ([`BlockWalk::next_series`]); [`TsdbError::Io`].
    pub fn next_series(&mut self) -> Result<Option<SeriesDigests>, TsdbError> {
        loop {
            self.advance()?;
            let Some(Reverse((labels, first))) = self.heap.pop() else {
                return Ok(None);
            };
            let mut members = vec![first];
            while let Some(Reverse((other, index))) = self.heap.peek()
                && *other == labels
            {
                members.push(*index);
                self.heap.pop();
            }
            self.waiting.clone_from(&members);
            let found = self.digest(labels, &members)?;
            if found.rows > 0 || found.damage.is_some() {
                return Ok(Some(found));
            }
        }
    }

    /// Of each block its directory, what it says of itself, and the times of its first and last sample as far as was walked.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&Path, &BlockMeta, Option<(i64, i64)>)> {
        self.walks.iter().map(|walk| {
            let block = walk.reader();
            (block.directory(), block.meta(), walk.span())
        })
    }

    /// Goes on with those that have to.
    fn advance(&mut self) -> Result<(), TsdbError> {
        while let Some(&index) = self.waiting.last() {
            // After an error it waits still, and is asked again.
            if self.walks[index].next_series()?
                && let Some(series) = self.walks[index].series()
            {
                self.heap.push(Reverse((series.labels.clone(), index)));
            }
            self.waiting.pop();
        }
        Ok(())
    }

    fn digest(&mut self, labels: Labels, members: &[usize]) -> Result<SeriesDigests, TsdbError> {
        let mut found = SeriesDigests {
            labels,
            digests: Digests::default(),
            rows: 0,
            damage: None,
        };
        let is_apart = self.are_apart(members);
        self.runs.clear();
        for &member in members {
            loop {
                match self.walks[member].next_chunk(&mut self.runs) {
                    Ok(false) => break,
                    Ok(true) if is_apart => self.take(&mut found),
                    Ok(true) => {}
                    Err(error @ TsdbError::Io { .. }) => return Err(error),
                    Err(error) => {
                        found.damage.get_or_insert(error);
                    }
                }
            }
        }
        if !is_apart {
            self.runs.settle();
            self.take(&mut found);
        }
        Ok(found)
    }

    /// Moves the rows that were read into the digests.
    fn take(&mut self, found: &mut SeriesDigests) {
        self.runs.retain_range(self.range);
        found.rows += self.runs.len() as u64;
        self.form.add(&self.runs, &mut found.digests);
        self.runs.clear();
    }

    /// Whether no two blocks have rows of the series at the same time.
    fn are_apart(&self, members: &[usize]) -> bool {
        let span = |series: &SeriesEntry| Some((series.chunks.first()?.min_time, series.chunks.last()?.max_time));
        let series = members.iter().filter_map(|&member| self.walks[member].series());
        let mut spans: Vec<(i64, i64)> = series.filter_map(span).collect();
        spans.sort_unstable();
        spans.windows(2).all(|pair| pair[0].1 < pair[1].0)
    }
}

/// The directories of blocks in a data directory, by name.
///
/// # Errors
/// [`ReaderError::File`] when it cannot be listed.
pub(crate) fn block_directories(directory: &Path) -> Result<Vec<PathBuf>, ReaderError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(ReaderError::file(directory))? {
        let path = entry.map_err(ReaderError::file(directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if Ulid::from_string(name).is_ok() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
