//! What can go wrong with the log, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why one append or rotation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More bytes wait for the disk than the queue may hold; try again soon.
    #[error("the log's queue is full")]
    Overloaded,
    /// The disk has no space; it heals when space is made.
    #[error("the disk has no space left for the log")]
    Full,
    /// The process has too many files open to begin a segment; it heals when some are closed.
    #[error("too many open files to begin a segment of the log")]
    NoFiles,
    /// The record is longer than the format can say (4 GiB).
    #[error("the record is too large for the log")]
    TooLarge,
    /// A sync or a write failed; nothing is known about the page cache, so the process must restart and replay.
    #[error("the log stopped after a disk error")]
    Fatal,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a log cannot be opened, recovered or trimmed.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The segment was written by a newer version of the program; nothing of it was touched.
    #[error("`{}` has format version {version}, this program reads up to {known}", path.display())]
    TooNew {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// The first segment to write, or a later one, is there already: recovery was left out or not heeded.
    #[error("`{}` exists, but new segments should start at {first}", path.display())]
    SegmentExists {
        /// The segment.
        path: PathBuf,
        /// The number that was asked for.
        first: u64,
    },
    /// Records are encrypted, and their key is missing or wrong; nothing was touched, and they may be as good as ever.
    #[error("`{}`: {reason}", path.display())]
    Key {
        /// The segment.
        path: PathBuf,
        /// Which key, and what is wrong with it.
        reason: String,
    },
    /// Recovery was asked to stop.
    #[error("recovery of `{}` was stopped", path.display())]
    Stopped {
        /// The log's directory.
        path: PathBuf,
    },
}

impl WalError {
    /// Adds what was done to which path to an I/O error.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_path_buf(),
            source,
        }
    }
}
