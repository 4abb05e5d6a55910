//! Verifies one block whole.
//!
//! Prometheus checks most rules only when it writes, so a wrong block would be found days later, at its compaction. All that can be
//! checked without a second encoder is checked here.

use emberkeep_model::{Labels, SeriesRuns};

use super::BlockWalk;
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
        let mut walk = BlockWalk::new(self);
        let mut chunk = SeriesRuns::default();
        while walk.next_series()? {
            let mut position = 0;
            while walk.next_chunk(&mut chunk)? {
                if let Some(series) = walk.series() {
                    visit(series, position, &chunk);
                }
                chunk.clear();
                position += 1;
            }
        }
        Ok(walk.stats())
    }
}
