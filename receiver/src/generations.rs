//! Generations: head and log segments between two rotations.
//!
//! The log append and the ticket are taken under one lock, and a rotation under the same: so the log holds every record of a
//! generation before the first of the next, and a generation is frozen only when its tickets are back. A frozen table is
//! therefore exactly its segments: what is flushed from it may replace them.
//!
//! Reading takes content first and the position after, under the lock that moves parts out of the head: what moves in between is
//! seen twice, never missed. This module must never do I/O under its lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use emberkeep_model::TenantId;
use emberkeep_model::head::HeadPosition;
use emberkeep_wal::{PendingAppend, PendingRotation, Record, SegmentRange, Wal};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::batch::Batch;
use crate::series_table::SeriesTable;
use crate::staging::StagedPart;

/// One generation: the table that holds what its segments hold.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) table: SeriesTable,
    tickets: AtomicUsize,
    returned: Notify,
    newest_arrival: AtomicI64,
}

impl Generation {
    pub(crate) fn new() -> Self {
        Self {
            table: SeriesTable::new(),
            tickets: AtomicUsize::new(0),
            returned: Notify::new(),
            newest_arrival: AtomicI64::new(i64::MIN),
        }
    }

    /// Appends what a record of this generation accepted. Only for the holder of a ticket, and for replay.
    pub(crate) fn append(&self, tenant: &TenantId, batch: &Batch<'_>, recognised_by: &SeriesTable, arrival: i64) {
        self.table.append(tenant, batch, recognised_by, arrival);
        self.newest_arrival.fetch_max(arrival, Ordering::Relaxed);
    }

    /// Arrival of the newest record, milliseconds since 1970.
    pub(crate) fn newest_arrival(&self) -> i64 {
        self.newest_arrival.load(Ordering::Relaxed)
    }

    /// Returns when no ticket is out. Meaningful once the generation is no longer open.
    async fn all_tickets_back(&self) {
        loop {
            let returned = self.returned.notified();
            if self.tickets.load(Ordering::Acquire) == 0 {
                return;
            }
            returned.await;
        }
    }
}

/// The right and duty of one request to append to the generation whose segments hold its record.
#[derive(Debug)]
pub(crate) struct Ticket {
    generation: Arc<Generation>,
}

impl Ticket {
    /// Appends what a request holds; its series were recognised by `recognised_by`, which may have been rotated since.
    pub(crate) fn append(&self, tenant: &TenantId, batch: &Batch<'_>, recognised_by: &Generation, arrival: i64) {
        self.generation.append(tenant, batch, &recognised_by.table, arrival);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.generation.tickets.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.generation.returned.notify_waiters();
        }
    }
}

/// A generation that no request appends to any more, and its part of the log.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) generation: Arc<Generation>,
    /// None when no record was written.
    pub(crate) segments: Option<SegmentRange>,
}

/// Everything that one read of the head must look at.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) generations: Vec<Arc<Generation>>,
    pub(crate) staged: Vec<Arc<StagedPart>>,
}

#[derive(Debug)]
struct Inner {
    open: Arc<Generation>,
    /// Rotated, perhaps still waiting for tickets or for their flush.
    closed: VecDeque<Arc<Generation>>,
    staged: VecDeque<Arc<StagedPart>>,
    position: HeadPosition,
}

/// Open, frozen and staged generations of one receiver.
#[derive(Debug)]
pub(crate) struct Generations {
    wal: Wal,
    inner: Mutex<Inner>,
    pub(crate) staged_arrived: Notify,
    pub(crate) staged_left: Notify,
    staged_bytes: AtomicU64,
    /// Staged parts on local disk, those committed and not yet removed included.
    local_parts: AtomicUsize,
}

impl Generations {
    pub(crate) fn new(wal: Wal, receiver: String, staged: Vec<StagedPart>) -> Self {
        let staged_bytes = AtomicU64::new(staged.iter().map(StagedPart::bytes).sum());
        let local_parts = AtomicUsize::new(staged.len());
        let inner = Inner {
            open: Arc::new(Generation::new()),
            closed: VecDeque::new(),
            staged: staged.into_iter().map(Arc::new).collect(),
            position: HeadPosition {
                receiver,
                epoch: 0,
                committed: 0,
            },
        };
        Self {
            wal,
            inner: Mutex::new(inner),
            staged_arrived: Notify::new(),
            staged_left: Notify::new(),
            staged_bytes,
            local_parts,
        }
    }

    /// The generation that is open now: the one in which the series of a request are most likely known.
    pub(crate) fn open(&self) -> Arc<Generation> {
        self.inner.lock().open.clone()
    }

    /// Puts a record into the log and takes the ticket of the generation it went to.
    pub(crate) fn log(&self, record: Record) -> (Ticket, PendingAppend) {
        let inner = self.inner.lock();
        inner.open.tickets.fetch_add(1, Ordering::AcqRel);
        let ticket = Ticket {
            generation: inner.open.clone(),
        };
        let pending = self.wal.append(record);
        (ticket, pending)
    }

