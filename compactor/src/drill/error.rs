//! Why a drill could not be carried through. That something differs is no error but a result.

use std::io;
use std::path::Path;
use std::time::Duration;

use emberkeep_archive::ArchiveError;
use emberkeep_model::SelectorError;
use emberkeep_service::duration;
use emberkeep_service::lock::LockError;
use emberkeep_source::SourceError;

/// Trouble of a drill.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The store does not answer, or something in the catalog cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Another drill runs on the same scratch directory.
    #[error("another drill runs: {0}")]
    Busy(#[source] LockError),
    /// The local disk does not do what it is asked for.
    #[error("cannot use `{place}`: {source}")]
    Local {
        /// File, directory or program.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A setting that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A selector that cannot be.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// The archive has no window that has ended an hour ago, or none of this tenant.
    #[error("there is nothing to restore yet: {0}")]
    Nothing(String),
    /// A command ended with an error.
    #[error("`{what}` failed: {said}")]
    Failed {
        /// The command.
        what: String,
        /// The last that it said.
        said: String,
    },
    /// A command answered something that is not its answer.
    #[error("`{what}` gave an answer that cannot be used: {reason}")]
    Answer {
        /// The command.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It took longer than it may.
    #[error("`{what}` was ended: a drill may take {}", duration::format(*.limit))]
    TooLong {
        /// What was running.
        what: String,
        /// The bound.
        limit: Duration,
    },
    /// The blocks are larger than they may be.
    #[error("the blocks are larger than {limit} bytes: ended at {bytes} bytes")]
    TooLarge {
        /// What was there.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The local disk has less room than the blocks may take: it may be the one that takes writes.
    #[error("`{place}` has {free} bytes free, a drill of this size wants {needed}")]
    Room {
        /// The scratch directory.
        place: String,
        /// What is free.
        free: u64,
        /// What is wanted.
        needed: u64,
    },
    /// The Prometheus that was started on the blocks does not answer.
    #[error("the restored Prometheus: {0}")]
    Prometheus(#[from] SourceError),
}

impl DrillError {
    /// The local disk refused something at a place.
    pub(super) fn local(place: &Path) -> impl FnOnce(io::Error) -> Self {
        let place = place.display().to_string();
        move |source| Self::Local { place, source }
    }
}

/// What ends a drill before everything is proven.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something differs.
    Different(String),
    /// The window turned out to hold nothing: another one is taken.
    Empty,
    /// It could not be carried through.
    Failed(DrillError),
}

impl<E: Into<DrillError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
