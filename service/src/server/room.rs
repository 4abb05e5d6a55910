//! Room for connections: at most so many are open, and when one more comes, the one goes that has been silent for the longest time.
//!
//! Silent is who has no request at work here and has moved no byte for [`SILENCE`]: idle between requests, stuck within a head, or
//! not reading an answer. So clients that are stuck cannot keep others out. A connection with a request at work is never told to
//! go; when all have one, the next waits until one of them ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Whoever moved a byte within this time is not silent: its next request may be on its way.
const SILENCE: Duration = Duration::from_secs(1);

/// How often silence is looked for while there is no room.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Open connections of this process, for its metrics. One process has one server, except in tests.
static OPEN: AtomicI64 = AtomicI64::new(0);

/// The bound of [`OPEN`].
static LIMIT: AtomicI64 = AtomicI64::new(0);

/// Connections that made room for others since the start.
static MADE_ROOM: AtomicU64 = AtomicU64::new(0);

/// What `/metrics` shows of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) open: i64,
    pub(crate) limit: i64,
    pub(crate) made_room: u64,
}

/// The connections of this process; nothing while it does not serve.
pub(crate) fn counted() -> Option<Counted> {
    let limit = LIMIT.load(Ordering::Relaxed);
    (limit > 0).then(|| Counted {
        open: OPEN.load(Ordering::Relaxed),
        limit,
        made_room: MADE_ROOM.load(Ordering::Relaxed),
    })
}

/// Room for a number of connections.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    taken: Arc<Taken>,
    next: u64,
}

/// What room and places share.
#[derive(Debug)]
struct Taken {
    began: Instant,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
}

impl Taken {
    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        // No user code runs under the lock.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Connection {
    /// When the last byte was moved, milliseconds since the server began.
    moved: AtomicU64,
    /// Requests whose answers have not begun.
    at_work: AtomicUsize,
    is_told: Notify,
}

impl Room {
    /// Room for so many, at least one.
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        LIMIT.store(i64::try_from(most).unwrap_or(i64::MAX), Ordering::Relaxed);
        Self {
            places: Arc::new(Semaphore::new(most)),
            taken: Arc::new(Taken {
                began: Instant::now(),
                connections: Mutex::default(),
            }),
            next: 0,
        }
    }

    /// A place for a connection, as soon as there is one.
    pub(super) async fn place(&mut self) -> Place {
        let permit = loop {
            if let Ok(permit) = self.places.clone().try_acquire_owned() {
                break permit;
            }
            self.tell_the_longest_silent();
            let freed = tokio::time::timeout(LOOK_EVERY, self.places.clone().acquire_owned()).await;
            if let Ok(Ok(permit)) = freed {
                break permit;
            }
        };
        self.next += 1;
        let connection = Arc::new(Connection {
            moved: AtomicU64::new(millis(self.taken.began)),
            at_work: AtomicUsize::new(0),
            is_told: Notify::new(),
        });
        self.taken.connections().insert(self.next, connection.clone());
        OPEN.fetch_add(1, Ordering::Relaxed);
        Place {
            number: self.next,
            taken: self.taken.clone(),
            connection,
            _permit: permit,
        }
    }

    fn tell_the_longest_silent(&self) {
        let now = millis(self.taken.began);
        let connections = self.taken.connections();
        let silent = connections.values().filter_map(|connection| {
            let moved = connection.moved.load(Ordering::Relaxed);
            let is_silent = now.saturating_sub(moved) >= SILENCE.as_millis() as u64
                && connection.at_work.load(Ordering::Relaxed) == 0;
            is_silent.then_some((moved, connection))
        });
        if let Some((_, connection)) = silent.min_by_key(|(moved, _)| *moved) {
            connection.is_told.notify_one();
        }
    }
}

/// The place of one connection; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    taken: Arc<Taken>,
    connection: Arc<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Returns when the place is wanted for another.
    pub(super) async fn told_to_go(&self) {
        self.connection.is_told.notified().await;
        MADE_ROOM.fetch_add(1, Ordering::Relaxed);
    }

    /// A byte was moved.
    pub(super) fn moved(&self) {
        self.connection.moved.store(millis(self.taken.began), Ordering::Relaxed);
    }

    /// A request is at work until this is dropped.
    pub(super) fn at_work(self: &Arc<Self>) -> AtWork {
        self.connection.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.connections().remove(&self.number);
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request at work.
#[derive(Debug)]
pub(super) struct AtWork(Arc<Place>);

impl Drop for AtWork {
    fn drop(&mut self) {
        // Its answer is still to be sent: that takes its own time.
        self.0.moved();
        self.0.connection.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a place and gives it back when told.
    async fn sit(room: &mut Room) -> (Arc<Place>, tokio::task::JoinHandle<()>) {
        let place = Arc::new(room.place().await);
        let sitting = place.clone();
        let task = tokio::spawn(async move { sitting.told_to_go().await });
        (place, task)
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_goes_and_who_works_stays() {
        let mut room = Room::new(3);
        let (working, worker) = sit(&mut room).await;
        let at_work = working.at_work();
        let (silent, silent_task) = sit(&mut room).await;
        let (talking, talker) = sit(&mut room).await;
        tokio::time::sleep(SILENCE * 3).await;
        talking.moved();
        // The told one leaves when its task ends and the last handle goes.
        let leaving = tokio::spawn(async move {
            let ended = silent_task.await;
            drop(silent);
            ended
        });
        let fourth = room.place().await;
        assert!(leaving.await.is_ok(), "the silent one was told");
        assert!(!worker.is_finished() && !talker.is_finished());
        drop((fourth, at_work));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_work_the_next_one_waits() {
        let mut room = Room::new(1);
        let (working, worker) = sit(&mut room).await;
        let at_work = working.at_work();
        let waited = tokio::time::timeout(SILENCE * 10, room.place()).await;
        assert!(waited.is_err() && !worker.is_finished());
        // Its request is done: it is let alone for a while, then it is told.
        drop(at_work);
        let leaving = tokio::spawn(async move {
            let ended = worker.await;
            drop(working);
            ended
        });
        let began = Instant::now();
        let _next = room.place().await;
        assert!(leaving.await.is_ok() && began.elapsed() >= SILENCE);
    }
}
