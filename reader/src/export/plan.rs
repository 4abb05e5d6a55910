//! Which blocks an export writes: aligned windows of the ladder that hold data and are not there yet, each as long as memory allows.
//!
//! Windows nest, so a run that goes on finds its finished blocks inside the windows it would make, whatever these were when it was
//! interrupted, and fills what lies between. It must never plan two blocks that overlap.

use std::sync::Arc;

use emberkeep_archive::PartEntry;
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_tsdb::{BLOCK_DURATION_MS, windows};

use super::BlockLengths;
use super::memory;
use crate::Query;
use crate::scan::prune;
use crate::sources::Look;

/// Bytes of a block for each sample, chunks and index, when nothing is known of the values: counters scraped every 15 s take 1.3 to 2,
/// busy gauges 4 and more.
const BYTES_PER_SAMPLE: u64 = 2;
/// Bytes of an index for each series.
const BYTES_PER_SERIES: u64 = 250;

/// One block to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedBlock {
    pub(super) window: TimeRange,
    /// Windows of two hours in it that have data.
    pub(super) windows: u64,
    /// Parts that overlap it.
    pub(super) parts: usize,
    /// Samples of these parts that can lie in it, of all series, duplicates included: at most so many.
    pub(super) samples: u64,
    /// Series of these parts at most.
    pub(super) series: u64,
    /// End of what can lie in it, exclusive.
    pub(super) end: i64,
}

impl PlannedBlock {
    /// About the size of the block.
    pub(super) fn bytes(&self) -> u64 {
        let samples = self.samples.saturating_mul(BYTES_PER_SAMPLE);
        samples.saturating_add(self.series.min(self.samples).saturating_mul(BYTES_PER_SERIES))
    }
}

/// What the parts of an archive hold of a query, to plan by.
#[derive(Debug)]
pub(super) struct Holdings {
    parts: Vec<Arc<PartEntry>>,
    /// What heads hold is newer, and not known.
    has_heads: bool,
    tenant: TenantId,
    range: TimeRange,
}

impl Holdings {
    pub(super) fn of(look: &Look, query: &Query) -> Self {
        Self {
            has_heads: !look.heads.is_empty(),
            parts: prune(&look.view.parts, &query.tenant, query.range, HeadKinds::Samples),
            tenant: query.tenant.clone(),
            range: query.range,
        }
    }

    /// Whether any part has native histograms of the tenant.
    pub(super) fn has_histograms(&self) -> bool {
        let held = self
            .parts
            .iter()
            .filter_map(|part| part.tenants.get(self.tenant.as_str()));
        held.into_iter().any(|held| held.histograms > 0)
    }

    /// Whether any part has rows of the tenant before and behind the edge between two windows.
    fn share_a_part(&self, one: TimeRange, next: TimeRange) -> bool {
        let mut spans = self
            .parts
            .iter()
            .filter_map(|part| part.tenants.get(self.tenant.as_str()));
        spans.any(|held| held.min_time < one.end && held.max_time >= next.start && held.min_time <= held.max_time)
    }

    /// What lies in a window.
    pub(super) fn block(&self, window: TimeRange, windows: u64) -> PlannedBlock {
        let wanted = window.intersect(self.range);
        let mut block = PlannedBlock {
            window,
            windows,
            parts: 0,
            samples: 0,
            series: 0,
            end: if self.has_heads { wanted.end } else { wanted.start },
        };
        for part in &self.parts {
            let Some(held) = part.tenants.get(self.tenant.as_str()) else {
                continue;
            };
            let span = TimeRange::from_inclusive(held.min_time, held.max_time);
            let common = span.intersect(wanted);
            if held.min_time > held.max_time || common.is_empty() {
                continue;
            }
            let length = |range: TimeRange| range.end.saturating_sub(range.start).max(1) as f64;
            let share = length(common) / length(span);
            let rows = held.samples.saturating_add(held.histograms);
            block.parts += 1;
            block.end = block.end.max(common.end);
            block.samples = block.samples.saturating_add((rows as f64 * share).ceil() as u64);
            // Parts of one time have the same series more often than not; those of one flush after the other always.
            block.series = block.series.max(held.series);
        }
        block
    }
}

