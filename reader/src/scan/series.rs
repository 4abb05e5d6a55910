//! The merge of one series' rows in time, in pieces of bounded size.
//!
//! A source is read only when the merge comes to its time, so the usual case, flushes that follow one another, holds one buffer
//! and copies it through; only sources that overlap in time are held together. Up to the *horizon* every time line of every
//! source, floats and histograms alike, has shown all it has, so what lies below may be settled across kinds and emitted.
//! Nothing above it may be.

use std::collections::VecDeque;
use std::sync::Arc;

use emberkeep_model::{SeriesRuns, TimeRange};

use super::buffer::{Buffer, FLOAT_BYTES};
use super::member::Member;
use super::source::Source;
use crate::ReaderError;

/// Bytes that a piece aims at, 8 k floats; it may be larger by what is buffered. Histograms differ in size by factors of
/// hundreds, so rows would be no bound.
const PIECE_BYTES: usize = 8 * 1024 * FLOAT_BYTES;
/// Bytes that all buffers of a series hold together; one of several overlapping time lines gets its share.
const BUFFERED_BYTES: usize = 128 * 1024 * FLOAT_BYTES;
/// The largest share.
const MOST_BYTES: usize = 64 * 1024 * FLOAT_BYTES;
/// The least share, below which reading would be all overhead.
const LEAST_BYTES: usize = 2 * 1024 * FLOAT_BYTES;

/// The series being merged.
#[derive(Debug, Default)]
pub(super) struct SeriesMerge {
    /// Time lines whose time has not come, by their first timestamp.
    pending: VecDeque<Member>,
    active: Vec<Member>,
    /// The newest timestamp emitted.
    emitted: Option<i64>,
    scratch: SeriesRuns,
    /// A buffer of a finished member, used again.
    spare: Option<Buffer>,
    conflicts: u64,
    /// Times that no piece crosses, rising.
    edges: Arc<[i64]>,
}

impl SeriesMerge {
    /// Begins a series; what was left of the one before is dropped.
    pub(super) fn start(&mut self, members: impl Iterator<Item = Member>) {
        self.active.clear();
        self.emitted = None;
        self.pending.clear();
        self.pending.extend(members);
        self.pending.make_contiguous().sort_by_key(Member::min_time);
    }

    /// Ends every piece at these times, which rise, however small it is then: what lies before one and what does not never come together.
    pub(super) fn cut_at(&mut self, edges: Arc<[i64]>) {
        self.edges = edges;
    }

    /// Rows that lost against a different one since the last call of [`Self::take_conflicts`].
    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Rows that lost against a different one since the last call.
    pub(super) fn take_conflicts(&mut self) -> u64 {
        std::mem::take(&mut self.conflicts)
    }

    /// Replaces `out` with the next rows; false when there are none.
    pub(super) async fn next_piece(
        &mut self,
        sources: &mut [Source],
        range: TimeRange,
        out: &mut SeriesRuns,
    ) -> Result<bool, ReaderError> {
        out.clear();
        let (mut bytes, mut end) = (0, None);
        while bytes < PIECE_BYTES {
            if self.active.is_empty() && !self.activate() {
                break;
            }
            self.refill(sources, range).await?;
            let Some(lowest) = self.active.iter().filter_map(Member::first_waiting).min() else {
                continue;
            };
            let horizon = self.horizon();
            if horizon < lowest {
                if !self.activate() {
                    self.extend(sources, range).await?;
                }
                continue;
            }
            if end.is_some_and(|end| lowest >= end) {
                break;
            }
            end = end.or_else(|| self.edge_behind(lowest));
            let horizon = end.map_or(horizon, |end| horizon.min(end - 1));
            bytes += self.emit(horizon, out)?;
        }
        Ok(!out.is_empty())
    }

    /// The first edge behind a time.
    fn edge_behind(&self, time: i64) -> Option<i64> {
        let behind = self.edges.partition_point(|&edge| edge <= time);
        self.edges.get(behind).copied()
    }

    fn activate(&mut self) -> bool {
        let Some(mut member) = self.pending.pop_front() else {
            return false;
        };
        if let Some(spare) = self.spare.take() {
            member.reuse(spare);
        }
        self.active.push(member);
        true
    }

    fn share(&self) -> usize {
        (BUFFERED_BYTES / self.active.len().max(1)).clamp(LEAST_BYTES, MOST_BYTES)
    }

    /// Gives every active time line a waiting row, and lets go of those that have none.
    async fn refill(&mut self, sources: &mut [Source], range: TimeRange) -> Result<(), ReaderError> {
        let share = self.share();
        for member in &mut self.active {
            member.refill(sources, range, share).await?;
        }
        while let Some(done) = self.active.iter().position(|member| !member.is_waiting()) {
            self.spare = Some(self.active.swap_remove(done).into_buffer());
        }
        Ok(())
    }

    /// Reads on where the horizon stands still: all that is read of some time line shares one timestamp, and more may follow.
    async fn extend(&mut self, sources: &mut [Source], range: TimeRange) -> Result<(), ReaderError> {
        let (share, horizon) = (self.share(), self.horizon());
        for member in &mut self.active {
            if member.complete_until() == horizon {
                member.extend(sources, range, share).await?;
            }
        }
        Ok(())
    }

    /// The last timestamp below which nothing new can appear: rows not yet read are newer than those read of their time line,
    /// sources not yet read are not older than their first timestamp.
    fn horizon(&self) -> i64 {
        let of_active = self.active.iter().map(Member::complete_until).min().unwrap_or(i64::MAX);
        let of_pending = self
            .pending
            .front()
            .map_or(i64::MAX, |member| member.min_time().saturating_sub(1));
        of_active.min(of_pending)
    }

    fn emit(&mut self, horizon: i64, out: &mut SeriesRuns) -> Result<usize, ReaderError> {
        if let [alone] = &mut *self.active
            && let Some((bytes, span)) = alone.emit_alone(horizon, out)
        {
            self.check_later(span)?;
            return Ok(bytes);
        }
        self.scratch.clear();
        let mut bytes = 0;
        for member in &mut self.active {
            bytes += member.emit(horizon, &mut self.scratch);
        }
        self.conflicts += self.scratch.settle();
        let Some(span) = self.scratch.time_span() else {
            return Ok(bytes);
        };
        self.check_later(span)?;
        out.append(&self.scratch);
        Ok(bytes)
    }

    /// Notes what is emitted, which comes after all that was.
    fn check_later(&mut self, (first, last): (i64, i64)) -> Result<(), ReaderError> {
        if let Some(before) = self.emitted
            && first <= before
        {
            return Err(ReaderError::Inconsistent(format!(
                "a row at {first} comes after one at {before}"
            )));
        }
        self.emitted = Some(last);
        Ok(())
    }
}
