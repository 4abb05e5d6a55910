//! How a head is read: everything acknowledged and not yet in the archive's catalog.
//!
//! The trait is the only thing a reader knows of a receiver. In one process it is called directly, over HTTP it is `/api/v1/head/read`.

mod packed;

use std::fmt;
use std::sync::Arc;

pub use self::packed::{PackedCursor, PackedSeries};

use crate::{Labels, Matcher, MetadataEntry, SeriesRuns, TenantId, TimeRange};

/// What is asked of a head.
#[derive(Debug, Clone)]
pub struct HeadQuery {
    /// Whose data.
    pub tenant: TenantId,
    /// Which time.
    pub range: TimeRange,
    /// Which series; all must match. Metadata of a family is selected by `__name__` alone.
    pub matchers: Arc<[Matcher]>,
    /// Which kinds of rows.
    pub kinds: HeadKinds,
}

/// Which kinds of rows a query wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeadKinds {
    /// Floats and histograms, which share one time line.
    #[default]
    Samples,
    /// Exemplars.
    Exemplars,
    /// Metadata, of families and of series; the range does not matter.
    Metadata,
}

/// Where a head stands in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadPosition {
    /// The receiver's id.
    pub receiver: String,
    /// Its incarnation; 0 before the first claim.
    pub epoch: u64,
    /// The last sequence it committed, taken *after* the content: 0 when there is none. A catalog view that covers it, together
    /// with the content, misses nothing; what moved in between is in both and is deduplicated.
    pub committed: u64,
}

/// One series of a head.
#[derive(Debug, Clone)]
pub struct HeadSeries {
    /// The series.
    pub labels: Labels,
    /// Its settled rows inside the range, of the kinds asked for, at least one.
    pub runs: SeriesRuns,
}

/// All that a head holds for a query.
#[derive(Debug, Clone)]
pub struct HeadAnswer {
    /// Where the head stood after the content was taken.
    pub position: HeadPosition,
    /// Series in label order; none when metadata was asked for. As many samples as the head gives in one answer fit into memory.
    pub series: PackedSeries,
    /// Metadata, each variant once, in no order; none unless it was asked for.
    pub metadata: Vec<MetadataEntry>,
}

/// Why a head gives no answer. A reader must never answer without it: that would be a silently shorter answer.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Ask again later: replaying, shutting down, unreachable.
    #[error("the head of {who} cannot be read now: {why}")]
    Unavailable {
        /// Which head.
        who: String,
        /// What is the matter.
        why: String,
    },
    /// The query selects more than the head gives in one answer.
    #[error("the query selects more than {limit} samples of the head; narrow its matchers or its time range")]
    TooLarge {
        /// The bound, in samples.
        limit: usize,
    },
}

/// A head that can be read. Blocking: call it from a thread that may block.
pub trait Head: Send + Sync + fmt::Debug + 'static {
    /// Everything of the query that is acknowledged and not committed.
    ///
    /// # Errors
    /// Never a partial answer: [`HeadError`] says why there is none.
    fn read(&self, query: &HeadQuery) -> Result<HeadAnswer, HeadError>;
}
