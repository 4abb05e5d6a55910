//! Bytes of one file that are fetched before they are asked for, so that a store far away is not waited for again and again.
//!
//! Whoever knows which rows come says so; pieces then come in tasks of their own while what came before is decoded. What is held and under way
//! stays within a bound, and all readers of a process together have a bounded number of requests under way. It is an offer only: what is
//! not here, or failed on the way, is fetched by who needs it, and errors are told there.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::begun::Begun;

/// Ranges that are nearer than this are fetched together with what lies between them: what a network brings in the time that a request
/// costs at both ends.
pub(super) const NEAR_BYTES: u64 = 16 << 10;

/// As much may be held longer than it is of use, to save a request.
const SMALL_BYTES: u64 = 2 << 10;

/// Requests of a process that are under way ahead of reading: pages of a flush, of which a network that brings 100 MB/s after 30 ms has a hundred
/// under way.
pub(super) static UNDER_WAY: Semaphore = Semaphore::const_new(96);

/// What of a file is held and under way.
pub(super) struct ReadAhead {
    store: Arc<dyn ObjectStore>,
    location: Path,
    most_bytes: u64,
    pieces: Mutex<Vec<Piece>>,
}

/// Some bytes that will be needed.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) bytes: Range<u64>,
    /// Whoever has passed this row of the file needs them no more.
    pub(super) until: u64,
}

struct Piece {
    wanted: Wanted,
    state: State,
}

enum State {
    UnderWay(Begun<Option<Bytes>>),
    Here(Bytes),
    /// It failed, or somebody waits for it.
    Gone,
}

impl ReadAhead {
    pub(super) fn new(store: Arc<dyn ObjectStore>, location: Path, most_bytes: u64) -> Self {
        Self {
            store,
            location,
            most_bytes,
            pieces: Mutex::default(),
        }
    }

    /// The most that is held and under way.
    pub(super) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// How much more may be held or under way.
    pub(super) fn room(&self) -> u64 {
        self.most_bytes.saturating_sub(self.bytes())
    }

    /// Bytes that are held or under way.
    pub(super) fn bytes(&self) -> u64 {
        let pieces = self.pieces.lock();
        pieces.iter().map(Piece::length).sum()
    }

    /// Lets go of what is of no use from a row on.
    pub(super) fn pass(&self, row: u64) {
        self.pieces.lock().retain(|piece| piece.wanted.until > row);
    }

    /// Begins to fetch, near ranges together. Outside of a runtime nothing happens.
    pub(super) fn begin(&self, mut wanted: Vec<Wanted>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        wanted.sort_by_key(|wanted| wanted.bytes.start);
        let mut joined: Vec<Wanted> = Vec::with_capacity(wanted.len());
        for next in wanted {
            match joined.last_mut() {
                Some(last) if last.is_near(&next) => {
                    last.bytes.end = last.bytes.end.max(next.bytes.end);
                    last.until = last.until.max(next.until);
                }
                _ => joined.push(next),
            }
        }
        for wanted in joined {
            let (store, location, range) = (Arc::clone(&self.store), self.location.clone(), wanted.bytes.clone());
            let begun = Begun::new(&runtime, async move {
                let _permit = UNDER_WAY.acquire().await.ok()?;
                let length = range.end - range.start;
                let mut fetched = store.get_ranges(&location, &[range]).await.ok()?;
                fetched.pop().filter(|bytes| bytes.len() as u64 == length)
            });
            let state = State::UnderWay(begun);
            self.pieces.lock().push(Piece { wanted, state });
        }
    }

    /// Some bytes, when all of them are here or under way; waits for the latter.
    pub(super) async fn take(&self, wanted: &Range<u64>) -> Option<Bytes> {
        self.covers(wanted).then_some(())?;
        let mut found = Vec::new();
        let mut at = wanted.start;
        while at < wanted.end {
            let (start, bytes) = self.piece_at(at).await?;
            let from = usize::try_from(at - start).ok()?;
            let to = usize::try_from(wanted.end - start).map_or(bytes.len(), |to| to.min(bytes.len()));
            (from < to).then_some(())?;
            at += (to - from) as u64;
            found.push(bytes.slice(from..to));
        }
        match <[Bytes; 1]>::try_from(found) {
            Ok([whole]) => Some(whole),
            Err(several) => {
                let mut whole = BytesMut::with_capacity(several.iter().map(Bytes::len).sum());
                several.iter().for_each(|bytes| whole.extend_from_slice(bytes));
                Some(whole.freeze())
            }
        }
    }

    fn covers(&self, wanted: &Range<u64>) -> bool {
        let pieces = self.pieces.lock();
        let mut at = wanted.start;
        while at < wanted.end {
            match pieces.iter().find(|piece| piece.has(at)) {
                Some(piece) => at = piece.wanted.bytes.end,
                None => return false,
            }
        }
        true
    }

    /// Where the piece begins that has a byte, and what is in it.
    async fn piece_at(&self, at: u64) -> Option<(u64, Bytes)> {
        let (start, mut begun) = {
            let mut pieces = self.pieces.lock();
            let piece = pieces.iter_mut().find(|piece| piece.has(at))?;
            let start = piece.wanted.bytes.start;
            match &mut piece.state {
                State::Here(bytes) => return Some((start, bytes.clone())),
                State::Gone => return None,
                state => match std::mem::replace(state, State::Gone) {
                    State::UnderWay(begun) => (start, begun),
                    State::Here(_) | State::Gone => return None,
                },
            }
        };
        let bytes = begun.end().await.flatten()?;
        let mut pieces = self.pieces.lock();
        if let Some(piece) = pieces.iter_mut().find(|piece| piece.has(at)) {
            piece.state = State::Here(bytes.clone());
        }
        Some((start, bytes))
    }
}

impl Wanted {
    /// Whether they are worth fetching together. What is passed early would be held as long as the other, in place of what comes next, so of
    /// that there may be little.
    fn is_near(&self, next: &Self) -> bool {
        let length = |wanted: &Self| wanted.bytes.end - wanted.bytes.start;
        let held_longer = match self.until.cmp(&next.until) {
            Ordering::Less => length(self),
            Ordering::Equal => 0,
            Ordering::Greater => length(next),
        };
        next.bytes.start <= self.bytes.end.saturating_add(NEAR_BYTES) && held_longer <= SMALL_BYTES
    }
}

impl Piece {
    fn has(&self, at: u64) -> bool {
        self.wanted.bytes.contains(&at)
    }

    fn length(&self) -> u64 {
        self.wanted.bytes.end - self.wanted.bytes.start
    }
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead")
            .field("location", &self.location)
            .field("most_bytes", &self.most_bytes)
            .finish_non_exhaustive()
    }
}
