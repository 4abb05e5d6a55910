//! Why a pass of healing ended, by what the operator can do. What was filled by then stays.

use std::io;
use std::path::PathBuf;

use emberkeep_archive::ArchiveError;
use emberkeep_source::SourceError;

use crate::seed::SeedError;

/// Trouble of a pass. No row of the archive is lost by any of it.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// What was asked, or how the sender is configured, cannot be used: correct it.
    #[error("{0}")]
    Input(String),
    /// The source does not answer as it should.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The archive cannot be read.
    #[error("archive: {0}")]
    Archive(#[from] ArchiveError),
    /// A window cannot be filled.
    #[error(transparent)]
    Fill(#[from] SeedError),
    /// What earlier passes found cannot be read or kept.
    #[error("`{}`: {source}", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