    /// Takes a replayed generation in: it is frozen from the start.
    pub(crate) fn adopt_replayed(&self, generation: Arc<Generation>) {
        self.inner.lock().closed.push_back(generation);
    }

    /// Closes the open generation and opens the next one. Waits for the tickets of the closed one.
    ///
    /// # Errors
    /// The log does not rotate: the generation stays readable and its segments stay.
    pub(crate) async fn rotate(&self) -> Result<Frozen, emberkeep_wal::AppendError> {
        let (generation, pending): (_, PendingRotation) = {
            let mut inner = self.inner.lock();
            let pending = self.wal.rotate();
            let generation = std::mem::replace(&mut inner.open, Arc::new(Generation::new()));
            inner.closed.push_back(generation.clone());
            (generation, pending)
        };
        let segments = pending.await?;
        generation.all_tickets_back().await;
        Ok(Frozen { generation, segments })
    }

    /// A closed generation that held nothing to keep leaves the head.
    pub(crate) fn forget(&self, generation: &Arc<Generation>) {
        self.inner.lock().closed.retain(|g| !Arc::ptr_eq(g, generation));
    }

    /// A closed generation is replaced by another reading of its segments.
    pub(crate) fn replace(&self, old: &Arc<Generation>, new: &Arc<Generation>) {
        let mut inner = self.inner.lock();
        inner
            .closed
            .iter_mut()
            .filter(|g| Arc::ptr_eq(g, old))
            .for_each(|g| *g = new.clone());
    }

    /// The staged part takes the place of its generation, in one step for every reader.
    pub(crate) fn staged(&self, generation: &Arc<Generation>, part: StagedPart) {
        self.staged_bytes.fetch_add(part.bytes(), Ordering::Relaxed);
        self.local_parts.fetch_add(1, Ordering::Release);
        let mut inner = self.inner.lock();
        inner.closed.retain(|g| !Arc::ptr_eq(g, generation));
        inner.staged.push_back(Arc::new(part));
        drop(inner);
        self.staged_arrived.notify_one();
    }

    /// The oldest staged part: parts are committed in log order.
    pub(crate) fn oldest_staged(&self) -> Option<Arc<StagedPart>> {
        self.inner.lock().staged.front().cloned()
    }

    /// A staged part is in the catalog: it leaves the head, and the position covers it, in one step for every reader.
    pub(crate) fn committed(&self, part: &Arc<StagedPart>, epoch: u64, sequence: u64) {
        let mut inner = self.inner.lock();
        inner.staged.retain(|p| !Arc::ptr_eq(p, part));
        inner.position.epoch = epoch;
        inner.position.committed = inner.position.committed.max(sequence);
    }

    /// A committed part is gone from local disk.
    pub(crate) fn removed(&self, part: &StagedPart) {
        self.staged_bytes.fetch_sub(part.bytes(), Ordering::Relaxed);
        self.local_parts.fetch_sub(1, Ordering::Release);
        self.staged_left.notify_waiters();
    }

    /// An epoch was claimed; `sequence` is the last one that is in the catalog.
    pub(crate) fn claimed(&self, epoch: u64, sequence: u64) {
        let mut inner = self.inner.lock();
        inner.position.epoch = epoch;
        inner.position.committed = inner.position.committed.max(sequence);
    }

    /// What a read must look at; take it before [`Generations::position`].
    pub(crate) fn content(&self) -> Content {
        let inner = self.inner.lock();
        Content {
            generations: inner.closed.iter().chain([&inner.open]).cloned().collect(),
            staged: inner.staged.iter().cloned().collect(),
        }
    }

    /// Where the head stands now.
    pub(crate) fn position(&self) -> HeadPosition {
        self.inner.lock().position.clone()
    }

    /// Head bytes of the open generation, and of all that are not staged.
    pub(crate) fn head_bytes(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        let open = inner.open.table.bytes();
        (open, open + inner.closed.iter().map(|g| g.table.bytes()).sum::<usize>())
    }

    /// Series of all generations that are not staged; one that appears in two counts twice.
    pub(crate) fn n_series(&self) -> u64 {
        let inner = self.inner.lock();
        inner.open.table.n_series() + inner.closed.iter().map(|g| g.table.n_series()).sum::<u64>()
    }

    /// Bytes and number of staged parts on local disk, those committed and not yet removed included.
    pub(crate) fn staged_size(&self) -> (u64, usize) {
        (
            self.staged_bytes.load(Ordering::Relaxed),
            self.local_parts.load(Ordering::Acquire),
        )
    }

    /// The log itself, for its counters and its end.
    pub(crate) fn wal(&self) -> &Wal {
        &self.wal
    }
}
