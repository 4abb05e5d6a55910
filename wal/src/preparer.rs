//! The thread that prepares the next segment while the present one is written.
//!
//! A segment that is only allocated makes every sync of it a commit of the file system's journal as well, because each first
//! write turns reserved blocks into written ones (measured in `docs/decisions/0010-log-segments.md`). So the next segment is
//! filled with zeros before it is used. The thread keeps pace with the log: it writes two zeros for each byte of the log, so it
//! is ready when the present segment is half full, and idle when the log is. It only ever helps: whatever it could not do,
//! the writer does itself. It must never touch a file that it has handed over.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use emberkeep_disk::{DIRECT_BLOCK_BYTES, DirectBuffer, FileSystem};

use crate::prepared::{self, Prepared};
use crate::segment::Layout;
use crate::shortage::shortage;

/// How many zeros are written at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Nothing is prepared unless this many segments would still fit, so that other writers find space as long as they would
/// without it.
const SPACE_FACTOR: u64 = 4;

/// What the thread and the writer share.
#[derive(Debug)]
pub(crate) struct Preparer {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    layout: Layout,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the segment to prepare, not begun yet.
    job: Option<u64>,
    is_working: bool,
    /// How far the present segment is written, and how far it must be before the thread goes on.
    progress: u64,
    waits_for: Option<u64>,
    /// The writer wants what there is, now.
    is_wanted: bool,
    is_closed: bool,
    done: Option<Prepared>,
    failure: Option<io::Error>,
}

impl Preparer {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: PathBuf, layout: Layout) -> Self {
        Self {
            fs,
            dir,
            layout,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Asks for the segment of this number; the one before it was just begun.
    pub(crate) fn begin(&self, number: u64) {
        let mut state = self.lock();
        state.progress = 0;
        state.job = Some(number);
        self.changed.notify_all();
    }

    /// Tells how far the present segment is written.
    pub(crate) fn progress(&self, written: u64) {
        let mut state = self.lock();
        state.progress = written;
        if state.waits_for.is_some_and(|due| written >= due) {
            self.changed.notify_all();
        }
    }

    /// Takes what is prepared, finished or not. It waits for the one call of the file system that is being made.
    ///
    /// An error is that of a sync: nothing is known about the directory any more.
    pub(crate) fn take(&self) -> io::Result<Option<Prepared>> {
        let mut state = self.lock();
        state.job = None;
        state.is_wanted = true;
        self.changed.notify_all();
        while state.is_working {
            state = self.wait(state);
        }
        state.is_wanted = false;
        match state.failure.take() {
            Some(error) => Err(error),
            None => Ok(state.done.take()),
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Runs until it is closed.
    pub(crate) fn run(&self) {
        let mut zeros = DirectBuffer::new(CHUNK_BYTES / DIRECT_BLOCK_BYTES);
        zeros.fill(&vec![0; CHUNK_BYTES]);
        while let Some(number) = self.next_job() {
            let _finished = Finished(self);
            match self.prepare(number, &mut zeros) {
                Ok(prepared) => self.lock().done = prepared,
                Err(error) => self.lock().failure = Some(error),
            }
        }
    }

    fn next_job(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(number) = state.job.take() {
                state.is_working = true;
                return Some(number);
            }
            state = self.wait(state);
        }
    }

    /// Waits until the present segment is written so far; false when the writer wants what there is.
    fn reaches(&self, due: u64) -> bool {
        let mut state = self.lock();
        while !state.is_wanted && !state.is_closed && state.progress < due {
            state.waits_for = Some(due);
            state = self.wait(state);
        }
        state.waits_for = None;
        !state.is_wanted && !state.is_closed
    }

    fn prepare(&self, number: u64, zeros: &mut DirectBuffer) -> io::Result<Option<Prepared>> {
        // Not before the present segment is really in use.
        if !self.reaches(1) {
            return Ok(None);
        }
        match self.fill(zeros) {
            Ok((prepared, false)) => Ok(Some(prepared)),
            Ok((mut prepared, true)) => match prepared.name(&*self.fs, &self.dir, number) {
                Err(error) if shortage(&error).is_none() => Err(error),
                _ => Ok(Some(prepared)),
            },
            Err(error) => {
                if shortage(&error).is_none() {
                    tracing::warn!(path = %self.dir.display(), %error, "cannot prepare a segment ahead");
                }
                Ok(None)
            }
        }
    }

    /// Creates the file and fills it; answers whether there was time to fill all of it.
    fn fill(&self, zeros: &mut DirectBuffer) -> io::Result<(Prepared, bool)> {
        let (fs, capacity) = (&*self.fs, self.layout.capacity(0));
        if fs
            .free_bytes(&self.dir)?
            .is_some_and(|free| free / SPACE_FACTOR < capacity)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let prepared = prepared::create(fs, &self.dir, capacity)?;
        let file = match self.layout.open(fs, &prepared.path(&self.dir)) {
            Ok(file) => file,
            Err(error) => {
                prepared.remove(fs, &self.dir);
                return Err(error);
            }
        };
        let mut filled = 0;
        while filled < capacity {
            if !self.reaches(filled / 2) {
                return Ok((prepared, false));
            }
            let len = usize::try_from(capacity - filled)
                .unwrap_or(CHUNK_BYTES)
                .min(CHUNK_BYTES);
            if let Err(error) = file.write_all_at(&zeros.padded(1)[..len], filled) {
                prepared.remove(fs, &self.dir);
                return Err(error);
            }
            filled += len as u64;
        }
        Ok((prepared, true))
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the writer that the thread is at rest, also after a panic of the file system.
struct Finished<'a>(&'a Preparer);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.lock().is_working = false;
        self.0.changed.notify_all();
    }
}
