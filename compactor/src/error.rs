//! Why a fold failed, by what the operator can do.

use emberkeep_archive::ArchiveError;

/// Trouble of the compactor. None of it loses data: readers use the commit records that are not folded.
#[derive(Debug, thiserror::Error)]
pub enum CompactorError {
    /// The store did not answer, or others won every race: it is tried again with growing pauses.
    #[error("fold: {0}")]
    Store(#[source] ArchiveError),
    /// Something in the bucket cannot be used; trying again does not help before somebody repairs it or upgrades.
    #[error("fold cannot go on: {0}")]
    Catalog(#[source] ArchiveError),
}

impl From<ArchiveError> for CompactorError {
    fn from(error: ArchiveError) -> Self {
        if error.is_transient() {
            Self::Store(error)
        } else {
            Self::Catalog(error)
        }
    }
}

impl CompactorError {
    /// Whether waiting can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}
