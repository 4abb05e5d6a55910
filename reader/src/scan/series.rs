//! The merge of one series' samples in time, in pieces of bounded size.
//!
//! A source is read only when the merge comes to its time, so the usual case, flushes that follow one another, holds one buffer
//! and copies it through; only sources that overlap in time are held together. Up to the *horizon* every source has shown all
//! it has, so what lies below may be settled and emitted. Nothing above it may be.

use std::collections::VecDeque;
use std::ops::Range;

use emberkeep_model::{Run, TimeRange};

use super::source::Source;
use crate::ReaderError;

/// Samples that a piece aims at; it may be larger by what is buffered.
const PIECE_SAMPLES: usize = 8 * 1024;
/// Rows that all buffers of a series hold together; one of several overlapping sources gets its share.
const BUFFERED_ROWS: usize = 128 * 1024;
/// Most rows that are read of a source at once. A piece of a series costs the source up to a page, so pieces are large.
const MOST_ROWS: usize = 64 * 1024;
/// The least share, below which reading would be all overhead.
const LEAST_ROWS: usize = 2 * 1024;

/// What one source holds of the series.
#[derive(Debug)]
pub(super) struct Member {
    source: usize,
    rows: Range<u64>,
    min_time: i64,
    buffer: Run,
    /// Samples of the buffer that are already emitted.
    taken: usize,
}

impl Member {
    /// `rows` of the source that has the number `source`, none of them older than `min_time`.
    pub(super) fn new(source: usize, rows: Range<u64>, min_time: i64) -> Self {
        Self {
            source,
            rows,
            min_time,
            buffer: Run::default(),
            taken: 0,
        }
    }

    fn waiting(&self) -> &[i64] {
        &self.buffer.timestamps[self.taken..]
    }

    /// Reads on until a sample waits or there are no more rows.
    async fn refill(&mut self, sources: &mut [Source], range: TimeRange, share: u64) -> Result<(), ReaderError> {
        while self.waiting().is_empty() && !self.rows.is_empty() {
            self.buffer.clear();
            self.taken = 0;
            let end = self.rows.start.saturating_add(share).min(self.rows.end);
            sources[self.source]
                .read(self.rows.start..end, range, &mut self.buffer)
                .await?;
            self.rows.start = end;
        }
        Ok(())
    }

    /// Moves what lies at or before the horizon.
    fn emit(&mut self, horizon: i64, out: &mut Run) {
        let count = self.waiting().partition_point(|&t| t <= horizon);
        append(&self.buffer, self.taken..self.taken + count, out);
        self.taken += count;
    }
}

/// The series being merged.
#[derive(Debug, Default)]
pub(super) struct SeriesMerge {
    /// Sources whose time has not come, by their first timestamp.
    pending: VecDeque<Member>,
    active: Vec<Member>,
    /// The newest timestamp emitted.
    emitted: Option<i64>,
    scratch: Run,
    /// A buffer of a finished member, used again.
    spare: Run,
    conflicts: u64,
}

impl SeriesMerge {
    /// Begins a series; what was left of the one before is dropped.
    pub(super) fn start(&mut self, members: impl Iterator<Item = Member>) {
        self.active.clear();
        self.emitted = None;
        self.pending.clear();
        self.pending.extend(members);
        self.pending.make_contiguous().sort_by_key(|member| member.min_time);
    }

    /// Samples that lost against a different one since the last call.
    pub(super) fn take_conflicts(&mut self) -> u64 {
        std::mem::take(&mut self.conflicts)
    }

    /// Replaces `out` with the next samples; false when there are none.
    pub(super) async fn next_piece(
        &mut self,
        sources: &mut [Source],
        range: TimeRange,
        out: &mut Run,
    ) -> Result<bool, ReaderError> {
        out.clear();
        while out.len() < PIECE_SAMPLES {
            if self.active.is_empty() && !self.activate() {
                break;
            }
            self.refill(sources, range).await?;
            let Some(lowest) = self
                .active
                .iter()
                .filter_map(|member| member.waiting().first())
                .min()
                .copied()
            else {
                continue;
            };
            let horizon = self.horizon();
            if horizon < lowest {
                self.activate();
                continue;
            }
            self.emit(horizon, out)?;
        }
        Ok(!out.is_empty())
    }

    fn activate(&mut self) -> bool {
        let Some(mut member) = self.pending.pop_front() else {
            return false;
        };
        member.buffer = std::mem::take(&mut self.spare);
        member.buffer.clear();
        self.active.push(member);
        true
    }

    /// Gives every active source a waiting sample, and lets go of those that have none.
    async fn refill(&mut self, sources: &mut [Source], range: TimeRange) -> Result<(), ReaderError> {
        let share = (BUFFERED_ROWS / self.active.len().max(1)).clamp(LEAST_ROWS, MOST_ROWS) as u64;
        for member in &mut self.active {
            member.refill(sources, range, share).await?;
        }
        while let Some(done) = self.active.iter().position(|member| member.waiting().is_empty()) {
            self.spare = self.active.swap_remove(done).buffer;
        }
        Ok(())
    }

    /// The last timestamp below which nothing new can appear: rows not yet read are newer than those read of their source,
    /// sources not yet read are not older than their first timestamp.
    fn horizon(&self) -> i64 {
        let unread = self.active.iter().filter(|member| !member.rows.is_empty());
        // A row that is not read may share the timestamp of the last one read only if its part breaks its own order.
        let of_active = unread
            .filter_map(|member| member.waiting().last())
            .copied()
            .min()
            .unwrap_or(i64::MAX);
        let of_pending = self
            .pending
            .front()
            .map_or(i64::MAX, |member| member.min_time.saturating_sub(1));
        of_active.min(of_pending)
    }

    fn emit(&mut self, horizon: i64, out: &mut Run) -> Result<(), ReaderError> {
        self.scratch.clear();
        for member in &mut self.active {
            member.emit(horizon, &mut self.scratch);
        }
        self.conflicts += self.scratch.settle();
        if let (Some(&first), Some(before)) = (self.scratch.timestamps.first(), self.emitted)
            && first <= before
        {
            return Err(ReaderError::Inconsistent(format!(
                "a row at {first} comes after one at {before}"
            )));
        }
        self.emitted = self.scratch.timestamps.last().copied().or(self.emitted);
        out.append(&self.scratch);
        Ok(())
    }
}

/// Appends some samples of a run to another.
fn append(from: &Run, samples: Range<usize>, to: &mut Run) {
    let before = to.len();
    if !from.start_timestamps.is_empty() && to.start_timestamps.is_empty() {
        to.start_timestamps.resize(before, 0);
    }
    to.timestamps.extend_from_slice(&from.timestamps[samples.clone()]);
    to.values.extend_from_slice(&from.values[samples.clone()]);
    if let Some(starts) = from.start_timestamps.get(samples) {
        to.start_timestamps.extend_from_slice(starts);
    } else if !to.start_timestamps.is_empty() {
        to.start_timestamps.resize(to.timestamps.len(), 0);
    }
}
