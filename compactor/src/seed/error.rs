//! Why a seed ended, by what the operator can do. What was finished by then stays, and running it again goes on there.

use emberkeep_archive::ArchiveError;
use emberkeep_source::SourceError;

use crate::merge::MergeError;

/// Trouble of a seed. No row of the archive is lost by any of it.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The directory, or what was asked, cannot be used: correct it.
    #[error("{0}")]
    Input(String),
    /// The source does not answer as it should.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The archive cannot be read or changed.
    #[error("archive: {0}")]
    Archive(#[from] ArchiveError),
    /// Parts cannot be written.
    #[error(transparent)]
    Parts(#[from] MergeError),
}
