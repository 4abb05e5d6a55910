//! Why a comparison could not be made: one of the two sides.

use emberkeep_source::SourceError;

use crate::ReaderError;

/// Nothing is said about differences then.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The archive or a head cannot be read.
    #[error("archive: {0}")]
    Archive(#[from] ReaderError),
    /// The source cannot be read.
    #[error("source: {0}")]
    Source(#[from] SourceError),
}
