//! What must survive a chunk, for tests: the bits of every field, and of every bucket at its index whatever the spans.
//!
//! Only the tests of this crate use it. It must not share code with what it tests, or both would be wrong alike.

use std::collections::BTreeMap;

use emberkeep_model::histogram::{Counts, Histogram, ResetHint};
use emberkeep_model::{HistogramRun, Run, STALE_MARKER_BITS, Span};

/// What a chunk keeps of a histogram: the place of every bucket rather than the spans.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meaning {
    pub(super) is_float: bool,
    pub(super) stale: bool,
    pub(super) gauge: bool,
    pub(super) sum: u64,
    pub(super) schema: i32,
    pub(super) threshold: u64,
    pub(super) bounds: Vec<u64>,
    pub(super) count: u64,
    pub(super) zero_count: u64,
    /// Bits of the buckets that are not zero.
    pub(super) buckets: [BTreeMap<i64, u64>; 2],
}

/// What a histogram means, as Prometheus stores it.
pub(super) fn meaning(histogram: &Histogram) -> Meaning {
    let mut histogram = histogram.clone();
    histogram.reduce_to_stored();
    let stale = histogram.sum.to_bits() == STALE_MARKER_BITS;
    let is_float = matches!(histogram.counts, Counts::Float { .. });
    if stale {
        return Meaning {
            is_float,
            stale,
            gauge: false,
            sum: STALE_MARKER_BITS,
            schema: 0,
            threshold: 0,
            bounds: Vec::new(),
            count: 0,
            zero_count: 0,
            buckets: Default::default(),
        };
    }
    let (count, zero_count, positive, negative) = match &histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            let bits = |counts: &[i64]| counts.iter().map(|&count| count as u64).collect::<Vec<_>>();
            (*count, *zero_count, bits(positive), bits(negative))
        }
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            let bits = |counts: &[f64]| counts.iter().map(|count| count.to_bits()).collect::<Vec<_>>();
            (count.to_bits(), zero_count.to_bits(), bits(positive), bits(negative))
        }
    };
    Meaning {
        is_float,
        stale,
        gauge: histogram.reset_hint == ResetHint::Gauge,
        sum: histogram.sum.to_bits(),
        schema: histogram.schema,
        threshold: histogram.zero_threshold.to_bits(),
        bounds: histogram.custom_values.iter().map(|bound| bound.to_bits()).collect(),
        count,
        zero_count,
        buckets: [
            places(&histogram.positive_spans, &positive),
            places(&histogram.negative_spans, &negative),
        ],
    }
}

fn places(spans: &[Span], counts: &[u64]) -> BTreeMap<i64, u64> {
    let mut counts = counts.iter();
    let mut places = BTreeMap::new();
    let mut index = 0_i64;
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            places.insert(index, *counts.next().expect("spans describe the buckets"));
            index += 1;
        }
    }
    places.retain(|_, &mut count| count != 0);
    places
}

/// A run's rows with what they mean.
pub(super) fn meanings(run: &HistogramRun) -> Vec<(i64, i64, Meaning)> {
    run.iter()
        .map(|row| (row.timestamp, row.start_timestamp, meaning(&row.histogram())))
        .collect()
}

/// A run's samples by bits.
pub(super) fn bits(run: &Run) -> Vec<(i64, u64, i64)> {
    run.iter()
        .map(|sample| (sample.timestamp, sample.value.to_bits(), sample.start_timestamp))
        .collect()
}