/// The blocks to be written, oldest first.
///
/// `with_data` are windows of two hours, oldest first. `finished` are windows of blocks that are there. A block is as long as its
/// parts can be open together in `memory_bytes`; the shortest ones are planned in any case.
pub(super) fn plan(
    with_data: &[TimeRange],
    finished: &[TimeRange],
    lengths: &BlockLengths,
    holdings: &Holdings,
    memory_bytes: u64,
) -> Vec<PlannedBlock> {
    let mut planner = Planner {
        finished,
        lengths,
        holdings,
        memory_bytes,
        planned: Vec::new(),
    };
    planner.fill(lengths.count() - 1, with_data);
    planner.planned
}

/// A plan in the making.
struct Planner<'a> {
    finished: &'a [TimeRange],
    lengths: &'a BlockLengths,
    holdings: &'a Holdings,
    memory_bytes: u64,
    planned: Vec<PlannedBlock>,
}

impl Planner<'_> {
    /// Covers windows of two hours by windows of a rung.
    fn fill(&mut self, rung: usize, with_data: &[TimeRange]) {
        let mut rest = with_data;
        while let Some(first) = rest.first() {
            let window = window_at(first.start, self.lengths.get(rung));
            let (these, others) = rest.split_at(rest.partition_point(|data| data.start < window.end).max(1));
            rest = others;
            self.decide(window, rung, these);
        }
    }

    fn decide(&mut self, window: TimeRange, rung: usize, with_data: &[TimeRange]) {
        if self.finished.iter().any(|block| contains(*block, window)) {
            return;
        }
        let is_free = self.finished.iter().all(|block| block.intersect(window).is_empty());
        let block = self.holdings.block(window, with_data.len() as u64);
        let fits = memory::of_cursors(block.parts) <= self.memory_bytes;
        match rung.checked_sub(1) {
            Some(smaller) if !is_free || !fits => self.fill(smaller, with_data),
            _ => self.planned.push(block),
        }
    }
}

/// Blocks that are made in one pass over their rows, oldest first: such as follow one another and lie in the same parts of one day, whose
/// pages would otherwise be decoded once for each of them. As many as memory allows, as far as it can be known, and as leave something to
/// do for each of the workers.
pub(super) fn passes(
    blocks: &[PlannedBlock],
    holdings: &Holdings,
    memory_bytes: u64,
    workers: usize,
) -> Vec<Vec<TimeRange>> {
    let most = blocks.len().div_ceil(workers.max(1));
    let mut passes: Vec<Vec<TimeRange>> = Vec::new();
    // Of the pass at work.
    let (mut parts, mut series) = (0_usize, 0_u64);
    for block in blocks {
        if let Some(pass) = passes.last_mut()
            && let (Some(first), Some(last)) = (pass.first(), pass.last())
        {
            let together = (parts.saturating_add(block.parts), series.saturating_add(block.series));
            let needed = memory::of_cursors(together.0)
                .saturating_add(memory::of_further_writers(pass.len() + 1))
                .saturating_add(together.1.saturating_mul(BYTES_PER_SERIES));
            let is_next = last.end == block.window.start && day(*first) == day(block.window);
            if pass.len() < most && is_next && needed <= memory_bytes && holdings.share_a_part(*last, block.window) {
                pass.push(block.window);
                (parts, series) = together;
                continue;
            }
        }
        (parts, series) = (block.parts, block.series);
        passes.push(vec![block.window]);
    }
    passes
}

/// The UTC day in which a window begins.
fn day(window: TimeRange) -> i64 {
    window.start.div_euclid(24 * 3_600_000)
}

/// The windows of the next smaller length in a window that have data; none when it is of the shortest.
pub(super) fn smaller(window: TimeRange, lengths: &BlockLengths, with_data: &[TimeRange]) -> Option<Vec<TimeRange>> {
    let rung = lengths.rung_of(window).checked_sub(1)?;
    let inside = with_data.iter().filter(|data| contains(window, **data));
    let mut parts: Vec<TimeRange> = inside.map(|data| window_at(data.start, lengths.get(rung))).collect();
    parts.dedup();
    Some(parts)
}

/// The aligned window that holds the start of a window of two hours.
fn window_at(start: i64, length: i64) -> TimeRange {
    // At the beginning of time a window is cut short, and its start is no multiple.
    let inside = start.saturating_add(BLOCK_DURATION_MS - 1);
    let at = if start == i64::MIN { inside } else { start };
    windows(TimeRange::from_inclusive(at, at), length)
        .next()
        .unwrap_or(TimeRange::from_inclusive(at, at))
}

fn contains(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests;
