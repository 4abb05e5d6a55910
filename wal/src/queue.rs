//! What waits for the writer thread: appends and rotations in the order of the calls, bounded in bytes.
//!
//! The order is the promise: a rotation closes exactly the records enqueued before it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::{AppendError, Pending, PendingAppend, PendingRotation, Position, Record, SegmentRange};

/// What an entry weighs beside its body.
const ENTRY_BYTES: usize = 128;

/// One call that waits.
#[derive(Debug)]
pub(crate) enum Item {
    Append {
        record: Record,
        done: oneshot::Sender<Result<Position, AppendError>>,
    },
    Rotate {
        done: oneshot::Sender<Result<Option<SegmentRange>, AppendError>>,
    },
}

impl Item {
    /// How much of the bound it takes.
    fn weight(&self) -> usize {
        match self {
            Self::Append { record, .. } => record.body.len() + ENTRY_BYTES,
            Self::Rotate { .. } => 0,
        }
    }
}

/// The queue between callers and the writer thread.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<Item>,
    /// Whether the writer sleeps: only then a caller pays for waking it.
    is_awaited: bool,
    /// Weight of what waits and of the group being written: both hold memory.
    weight: usize,
    closed: Option<AppendError>,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            limit,
        }
    }

    pub(crate) fn append(&self, record: Record) -> PendingAppend {
        let (done, answer) = oneshot::channel();
        self.push(Item::Append { record, done }, answer)
    }

    pub(crate) fn rotate(&self) -> PendingRotation {
        let (done, answer) = oneshot::channel();
        self.push(Item::Rotate { done }, answer)
    }

    fn push<T>(&self, item: Item, answer: oneshot::Receiver<Result<T, AppendError>>) -> Pending<T> {
        let weight = item.weight();
        let mut state = self.lock();
        if let Some(error) = state.closed {
            return Pending::refused(error);
        }
        if weight > 0 && state.weight > 0 && state.weight.saturating_add(weight) > self.limit {
            return Pending::refused(AppendError::Overloaded);
        }
        state.weight += weight;
        state.items.push(item);
        let is_awaited = std::mem::take(&mut state.is_awaited);
        drop(state);
        if is_awaited {
            self.wake.notify_one();
        }
        Pending::queued(answer)
    }

    /// Waits for items, puts all of them into `items`, which is empty, and answers their weight; `None` once the queue is
    /// closed and empty.
    pub(crate) fn take(&self, items: &mut Vec<Item>) -> Option<usize> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state.is_awaited = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The two lists change places, so that neither is allocated again.
        std::mem::swap(&mut state.items, items);
        drop(state);
        Some(items.iter().map(Item::weight).sum())
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Gives the weight of a group back that was taken and answered.
    pub(crate) fn release(&self, weight: usize) {
        self.lock().weight -= weight;
    }

    /// Refuses everything from now on; what waits already stays. A fatal end is not softened by a later close.
    pub(crate) fn close(&self, error: AppendError) {
        let mut state = self.lock();
        if state.closed != Some(AppendError::Fatal) {
            state.closed = Some(error);
        }
        drop(state);
        self.wake.notify_all();
    }

    /// Refuses what waits and everything from now on, because the disk failed.
    pub(crate) fn fail(&self) {
        self.close(AppendError::Fatal);
        // A waiter whose sender is dropped reads it as fatal.
        let waiting = std::mem::take(&mut self.lock().items);
        drop(waiting);
    }

    /// Bytes that wait or are being written.
    pub(crate) fn weight(&self) -> usize {
        self.lock().weight
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
