//! The rows of several blocks in one window, merged by labels.
//!
//! Blocks overlap (out-of-order data, snapshots of the head, backfilling), and a row that two of them have is one row. What cannot be read of
//! a block is left out piece by piece and told: one bad chunk must not cost a month.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use emberkeep_tsdb::{BlockReader, ChunkMeta, SeriesEntry};

use super::rows::Rows;
use super::{SeedError, Skipped};

/// What all windows of a seed have in common.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) skipped: Skipped,
    pub(super) conflicts: u64,
}

/// The series of one window.
#[derive(Debug)]
pub(super) struct BlockRows<'a> {
    cursors: Vec<Cursor<'a>>,
    heap: BinaryHeap<Reverse<(Labels, usize)>>,
    range: TimeRange,
    found: &'a mut Found,
    group: Vec<usize>,
}

#[derive(Debug)]
struct Cursor<'a> {
    block: &'a mut BlockReader,
    next: usize,
    entry: Option<SeriesEntry>,
}

impl<'a> BlockRows<'a> {
    /// Over blocks in order of time.
    pub(super) fn new(
        blocks: impl Iterator<Item = &'a mut BlockReader>,
        range: TimeRange,
        found: &'a mut Found,
    ) -> Self {
        let mut rows = Self {
            cursors: Vec::new(),
            heap: BinaryHeap::new(),
            range,
            found,
            group: Vec::new(),
        };
        for block in blocks {
            rows.cursors.push(Cursor {
                block,
                next: 0,
                entry: None,
            });
            rows.advance(rows.cursors.len() - 1);
        }
        rows
    }

    /// Brings a cursor to its next series with a chunk in the window.
    fn advance(&mut self, at: usize) {
        let cursor = &mut self.cursors[at];
        cursor.entry = None;
        while cursor.next < cursor.block.series_count() {
            let position = cursor.next;
            cursor.next += 1;
            match cursor.block.series(position) {
                Ok(entry) => {
                    let is_inside = |chunk: &ChunkMeta| self.range.overlaps(chunk.min_time, chunk.max_time);
                    if entry.chunks.iter().any(is_inside) {
                        self.heap.push(Reverse((entry.labels.clone(), at)));
                        cursor.entry = Some(entry);
                        return;
                    }
                }
                Err(error) => {
                    let block = cursor.block.meta().ulid;
                    self.found.skipped.add(format!("block {block}: a series: {error}"));
                }
            }
        }
    }
}

impl Rows for BlockRows<'_> {
    async fn next(&mut self, runs: &mut SeriesRuns) -> Result<Option<Labels>, SeedError> {
        loop {
            runs.clear();
            let Some(Reverse((labels, first))) = self.heap.pop() else {
                return Ok(None);
            };
            self.group.clear();
            self.group.push(first);
            while self.heap.peek().is_some_and(|Reverse((next, _))| *next == labels) {
                self.group.extend(self.heap.pop().map(|Reverse((_, same))| same));
            }
            // Blocks that follow each other give a run that is settled as it stands.
            self.group.sort_unstable();
            for at in std::mem::take(&mut self.group) {
                self.cursors[at].read(self.range, runs, self.found);
                self.advance(at);
            }
            if !runs.is_settled() {
                self.found.conflicts += runs.settle();
            }
            runs.retain_range(self.range);
            if !runs.is_empty() {
                return Ok(Some(labels));
            }
        }
    }
}

impl Cursor<'_> {
    /// Appends what the block has of its series in the window.
    fn read(&mut self, range: TimeRange, runs: &mut SeriesRuns, found: &mut Found) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        // Mostly there is one block, and then its rows go where they are wanted.
        let mut piece = match runs.is_empty() {
            true => std::mem::take(runs),
            false => SeriesRuns::default(),
        };
        let mut chunks = entry
            .chunks
            .iter()
            .filter(|chunk| range.overlaps(chunk.min_time, chunk.max_time));
        let block = &mut *self.block;
        if chunks
            .try_for_each(|chunk| block.chunk_samples(&entry, chunk, &mut piece))
            .is_err()
        {
            // Again, chunk by chunk: what a bad one left behind is of no use.
            piece.clear();
            let mut single = SeriesRuns::default();
            for chunk in entry
                .chunks
                .iter()
                .filter(|chunk| range.overlaps(chunk.min_time, chunk.max_time))
            {
                single.clear();
                match block.chunk_samples(&entry, chunk, &mut single) {
                    Ok(()) => piece.append(&single),
                    Err(error) => {
                        let (ulid, times) = (block.meta().ulid, (chunk.min_time, chunk.max_time));
                        found.skipped.add(format!(
                            "block {ulid}: series {}, times {} to {} ms: {error}",
                            entry.labels, times.0, times.1
                        ));
                    }
                }
            }
        }
        if runs.is_empty() {
            *runs = piece;
        } else {
            runs.append(&piece);
        }
    }
}
