//! Blocks of an export at the same time: as many as memory is shared among, in the order that is wanted.
//!
//! One task for each block in work. Only this place writes the state file. A block that turns out too large for its share is made
//! again as smaller ones, or, when it is of the smallest, alone with the whole memory; what does not fit then is an error, never
//! more memory. When one fails the others are given up: a run that goes on finishes them.

use std::collections::VecDeque;
use std::sync::Arc;

use emberkeep_model::TimeRange;
use tokio::task::JoinSet;
use ulid::{Generator, Ulid};

use super::job::{Made, MadeBlock, Work};
use super::{BlockLengths, ExportOptions, Order, Output, plan};
use crate::ReaderError;

/// A megabyte, as sizes are written.
const MEGABYTE: u64 = 1 << 20;

/// Those who make blocks.
pub(super) struct Crew<'a> {
    work: Arc<Work>,
    output: &'a mut Output,
    lengths: &'a BlockLengths,
    /// Windows of two hours that have data, oldest first.
    with_data: &'a [TimeRange],
    memory: u64,
    workers: usize,
    order: Order,
    ulids: Generator,
    waiting: VecDeque<TimeRange>,
    /// Windows of the shortest kind that need more than a share.
    large: VecDeque<TimeRange>,
    running: JoinSet<(TimeRange, u64, Result<Made, ReaderError>)>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(
        work: Work,
        output: &'a mut Output,
        lengths: &'a BlockLengths,
        with_data: &'a [TimeRange],
        options: &ExportOptions,
    ) -> Self {
        Self {
            work: Arc::new(work),
            output,
            lengths,
            with_data,
            memory: options.memory,
            workers: options.workers(),
            order: options.order,
            ulids: Generator::new(),
            waiting: VecDeque::new(),
            large: VecDeque::new(),
            running: JoinSet::new(),
        }
    }

    /// The blocks to make, in this order.
    pub(super) fn start(&mut self, windows: impl IntoIterator<Item = TimeRange>) {
        self.waiting.extend(windows);
    }

    /// The next window that is dealt with, and its block unless it was empty; none when all are.
    ///
    /// # Errors
    /// When a block cannot be made.
    pub(super) async fn next(&mut self) -> Result<Option<(TimeRange, Option<MadeBlock>)>, ReaderError> {
        loop {
            while self.running.len() < self.workers
                && let Some(window) = self.waiting.pop_front()
            {
                self.begin(window, self.memory / self.workers as u64)?;
            }
            if self.running.is_empty()
                && let Some(window) = self.large.pop_front()
            {
                self.begin(window, self.memory)?;
            }
            let Some(done) = self.running.join_next().await else {
                return Ok(None);
            };
            let (window, memory, made) = match done {
                Ok(done) => done,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(ReaderError::Gone),
            };
            match made? {
                Made::Nothing => {
                    self.output.forget_block(window)?;
                    return Ok(Some((window, None)));
                }
                Made::Block(block) => {
                    self.output.finish_block(window, &block)?;
                    return Ok(Some((window, Some(*block))));
                }
                Made::TooLarge(needed) => self.make_smaller(window, memory, needed)?,
            }
        }
    }

    fn begin(&mut self, window: TimeRange, memory: u64) -> Result<(), ReaderError> {
        let ulid: Ulid = self
            .ulids
            .generate()
            .unwrap_or_else(|overflow| overflow.commit_overflow_increment());
        self.output.start_block(window, ulid)?;
        let work = Arc::clone(&self.work);
        self.running
            .spawn(async move { (window, memory, work.make(window, ulid, memory).await) });
        Ok(())
    }

    fn make_smaller(&mut self, window: TimeRange, memory: u64, needed: u64) -> Result<(), ReaderError> {
        self.output.forget_block(window)?;
        if let Some(parts) = plan::smaller(window, self.lengths, self.with_data) {
            tracing::info!(
                start = window.start,
                end = window.end,
                "a block needs more memory than its share: it is made as smaller ones"
            );
            let mut parts = parts;
            if self.order == Order::Oldest {
                parts.reverse();
            }
            parts.into_iter().for_each(|part| self.waiting.push_front(part));
        } else if memory < self.memory {
            self.large.push_back(window);
        } else {
            return Err(ReaderError::TooMuch(format!(
                "the block of two hours from {} needs more than {} MB of memory, the bound of --max-memory: raise it to {} MB or more, \
                 or select fewer series with --match",
                super::table::moment(window.start),
                self.memory / MEGABYTE,
                needed.max(self.memory).saturating_mul(2) / MEGABYTE
            )));
        }
        Ok(())
    }
}
