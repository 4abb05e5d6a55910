//! Verifies one block whole.
//!
//! Prometheus checks most rules only when it writes, so a wrong block would be found days later, at its compaction. All that can be
//! checked without a second encoder is checked here.

use emberkeep_model::{Labels, SeriesRuns};

use super::reader::append_kept;
use crate::error::corrupt;
use crate::index::SeriesEntry;
use crate::{BlockReader, BlockStats, TsdbError};

impl BlockReader {
    /// As [`BlockReader::verify_chunks`], but shows whole series to `visit`, each but those of which nothing is left.
    ///
    /// # Errors
    /// As [`BlockReader::verify_chunks`].
    pub fn verify(&mut self, mut visit: impl FnMut(&Labels, &SeriesRuns)) -> Result<BlockStats, TsdbError> {
        let mut whole = SeriesRuns::default();
        self.verify_chunks(|series, position, chunk| {
            if position == 0 {
                whole.clear();
            }
            whole.append(chunk);
            if position + 1 == series.chunks.len() && !whole.is_empty() {
                visit(&series.labels, &whole);
            }
        })
    }

    /// Reads everything again and checks it: checksums, order of series, chunks and samples, times of chunks and block, postings,
    /// counts. What is left of each chunk is also shown to `visit`, with its position in its series, so that digests cost no second
    /// pass. Holds 4 bytes per posting, and one chunk.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`TsdbError::Corrupt`]; else as [`BlockReader::chunk_samples`].
    pub fn verify_chunks(
        &mut self,
        mut visit: impl FnMut(&SeriesEntry, usize, &SeriesRuns),
    ) -> Result<BlockStats, TsdbError> {
        let directory = self.directory.clone();
        let damaged = |what: String| corrupt(|| format!("block `{}`", directory.display()))(what);
        let mut lists = Vec::new();
        let mut listed = 0;
        for number in 1..self.index.list_count() {
            let list = self.index.postings_at(number)?;
            listed += 4 * list.len() as u64;
            // Entries of the table that share a list would take memory without end.
            if listed > self.index.bytes() {
                return Err(damaged("its postings lists are larger than the index".to_owned()));
            }
            lists.push(list);
        }
        let mut seen = vec![0usize; lists.len()];
        let mut stats = BlockStats {
            num_tombstones: self.tombstones.len() as u64,
            ..BlockStats::default()
        };
        let (mut stored, mut kept) = (SeriesRuns::default(), SeriesRuns::default());
        let mut last_labels: Option<Labels> = None;
        let mut last_reference = 0;
        for position in 0..self.series_count() {
            let id = self.index.ids()[position];
            let series = self.index.series(id)?;
            let labels = &series.labels;
            if labels.is_empty() || last_labels.as_ref().is_some_and(|last| labels <= last) {
                return Err(damaged(format!("series `{labels}` is out of order")));
            }
            for (name, value) in labels.iter() {
                let list = self
                    .index
                    .position(name.as_bytes(), value.as_bytes())
                    .unwrap_or(0)
                    .checked_sub(1);
                let Some(list) = list.filter(|&list| lists[list].get(seen[list]) == Some(&id)) else {
                    return Err(damaged(format!(
                        "the postings of `{name}={value:?}` do not hold series `{labels}`"
                    )));
                };
                seen[list] += 1;
            }
            match series.chunks.first() {
                None => return Err(damaged(format!("series `{labels}` has no chunk"))),
                Some(first) if first.reference < last_reference => {
                    return Err(damaged(format!(
                        "the chunks of series `{labels}` lie before those of the previous"
                    )));
                }
                Some(_) => {}
            }
            let deleted = self.tombstones.of_series(id).to_vec();
            for (n, chunk) in series.chunks.iter().enumerate() {
                stored.clear();
                self.stored_samples(chunk, &mut stored)?;
                if stored.time_span() != Some((chunk.min_time, chunk.max_time)) {
                    return Err(damaged(format!(
                        "a chunk of series `{labels}` does not cover the time that the index says"
                    )));
                }
                if chunk.min_time < self.meta.min_time || chunk.max_time >= self.meta.max_time {
                    return Err(damaged(format!("samples of series `{labels}` are outside the block")));
                }
                stats.num_float_samples += stored.samples.len() as u64;
                stats.num_histogram_samples += stored.histograms.len() as u64;
                if deleted.is_empty() {
                    visit(&series, n, &stored);
                } else {
                    kept.clear();
                    append_kept(&stored, &deleted, &mut kept);
                    visit(&series, n, &kept);
                }
                last_reference = chunk.reference;
            }
            stats.num_series += 1;
            stats.num_chunks += series.chunks.len() as u64;
            last_labels = Some(series.labels);
        }
        if lists.iter().zip(&seen).any(|(list, &seen)| list.len() != seen) {
            return Err(damaged(
                "postings hold a series that does not have the label".to_owned(),
            ));
        }
        stats.num_samples = stats.num_float_samples + stats.num_histogram_samples;
        if !agrees(&self.meta.stats, &stats) {
            return Err(damaged(format!("it holds {stats:?}, but says {:?}", self.meta.stats)));
        }
        Ok(stats)
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
