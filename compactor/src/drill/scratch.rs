//! The scratch directory of drills: one at a time, and nothing stays but what somebody asked to keep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use emberkeep_service::lock::{DirectoryLock, LockError};
use tracing::warn;

use super::DrillError;
use super::leftovers::end_processes;

/// The scratch directory while it is held. What is in it goes when this is dropped, or at the next start.
#[derive(Debug)]
pub(super) struct Scratch {
    lock: DirectoryLock,
    work: PathBuf,
}

impl Scratch {
    /// Takes the directory, and removes what a killed drill left: processes first, then files.
    ///
    /// # Errors
    /// [`DrillError::Busy`] while another drill runs.
    pub(super) fn acquire(directory: &Path) -> Result<Self, DrillError> {
        let lock = match DirectoryLock::acquire(directory) {
            Ok(lock) => lock,
            Err(error @ LockError::Held { .. }) => return Err(DrillError::Busy(error)),
            Err(LockError::Io { path, source }) => return Err(DrillError::local(&path)(source)),
        };
        let directory = directory.canonicalize().map_err(DrillError::local(directory))?;
        let work = directory.join("work");
        end_processes(&work);
        remove(&work)?;
        fs::create_dir(&work).map_err(DrillError::local(&work))?;
        Ok(Self { lock, work })
    }

    /// Removes what a killed drill left, if there is a scratch directory and nobody uses it.
    pub(super) fn clear(directory: &Path) {
        if !directory.join("work").exists() {
            return;
        }
        match Self::acquire(directory) {
            Ok(_) | Err(DrillError::Busy(_)) => {}
            Err(error) => warn!(%error, "cannot remove what a killed drill left"),
        }
    }

    /// Where a drill works.
    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// Begins anew, for another choice.
    pub(super) fn empty(&self) -> Result<(), DrillError> {
        remove(&self.work)?;
        fs::create_dir(&self.work).map_err(DrillError::local(&self.work))
    }

    /// Puts what there is aside under a name of its own, where no later drill removes it.
    pub(super) fn keep(self, name: &str) -> Result<PathBuf, DrillError> {
        let kept = self.lock.path().join(name);
        fs::rename(&self.work, &kept).map_err(DrillError::local(&kept))?;
        kept.canonicalize().map_err(DrillError::local(&kept))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.work) {
            warn!(%error, "cannot remove the scratch files of a drill; the next one tries again");
        }
    }
}

fn remove(path: &Path) -> Result<(), DrillError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DrillError::local(path)(error)),
        _ => Ok(()),
    }
}

/// Bytes of all files below a directory; what goes meanwhile is not counted.
pub(super) fn size(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).fold(0, u64::saturating_add)
}

/// Directories with a `meta.json`: blocks.
pub(super) fn blocks(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let found = entries
        .flatten()
        .filter(|entry| entry.path().join("meta.json").exists());
    found.count() as u64
}
