//! Why a merge did not happen, told apart by what its caller can do about it.

use emberkeep_archive::{ArchiveError, PartEntry, Ulid};

/// Nothing is lost by any of these: the inputs stay live, and what was uploaded belongs to nobody.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One input cannot be read, and reading it again will not help: set it aside and merge the others.
    #[error("part {part}: `{file}` cannot be merged: {reason}")]
    BadInput {
        /// The part.
        part: Ulid,
        /// Object name of its file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store did not do it: try again later. When an input is not there ([`ArchiveError::is_not_found`]), somebody else removed
    /// it: plan anew.
    #[error(transparent)]
    Store(ArchiveError),
    /// An input is encrypted, and its key is missing or wrong: the part may be as good as ever.
    #[error("part {part}: {source}")]
    Key {
        /// The part.
        part: Ulid,
        /// Which file and which key.
        source: ArchiveError,
    },
    /// The local disk for scratch files failed or is full: make room and try again.
    #[error("scratch files below `{place}`: {reason}")]
    Disk {
        /// The directory.
        place: String,
        /// What happened.
        reason: String,
    },
    /// What was read back from the store is not what was written there. Try again, and look at store and memory when it comes again.
    #[error("merged part: `{file}` is not what was written: {reason}")]
    BadOutput {
        /// Object name.
        file: String,
        /// What is different.
        reason: String,
    },
    /// The job cannot be: a mistake of whoever planned it, or of this program.
    #[error("merge job: {0}")]
    Job(String),
}

impl MergeError {
    /// Of a read of an input, whose files lie on local disk by then.
    pub(super) fn of_input(entry: &PartEntry, error: ArchiveError) -> Self {
        match error {
            ArchiveError::Corrupt { object, reason } => Self::BadInput {
                part: entry.ulid,
                file: object,
                reason,
            },
            ArchiveError::NewerVersion { ref object, .. } => Self::BadInput {
                part: entry.ulid,
                file: object.clone(),
                reason: error.to_string(),
            },
            source @ ArchiveError::Key { .. } => Self::Key {
                part: entry.ulid,
                source,
            },
            error => Self::of_disk(&format!("part {}", entry.ulid), error),
        }
    }

    /// Of a read from or a write to local disk.
    pub(super) fn of_disk(place: &str, error: ArchiveError) -> Self {
        match error {
            error @ (ArchiveError::Invalid(_) | ArchiveError::Config(_) | ArchiveError::Key { .. }) => {
                Self::Job(error.to_string())
            }
            error => Self::Disk {
                place: place.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}
