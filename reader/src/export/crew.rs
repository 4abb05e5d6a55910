//! Blocks of an export at the same time: as many as memory is shared among, in the order that is wanted.
//!
//! One task for each block in work, or for several that are made in one pass. Only this place writes the state file. A block that turns out too large for its share is made
//! again as smaller ones, or, when it is of the smallest, alone with the whole memory; what does not fit then is an error, never
//! more memory. When one fails the others are given up: a run that goes on finishes them.

use std::collections::VecDeque;
use std::sync::Arc;

use emberkeep_model::TimeRange;
use tokio::task::JoinSet;
use ulid::{Generator, Ulid};

use super::job::{Made, Work};
use super::making::MadeBlock;
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
    /// Windows that are made in one pass follow one another.
    waiting: VecDeque<Vec<TimeRange>>,
    /// Windows of the shortest kind that need more than a share.
    large: VecDeque<TimeRange>,
    running: JoinSet<(Vec<TimeRange>, u64, Result<Made, ReaderError>)>,
    /// Windows that are dealt with, and not told of yet.
    done: VecDeque<(TimeRange, Option<MadeBlock>)>,
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
            done: VecDeque::new(),
        }
    }

    /// The blocks to make, in this order, those together that are made in one pass.
    pub(super) fn start(&mut self, windows: impl IntoIterator<Item = Vec<TimeRange>>) {
        self.waiting.extend(windows);
    }

    /// The next window that is dealt with, and its block unless it was empty; none when all are.
    ///
    /// # Errors
    /// When a block cannot be made.
    pub(super) async fn next(&mut self) -> Result<Option<(TimeRange, Option<MadeBlock>)>, ReaderError> {
        loop {
            if let Some(done) = self.done.pop_front() {
                return Ok(Some(done));
            }
            while self.running.len() < self.workers
                && let Some(windows) = self.waiting.pop_front()
            {
                self.begin(windows, self.memory / self.workers as u64)?;
            }
            if self.running.is_empty()
                && let Some(window) = self.large.pop_front()
            {
                self.begin(vec![window], self.memory)?;
            }
            let Some(done) = self.running.join_next().await else {
                return Ok(None);
            };
            let (windows, memory, made) = match done {
                Ok(done) => done,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(ReaderError::Gone),
            };
            match made? {
                Made::Blocks(blocks) => self.finish(windows, blocks)?,
                Made::TooLarge(needed) => self.make_smaller(&windows, memory, needed)?,
            }
        }
    }

    fn begin(&mut self, windows: Vec<TimeRange>, memory: u64) -> Result<(), ReaderError> {
        let mut blocks = Vec::with_capacity(windows.len());
        for &window in &windows {
            let ulid: Ulid = self
                .ulids
                .generate()
                .unwrap_or_else(|overflow| overflow.commit_overflow_increment());
            self.output.start_block(window, ulid)?;
            blocks.push((window, ulid));
        }
        let work = Arc::clone(&self.work);
        self.running
            .spawn(async move { (windows, memory, work.make(&blocks, memory).await) });
        Ok(())
    }

    /// Hands blocks on in the order that is wanted.
    fn finish(&mut self, windows: Vec<TimeRange>, blocks: Vec<Option<MadeBlock>>) -> Result<(), ReaderError> {
        let mut made: Vec<_> = windows.into_iter().zip(blocks).collect();
        if self.order == Order::Newest {
            made.reverse();
        }
        for (window, block) in made {
            match &block {
                Some(block) => self.output.finish_block(window, block)?,
                None => self.output.forget_block(window)?,
            }
            self.done.push_back((window, block));
        }
        Ok(())
    }

    fn make_smaller(&mut self, windows: &[TimeRange], memory: u64, needed: u64) -> Result<(), ReaderError> {
        for &window in windows {
            self.output.forget_block(window)?;
        }
        let &[window] = windows else {
            tracing::debug!(
                blocks = windows.len(),
                "blocks need more memory than their share: each is made by itself"
            );
            self.wait_first(windows.iter().copied());
            return Ok(());
        };
        if let Some(parts) = plan::smaller(window, self.lengths, self.with_data) {
            tracing::info!(
                start = window.start,
                end = window.end,
                "a block needs more memory than its share: it is made as smaller ones"
            );
            self.wait_first(parts.into_iter());
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

    /// Windows, oldest first, that are made next, each by itself.
    fn wait_first(&mut self, windows: impl DoubleEndedIterator<Item = TimeRange>) {
        let wait = |window| self.waiting.push_front(vec![window]);
        match self.order {
            Order::Oldest => windows.rev().for_each(wait),
            Order::Newest => windows.for_each(wait),
        }
    }
}
