//! What one source holds of the series being merged, of one kind.
//!
//! It reads ahead as far as it is allowed to and no further; what it shows is in time order, and what it has not shown is not
//! older than what it has.

use std::ops::Range;

use emberkeep_model::{SeriesRuns, TimeRange};

use super::buffer::{Buffer, FLOAT_BYTES};
use super::source::Source;
use crate::ReaderError;

/// Most rows that are read of a source at once. A piece of a series costs the source up to a page, so pieces are large.
const MOST_ROWS: usize = 64 * 1024;

/// A time line of a source.
#[derive(Debug)]
pub(super) struct Member {
    source: usize,
    rows: Range<u64>,
    min_time: i64,
    buffer: Buffer,
    /// Rows of the buffer that are already emitted.
    taken: usize,
    /// What a row weighs, by those read last.
    row_bytes: usize,
}

impl Member {
    /// `rows` of the source that has the number `source`, none of them older than `min_time`. The buffer says of which kind.
    pub(super) fn new(source: usize, rows: Range<u64>, min_time: i64, buffer: Buffer) -> Self {
        Self {
            source,
            rows,
            min_time,
            row_bytes: buffer.usual_row_bytes(),
            buffer,
            taken: 0,
        }
    }

    /// No row is older.
    pub(super) fn min_time(&self) -> i64 {
        self.min_time
    }

    /// Whether rows are read and not emitted.
    pub(super) fn is_waiting(&self) -> bool {
        self.taken < self.buffer.len()
    }

    /// The oldest row that waits.
    pub(super) fn first_waiting(&self) -> Option<i64> {
        self.is_waiting().then(|| self.buffer.timestamp(self.taken))
    }

    /// Up to when it has shown all it has; the end of time when nothing is left to read.
    pub(super) fn complete_until(&self) -> i64 {
        if self.rows.is_empty() {
            return i64::MAX;
        }
        self.buffer.complete_until().unwrap_or(i64::MIN)
    }

    /// Reads on until a row waits or there are no more rows, about `share` bytes at once.
    pub(super) async fn refill(
        &mut self,
        sources: &mut [Source],
        range: TimeRange,
        share: usize,
    ) -> Result<(), ReaderError> {
        while !self.is_waiting() && !self.rows.is_empty() {
            self.buffer.clear();
            self.taken = 0;
            self.extend(sources, range, share).await?;
        }
        Ok(())
    }

    /// Reads on, keeping what waits.
    pub(super) async fn extend(
        &mut self,
        sources: &mut [Source],
        range: TimeRange,
        share: usize,
    ) -> Result<(), ReaderError> {
        let count = (share / self.row_bytes).clamp(1, MOST_ROWS) as u64;
        let end = self.rows.start.saturating_add(count).min(self.rows.end);
        let before = self.buffer.len();
        sources[self.source]
            .read(self.rows.start..end, range, &mut self.buffer)
            .await?;
        self.rows.start = end;
        let read = before..self.buffer.len();
        if !read.is_empty() {
            self.row_bytes = (self.buffer.bytes(read.clone()) / read.len()).max(1);
        }
        Ok(())
    }

    /// Moves what lies at or before the horizon; returns what that weighs.
    pub(super) fn emit(&mut self, horizon: i64, out: &mut SeriesRuns) -> usize {
        let count = self.buffer.count_until(self.taken, horizon);
        let rows = self.taken..self.taken + count;
        self.buffer.append_to(rows.clone(), out);
        self.taken = rows.end;
        self.buffer.bytes(rows)
    }

    /// As [`Self::emit`] to the end of what is settled already, for the only time line: floats that rise strictly go there as they are, at
    /// best without a copy. `None`, and nothing is moved, for anything else. Beside what it weighs, the first and last time.
    pub(super) fn emit_alone(&mut self, horizon: i64, out: &mut SeriesRuns) -> Option<(usize, (i64, i64))> {
        let count = self.buffer.count_until(self.taken, horizon);
        let rows = self.taken..self.taken + count;
        let Buffer::Floats(run) = &mut self.buffer else {
            return None;
        };
        let times = &run.timestamps[rows.clone()];
        let span = (*times.first()?, *times.last()?);
        rises_strictly(times).then_some(())?;
        if rows.len() == run.len() && out.samples.is_empty() {
            std::mem::swap(run, &mut out.samples);
            run.clear();
            self.taken = 0;
        } else {
            self.buffer.append_to(rows.clone(), out);
            self.taken = rows.end;
        }
        Some((count * FLOAT_BYTES, span))
    }

    /// Its memory, for another time line of the same kind.
    pub(super) fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Takes over the memory of a finished time line, if it is of the same kind.
    pub(super) fn reuse(&mut self, mut spare: Buffer) {
        if std::mem::discriminant(&spare) == std::mem::discriminant(&self.buffer) && self.buffer.len() == 0 {
            spare.clear();
            self.buffer = spare;
        }
    }
}

/// Whether each time is later than the one before. Written without a comparison for each, as the compiler can look at several together.
fn rises_strictly(times: &[i64]) -> bool {
    const FAR: i64 = 1 << 62;
    // The highest bit of the first is that of a step that is none; of the second, that of a time so far away that steps may wrap.
    let signs = times.iter().zip(times.get(1..).unwrap_or_default());
    let signs = signs.fold(0, |signs, (&a, &b)| {
        signs | b.wrapping_sub(a).wrapping_sub(1) | a.wrapping_add(FAR) | b.wrapping_add(FAR)
    });
    signs >= 0 || times.is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_rises_is_seen(start: i64, steps in prop::collection::vec(prop_oneof![20 => 1_i64..100_000, 1 => -1_i64..=0, 1 => any::<i64>()], 0..20)) {
            let mut times = vec![start];
            times.extend(steps.iter().scan(start, |time, &step| {
                *time = time.wrapping_add(step);
                Some(*time)
            }));
            prop_assert_eq!(rises_strictly(&times), times.is_sorted_by(|a, b| a < b));
            prop_assert!(rises_strictly(&times[..0]));
        }
    }
}
