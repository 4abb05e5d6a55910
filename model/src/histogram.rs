//! A native histogram: one observation of a whole distribution (Prometheus: `model/histogram`).
//!
//! Kept as it was sent, spans included, with absolute counts in each bucket. It must never be rounded, merged or laid out anew in
//! here: what two histograms have in common, or how a chunk wants them, is the business of whoever encodes them.

mod canonical;
mod reduce;
mod validity;

pub use canonical::{NotCanonical, canonical_is_stale};
pub use validity::HistogramFault;

use crate::is_stale_marker;

/// The schema of histograms with bounds of their own (`CustomBucketsSchema`).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// The finest resolution that Prometheus stores; finer ones, up to [`FINEST_SCHEMA`], it reduces.
pub const STORED_SCHEMA_MAX: i32 = 8;

/// The finest resolution that the data model reserves.
pub const FINEST_SCHEMA: i32 = 52;

/// What is known about a reset of the counts before this histogram, or that it is a gauge; the number is the one on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ResetHint {
    /// Nothing is known; always a safe thing to say.
    #[default]
    Unknown = 0,
    /// There was a reset.
    Reset = 1,
    /// There was none since the sample that the producer saw before.
    NotReset = 2,
    /// A gauge: its counts may fall.
    Gauge = 3,
}

impl ResetHint {
    /// The hint of a number; what Prometheus does not know says nothing.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

/// A stretch of consecutive buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Index of the first bucket for the first span, else the gap to the span before.
    pub offset: i32,
    /// Number of buckets; 0 is legal.
    pub length: u32,
}

/// Counts of a histogram, absolute, in the order of the spans.
#[derive(Debug, Clone, PartialEq)]
pub enum Counts {
    /// Whole observations.
    Integer {
        /// All observations.
        count: u64,
        /// Those in the zero bucket.
        zero_count: u64,
        /// Those in each positive bucket.
        positive: Vec<i64>,
        /// Those in each negative bucket.
        negative: Vec<i64>,
    },
    /// Fractions of observations, as rules and queries make them.
    Float {
        /// All observations.
        count: f64,
        /// Those in the zero bucket.
        zero_count: f64,
        /// Those in each positive bucket.
        positive: Vec<f64>,
        /// Those in each negative bucket.
        negative: Vec<f64>,
    },
}

impl Counts {
    /// Number of positive and of negative buckets.
    fn bucket_numbers(&self) -> (usize, usize) {
        match self {
            Self::Integer { positive, negative, .. } => (positive.len(), negative.len()),
            Self::Float { positive, negative, .. } => (positive.len(), negative.len()),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::Integer {
            count: 0,
            zero_count: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

/// One native histogram without its time.
///
/// `PartialEq` compares floats as numbers; equality of rows is equality of [`Histogram::encode`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Counts, and with them the flavour.
    pub counts: Counts,
    /// Sum of all observed values; the stale marker makes the whole histogram one.
    pub sum: f64,
    /// Resolution, -4 to 8, reserved up to 52; or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket to each side.
    pub zero_threshold: f64,
    /// About a reset before it.
    pub reset_hint: ResetHint,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of the buckets, for [`CUSTOM_BUCKETS_SCHEMA`] alone.
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// Whether it is a stale marker: only its sum counts then.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        is_stale_marker(self.sum)
    }

    /// Whether its counts are floats.
    #[must_use]
    pub fn is_float(&self) -> bool {
        matches!(self.counts, Counts::Float { .. })
    }

    /// Whether the spans describe as many buckets as there are, without which it has no form to be kept in.
    #[must_use]
    pub fn has_matching_spans(&self) -> bool {
        let (positive, negative) = self.counts.bucket_numbers();
        let described = |spans: &[Span]| spans.iter().map(|span| u64::from(span.length)).sum::<u64>();
        described(&self.positive_spans) == positive as u64 && described(&self.negative_spans) == negative as u64
    }

    /// Whether it has bounds of its own.
    #[must_use]
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

/// Index of each bucket that the spans describe, in their order. Wide, because offsets add up beyond 32 bits.
pub fn bucket_indices(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0_i64;
    spans.iter().flat_map(move |span| {
        next += i64::from(span.offset);
        let first = next;
        next += i64::from(span.length);
        first..next
    })
}

#[cfg(test)]
pub(crate) mod tests;
