//! From when to when something in a part reaches.
//!
//! Each kind has a span of its own: exemplars and metadata may come with any time, also 0, and must not make a part look as if
//! its samples reached that far.

use serde::{Deserialize, Serialize};

use emberkeep_model::{ExemplarRun, HistogramRun, SeenMetadata, TimeRange};

/// The oldest and the newest moment, milliseconds since 1970; both are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSpan {
    /// The oldest moment.
    pub min_time: i64,
    /// The newest moment.
    pub max_time: i64,
}

impl TimeSpan {
    /// Whether anything of the span lies in the range.
    #[must_use]
    pub fn is_in(self, range: TimeRange) -> bool {
        !range.is_empty() && range.overlaps(self.min_time, self.max_time)
    }

    /// Of settled floats and histograms; none without any.
    pub(super) fn of_samples(floats: &[i64], histograms: &HistogramRun) -> Option<Self> {
        let of_times = |times: &[i64]| Self::new(*times.first()?, *times.last()?);
        Self::join(of_times(floats), of_times(histograms.timestamps()))
    }

    /// Of settled exemplars; none without any.
    pub(super) fn of_exemplars(run: &ExemplarRun) -> Option<Self> {
        let all = run.as_slice();
        Self::new(all.first()?.timestamp, all.last()?.timestamp)
    }

    /// From the first to the last time that any of these was seen; none without any.
    pub(super) fn of_seen(metadata: &[SeenMetadata]) -> Option<Self> {
        let first = metadata.iter().map(|seen| seen.first_seen).min()?;
        let last = metadata.iter().map(|seen| seen.last_seen).max()?;
        Self::new(first, last)
    }

    /// What both span, and what is between them.
    pub(super) fn join(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).reduce(|one, other| Self {
            min_time: one.min_time.min(other.min_time),
            max_time: one.max_time.max(other.max_time),
        })
    }

    pub(super) fn new(min_time: i64, max_time: i64) -> Option<Self> {
        Some(Self { min_time, max_time })
    }
}
