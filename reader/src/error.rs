//! The errors of the reader, told apart by who has to act: the caller, the operator, or time.
//!
//! The HTTP handlers and the commands turn them into statuses and exit codes in one place each; nothing else does.

use std::io;
use std::path::PathBuf;

use emberkeep_archive::ArchiveError;
use emberkeep_model::head::HeadError;

use emberkeep_model::excerpt::{ERROR_BYTES_MAX, excerpt};

/// Why a read, or an export, did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The caller asked for something that cannot be answered; asking again will not help.
    #[error("{0}")]
    Bad(String),
    /// The query needs more than a limit allows; the text names the limit and how to stay below it.
    #[error("{0}")]
    TooMuch(String),
    /// A head cannot be read now. The query fails, because the answer without it would be shorter and nobody would know.
    #[error("{0}")]
    Unavailable(String),
    /// The archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What was read contradicts itself.
    #[error("{0}")]
    Inconsistent(String),
    /// A file of an export could not be written or read back.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output directory of an export cannot be used, or what was written there is not what was meant.
    #[error("output `{}`: {why}", path.display())]
    Output {
        /// The directory or block.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Whoever asked does not listen any more.
    #[error("the client closed the connection")]
    Gone,
}

impl ReaderError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// What a client and the log are told: the text, bounded, because it may repeat what was asked.
    pub(crate) fn told(&self) -> String {
        excerpt(self, ERROR_BYTES_MAX)
    }

    /// Nothing lies where the archive should be. A wrong path is the usual reason, and an empty answer would look like a good one.
    pub(crate) fn nothing_committed() -> Self {
        Self::Bad(
            "nothing was ever committed to this archive: see --objstore.config-file and --storage.path".to_owned(),
        )
    }

    pub(crate) fn output(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::Output {
            path: path.into(),
            why: why.into(),
        }
    }
}

impl From<HeadError> for ReaderError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            HeadError::TooLarge { .. } => Self::TooMuch(error.to_string()),
        }
    }
}
