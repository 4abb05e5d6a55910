//! The lock that keeps a second process out of a data directory.
//!
//! An advisory lock on `<directory>/lock`, which the kernel lets go when the process ends, however it ends. The file
//! itself stays, and must never be removed: two processes could then hold locks on two files of the same name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Name of the lock file in its directory.
pub const LOCK_FILE: &str = "lock";

/// Why a data directory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process works on it.
    #[error("data directory `{}` is in use by {}; stop it first, or give another `--storage.path`", .path.display(), holder(*.pid))]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock, if it got as far as writing its number.
        pid: Option<u32>,
    },
    /// The directory or its lock file cannot be made, opened or written.
    #[error("cannot lock the data directory: `{}`", .path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// A locked data directory; dropping it, or the end of the process, lets go.
#[derive(Debug)]
pub struct DirectoryLock {
    path: PathBuf,
    /// Held only for its lock.
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory durably if it is missing, and locks it for this process.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it, [`LockError::Io`] when the file system refuses.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let io_error = |path: &Path, source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        make_durable(directory).map_err(|source| io_error(directory, source))?;
        let path = directory.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| io_error(&path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    path: directory.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(&path, source)),
        }
        write_pid(&mut file).map_err(|source| io_error(&path, source))?;
        Ok(Self {
            path: directory.to_owned(),
            _file: file,
        })
    }

    /// The locked directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    // No number is longer; whatever else someone put there is not read.
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// For people and for the message above only: nothing depends on it, so it is not synced.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Makes a directory and its missing parents such that they survive power loss.
///
/// What is acknowledged later is only as durable as the entries on the way to it. Parents that were there are synced
/// too: a process may have made them and ended before its sync.
fn make_durable(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for parent in directory.canonicalize()?.ancestors() {
        match File::open(parent) {
            Ok(handle) => match handle.sync_all() {
                // The answer of file systems that have no such call; they have no stronger one either.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                answer => answer?,
            },
            // A directory that we may pass but not list is not one we made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn makes_the_directory_and_keeps_the_second_out_until_dropped() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("a/b/data");
        let lock = DirectoryLock::acquire(&directory).unwrap();
        assert_eq!(lock.path(), directory);
        // The lock belongs to the open file, so a second opening in this process meets it as another process would.
        let error = DirectoryLock::acquire(&directory).unwrap_err();
        assert!(
            matches!(error, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&format!("is in use by process {}", std::process::id())),
            "{text}"
        );
        assert!(text.contains("--storage.path"), "{text}");
        drop(lock);
        DirectoryLock::acquire(&directory).unwrap();
    }

    #[test]
    fn a_stale_file_is_no_lock_and_its_number_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(
            scratch.path().join(LOCK_FILE),
            "99999999999999999999 not a number at all",
        )
        .unwrap();
        let _lock = DirectoryLock::acquire(scratch.path()).unwrap();
        let text = std::fs::read_to_string(scratch.path().join(LOCK_FILE)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_holder_without_a_number_is_reported_too() {
        let scratch = tempfile::tempdir().unwrap();
        let file = File::create(scratch.path().join(LOCK_FILE)).unwrap();
        file.try_lock().unwrap();
        let error = DirectoryLock::acquire(scratch.path()).unwrap_err();
        assert!(matches!(error, LockError::Held { pid: None, .. }), "{error:?}");
        assert!(error.to_string().contains("in use by another process"));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("data");
        std::fs::write(&path, "").unwrap();
        let error = DirectoryLock::acquire(&path).unwrap_err();
        assert!(
            matches!(&error, LockError::Io { path: named, .. } if *named == path),
            "{error:?}"
        );
    }
}
