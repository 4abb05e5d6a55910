//! Why a receiver cannot start or go on, by what the operator can do.

use std::path::PathBuf;

use emberkeep_archive::{ArchiveError, StoreCheckError};

/// Trouble of a receiver that is not one request's.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The local disk gives an error; the path is named.
    #[error("`{path}`: {source}")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of ours that is damaged or from a newer version.
    #[error("`{path}` cannot be used: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The write-ahead log cannot be opened or read.
    #[error("write-ahead log: {0}")]
    Wal(#[from] emberkeep_wal::WalError),
    /// The object store or a part.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store was looked at before it becomes an archive, and cannot hold one, or could not be looked at.
    #[error(transparent)]
    StoreCheck(#[from] StoreCheckError),
    /// A drained directory still holds something; keep it.
    #[error("`{path}` still holds {what}: keep this data directory")]
    Left {
        /// Where.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// A step failed inside, by a panic or a bug; the data stays where it is.
    #[error("failed inside: {0}")]
    Failed(String),
    /// Another incarnation of this receiver has taken over.
    #[error(
        "fenced: epoch {epoch} of receiver `{receiver}` commits in our place; stop this process, its data stays local until `receiver adopt` commits it"
    )]
    Fenced {
        /// Our id.
        receiver: String,
        /// The epoch that holds our sequence.
        epoch: u64,
    },
}

impl ReceiverError {
    /// Whether the local disk is the trouble, not the data: trying again is right, however often.
    pub(crate) fn is_local_trouble(&self) -> bool {
        match self {
            // Time does not bring a key.
            Self::Wal(emberkeep_wal::WalError::Key { .. }) => false,
            Self::Disk { .. } | Self::Wal(_) => true,
            Self::Archive(error) => error.is_transient(),
            _ => false,
        }
    }

    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }
}
