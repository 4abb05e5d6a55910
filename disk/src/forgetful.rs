//! A file system in memory that forgets, at a crash, what was not synced.
//!
//! It keeps two images: the live one that the code under test sees, and the durable one. The content and length of a
//! file enter the durable image by a sync of that file, a change of names by a sync of its directory; nothing else does.
//! It is stricter than the common file systems (which persist the name together with an fsynced new file, and keep the
//! order of operations), because POSIX promises no more. It must never be kinder than the disk.
//!
//! Its clock is the number of calls made so far, counted as milliseconds since the Unix epoch.
//!
//! Tests steer it: [`ForgetfulFs::crash_at`] stops the code at any step, [`ForgetfulFs::crash`] gives what a machine would
//! find after the power came back, [`ForgetfulFs::ignore_sync`] takes out chosen syncs, so that a test can show that each
//! one is needed. Faults that are no crash (a failing sync or call, a write that stops half-way, a full disk) are ordered by
//! [`ForgetfulFs::fail_sync`] and its like.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

mod access;
mod crash;
mod faults;
mod image;
mod names;
#[cfg(test)]
mod tests;

use faults::Faults;
use image::Image;

/// The unit in which a torn write is kept or lost, in bytes.
const SECTOR: usize = 512;

/// Decides for a sync of a path whether it is silently not done.
type SyncFilter = Arc<dyn Fn(SyncKind, &Path) -> bool + Send + Sync>;

/// What a crash does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// All of it is lost.
    LoseAll,
    /// Each unsynced 512-byte sector, each unsynced length and each unsynced change of a directory is kept or lost by a
    /// coin with this seed.
    Torn(u64),
}

/// The three ways to make something durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SyncKind {
    /// [`crate::File::sync_data`].
    Data,
    /// [`crate::File::sync_all`].
    All,
    /// [`crate::FileSystem::sync_dir`].
    Directory,
}

/// The file system that forgets; clones share the same files.
#[derive(Clone, Debug, Default)]
pub struct ForgetfulFs {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    image: Image,
    steps: u64,
    crash_at: Option<u64>,
    space: Option<u64>,
    syncs: Vec<(SyncKind, PathBuf)>,
    faults: Faults,
    ignore: Option<SyncFilter>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("steps", &self.steps)
            .field("crash_at", &self.crash_at)
            .finish_non_exhaustive()
    }
}

impl ForgetfulFs {
    /// An empty file system; `/` exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many mutating or syncing calls were made (reads are not counted).
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Makes step number `step` (the first is 1) and every call after it fail without effect, reads included, so that
    /// the code under test stops there.
    pub fn crash_at(&self, step: u64) {
        self.lock().crash_at = Some(step);
    }

    /// Whether the step given to [`Self::crash_at`] was reached.
    pub fn has_crashed(&self) -> bool {
        self.lock().is_crashed()
    }

    /// What a restarted machine finds: a new, independent file system without limits, faults or crash point.
    ///
    /// This one stays as it is, so that one run can be crashed in several ways.
    pub fn crash(&self, mode: CrashMode) -> Self {
        Self::from_image(crash::survivors(&self.lock().image, mode))
    }

    /// What a restarted process finds when only the process died: everything is there, and what was not synced is still
    /// not durable. Otherwise as [`Self::crash`].
    pub fn restart(&self) -> Self {
        Self::from_image(self.lock().image.clone())
    }

