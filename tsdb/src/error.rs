//! What can go wrong with a block, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a block could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TsdbError {
    /// The file system refused; the block under construction is lost, a retry may succeed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes are not what the format allows: the file is damaged.
    #[error("{place} is damaged: {what}")]
    Corrupt {
        /// File and position.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// Bytes are valid, but of a version or kind that is not read here.
    #[error("{place}: {what} is not supported")]
    Unsupported {
        /// File and position.
        place: String,
        /// What was found.
        what: String,
    },
    /// The caller broke a rule of the format; nothing was written for this call.
    #[error("cannot add to the block: {0}")]
    Refused(String),
    /// A size limit of the format is reached; use smaller blocks.
    #[error("{what} exceeds the limit of {limit} of the format; write smaller blocks")]
    TooLarge {
        /// What grew too large.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// A block of this name is there already.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
}

/// What a parser found wrong; the caller knows the place.
pub(crate) type Damage = &'static str;

/// Adds the path to an I/O error.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TsdbError {
    let path = path.to_owned();
    move |source| TsdbError::Io { action, path, source }
}

/// Adds the place to damage that a parser found.
pub(crate) fn corrupt<D: Into<String>>(place: impl FnOnce() -> String) -> impl FnOnce(D) -> TsdbError {
    move |what| TsdbError::Corrupt {
        place: place(),
        what: what.into(),
    }
}
