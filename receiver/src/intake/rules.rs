//! The rules by which a live request is judged, item by item. Replay never comes here.

use emberkeep_model::{Histogram, HistogramFault, Labels, LabelsBuilder, MIN_TIMESTAMP, UNSET_START_TIMESTAMP};
use emberkeep_proto::SampleColumns;
use emberkeep_proto::histogram::Histogram as WireHistogram;

use super::histogram::{count_parts, fill};
use crate::clock_rule::AHEAD_MS_MAX;
use crate::limits::Limits;

/// What a live request is judged by.
#[derive(Debug, Clone)]
pub(crate) struct Rules<'a> {
    pub(crate) limits: &'a Limits,
    /// Milliseconds since 1970 by our clock.
    pub(crate) now: i64,
    /// Bytes of labels and samples that a request may expand to.
    pub(crate) batch_bytes_max: usize,
}

/// Why an item is refused. Texts follow "timestamp 5 " or "histogram at 5 ".
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("is more than 10 minutes ahead of the clock here")]
    Ahead,
    #[error("lies before the year 1")]
    TooOld,
    /// Engines hold it in a column of timestamps, and one that they cannot hold spoils the column.
    #[error("has a start timestamp before the year 1 or more than 10 minutes ahead")]
    Start,
    #[error("is not valid: {0}")]
    Histogram(#[from] HistogramFault),
    #[error("has more than {0} buckets, spans and custom bounds")]
    Buckets(usize),
    #[error("{0}")]
    ExemplarLabels(String),
    #[error("has labels of {chars} characters, more than {limit}")]
    ExemplarLength { chars: usize, limit: usize },
    #[error("has a text of {bytes} bytes, more than {limit}")]
    TextLength { bytes: usize, limit: usize },
    #[error("is not valid UTF-8")]
    NotUtf8,
    #[error("has no name")]
    NoFamily,
    /// By the verdict, in replay; it says no more.
    #[error("was refused when it arrived")]
    Recorded,
}

impl Rules<'_> {
    /// Time, as Prometheus' receiver bounds it: nothing is too old, before the year 1 nothing can be.
    pub(super) fn time(&self, timestamp: i64, start_timestamp: i64) -> Result<(), Refusal> {
        let newest = self.now.saturating_add(AHEAD_MS_MAX);
        if timestamp > newest {
            Err(Refusal::Ahead)
        } else if timestamp < MIN_TIMESTAMP {
            Err(Refusal::TooOld)
        } else if start_timestamp != UNSET_START_TIMESTAMP && !(MIN_TIMESTAMP..=newest).contains(&start_timestamp) {
            Err(Refusal::Start)
        } else {
            Ok(())
        }
    }

    /// Whether [`Rules::time`] has nothing against any sample.
    pub(super) fn accept_times_of(&self, samples: &SampleColumns) -> bool {
        let newest = self.now.saturating_add(AHEAD_MS_MAX);
        let ends = |times: &[i64]| {
            times
                .iter()
                .fold((i64::MAX, i64::MIN), |(min, max), &t| (min.min(t), max.max(t)))
        };
        let (min, max) = ends(&samples.timestamps);
        let starts = &samples.start_timestamps;
        let is_start = |start: &i64| *start == UNSET_START_TIMESTAMP || (MIN_TIMESTAMP..=newest).contains(start);
        (samples.is_empty() || (min >= MIN_TIMESTAMP && max <= newest)) && starts.iter().all(is_start)
    }

    /// Fills `histogram` from the wire when it is valid.
    pub(super) fn histogram(&self, wire: &WireHistogram<'_>, histogram: &mut Histogram) -> Result<(), Refusal> {
        self.time(wire.timestamp, wire.start_timestamp)?;
        let limit = self.limits.histogram_buckets;
        if count_parts(wire, limit) > limit {
            return Err(Refusal::Buckets(limit));
        }
        fill(histogram, wire);
        Ok(histogram.validate()?)
    }

    /// The labels of an exemplar, which were gathered.
    pub(super) fn exemplar(&self, gathered: Result<&mut LabelsBuilder, String>) -> Result<Labels, Refusal> {
        let labels = gathered.map_err(Refusal::ExemplarLabels)?;
        let labels = labels
            .labels()
            .map_err(|error| Refusal::ExemplarLabels(format!("has bad labels: {error}")))?;
        let chars = labels
            .iter()
            .map(|(name, value)| name.chars().count() + value.chars().count())
            .sum();
        let limit = self.limits.exemplar_chars;
        if chars > limit {
            return Err(Refusal::ExemplarLength { chars, limit });
        }
        Ok(labels)
    }

    /// The length of a text of metadata.
    pub(super) fn text(&self, text: &[u8]) -> Result<(), Refusal> {
        let (bytes, limit) = (text.len(), self.limits.label_value_bytes);
        if bytes > limit {
            Err(Refusal::TextLength { bytes, limit })
        } else {
            Ok(())
        }
    }
}