    fn from_image(image: Image) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                image,
                ..State::default()
            })),
        }
    }

    /// Limits the sum of the lengths of all files; what would exceed it fails with `StorageFull` after as much as fits.
    pub fn set_space(&self, bytes: u64) {
        self.lock().space = Some(bytes);
    }

    /// Takes the limit of [`Self::set_space`] away.
    pub fn unlimited_space(&self) {
        self.lock().space = None;
    }

    /// The sum of the lengths of all files in bytes, as counted against [`Self::set_space`].
    pub fn used_space(&self) -> u64 {
        self.lock().image.used_space()
    }

    /// Makes the `n`-th sync from now (the first is 1) fail with an I/O error; may be called for several.
    ///
    /// As on Linux, what that sync should have written counts as clean afterwards: a later sync does not write it.
    pub fn fail_sync(&self, n: u64) {
        let mut state = self.lock();
        let due = state.syncs.len() as u64 + n;
        state.faults.fail_sync(due);
    }

    /// Makes the `n`-th mutating or syncing call from now (the first is 1) fail with this kind and without effect; a sync
    /// fails as by [`Self::fail_sync`]. May be called for several.
    pub fn fail_call(&self, n: u64, kind: io::ErrorKind) {
        let mut state = self.lock();
        let due = state.steps + n;
        state.faults.fail_call(due, kind);
    }

    /// Makes the `n`-th write from now (the first is 1) write only its first `written` bytes and then fail with this kind,
    /// whatever space there is; may be called for several.
    pub fn shorten_write(&self, n: u64, written: usize, kind: io::ErrorKind) {
        self.lock().faults.shorten_write(n, written, kind);
    }

    /// After `bytes` more bytes every write fails with this kind, also one into allocated space, as on copy-on-write file
    /// systems and under quotas; the write that crosses the limit has written up to it.
    pub fn limit_writes(&self, bytes: usize, kind: io::ErrorKind) {
        self.lock().faults.limit_writes(Some((bytes, kind)));
    }

    /// Takes the limit of [`Self::limit_writes`] away.
    pub fn unlimited_writes(&self) {
        self.lock().faults.limit_writes(None);
    }

    /// From now on the syncs for which `filter` answers true return success and do nothing.
    ///
    /// The filter runs without any lock held, so a test may also block in it to hold a sync open.
    pub fn ignore_sync(&self, filter: impl Fn(SyncKind, &Path) -> bool + Send + Sync + 'static) {
        self.lock().ignore = Some(Arc::new(filter));
    }

    /// All syncs asked for so far (ignored and failed ones included), with the path that the file was opened by.
    pub fn sync_log(&self) -> Vec<(SyncKind, PathBuf)> {
        self.lock().syncs.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held is a failing test already; its message matters more than the poison.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks for a call that changes nothing.
    fn read(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.is_crashed() { Err(crashed()) } else { Ok(state) }
    }

    /// Locks for a call that changes something, and counts it.
    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.steps += 1;
        if state.is_crashed() {
            return Err(crashed());
        }
        match state.faults.of_call(state.steps) {
            Some(error) => Err(error),
            None => Ok(state),
        }
    }

    fn sync(
        &self,
        kind: SyncKind,
        path: &Path,
        apply: impl FnOnce(&mut Image, SyncOutcome) -> io::Result<()>,
    ) -> io::Result<()> {
        let filter = self.lock().ignore.clone();
        let is_ignored = filter.is_some_and(|filter| filter(kind, path));
        let mut state = self.lock();
        state.steps += 1;
        if state.is_crashed() {
            return Err(crashed());
        }
        state.syncs.push((kind, path.to_path_buf()));
        let number = state.syncs.len() as u64;
        if let Some(error) = state.faults.of_call(state.steps) {
            apply(&mut state.image, SyncOutcome::Failed)?;
            return Err(error);
        }
        if state.faults.fails_sync(number) {
            apply(&mut state.image, SyncOutcome::Failed)?;
            return Err(io::Error::other(format!(
                "injected failure of the sync of `{}`",
                path.display()
            )));
        }
        let outcome = if is_ignored {
            SyncOutcome::Ignored
        } else {
            SyncOutcome::Done
        };
        apply(&mut state.image, outcome)
    }
}

/// What becomes of a sync.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SyncOutcome {
    Done,
    Ignored,
    Failed,
}

impl State {
    fn is_crashed(&self) -> bool {
        self.crash_at.is_some_and(|step| self.steps >= step)
    }

    /// The time of the step being made: a millisecond passes with each, so that what a test sees is the same each time.
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.steps)
    }

    /// How long a file may be that now has `len` bytes.
    fn len_limit(&self, len: usize) -> usize {
        let Some(space) = self.space else { return usize::MAX };
        let free = space.saturating_sub(self.image.used_space());
        len.saturating_add(usize::try_from(free).unwrap_or(usize::MAX))
    }
}

fn crashed() -> io::Error {
    io::Error::other("the machine has crashed")
}
