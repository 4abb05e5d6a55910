//! Rows in a form in which equal means equal bit for bit: a NaN equals itself, and `-0` does not equal `0`.

use emberkeep_model::histogram::bucket_indices;
use emberkeep_model::{Counts, Histogram, HistogramRow, Labels, ResetHint, SeriesRuns, Span};

use crate::support::Series;

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bits {
    Float(u64),
    Histogram(Vec<u8>),
}

/// Series with their rows in time order.
pub(crate) type AllBits = Vec<(Labels, Vec<(i64, Bits)>)>;

/// All floats and histograms, exactly.
pub(crate) fn all_bits(series: &Series) -> AllBits {
    all(series, |row| row.canonical.to_vec())
}

/// As the sampled answer gives them: in a resolution that Prometheus stores, and without saying whether there was a reset.
pub(crate) fn all_told(series: &Series) -> AllBits {
    all(series, |row| {
        let mut histogram = row.histogram();
        histogram.reduce_to_stored();
        if histogram.reset_hint != ResetHint::Gauge {
            histogram.reset_hint = ResetHint::Unknown;
        }
        histogram.to_canonical()
    })
}

/// What chunks keep: observations, but not how their buckets are laid out, nor anything but the sum of a stale marker.
pub(crate) fn all_observed(series: &Series) -> AllBits {
    all(series, |row| observed(&row.histogram()).to_canonical())
}

/// All start timestamps, of floats and then of histograms.
pub(crate) fn starts(series: &Series) -> Vec<Vec<i64>> {
    let of = |runs: &SeriesRuns| {
        let floats = runs.samples.iter().map(|sample| sample.start_timestamp);
        floats
            .chain(runs.histograms.iter().map(|row| row.start_timestamp))
            .collect()
    };
    series.values().map(of).collect()
}

fn all(series: &Series, bytes: impl Fn(HistogramRow<'_>) -> Vec<u8>) -> AllBits {
    let of = |runs: &SeriesRuns| {
        let floats = runs
            .samples
            .iter()
            .map(|s| (s.timestamp, Bits::Float(s.value.to_bits())));
        let histograms = runs.histograms.iter();
        let histograms = histograms.map(|row| (row.timestamp, Bits::Histogram(bytes(row))));
        let mut rows: Vec<(i64, Bits)> = floats.chain(histograms).collect();
        rows.sort();
        rows
    };
    series.iter().map(|(labels, runs)| (labels.clone(), of(runs))).collect()
}

fn observed(histogram: &Histogram) -> Histogram {
    let mut plain = Histogram {
        counts: match histogram.counts {
            Counts::Integer { .. } => Counts::default(),
            Counts::Float { .. } => Counts::Float {
                count: 0.0,
                zero_count: 0.0,
                positive: Vec::new(),
                negative: Vec::new(),
            },
        },
        sum: histogram.sum,
        ..Histogram::default()
    };
    if histogram.is_stale() {
        return plain;
    }
    plain.clone_from(histogram);
    plain.reduce_to_stored();
    if plain.reset_hint != ResetHint::Gauge {
        plain.reset_hint = ResetHint::Unknown;
    }
    match &mut plain.counts {
        Counts::Integer { positive, negative, .. } => {
            compact(&mut plain.positive_spans, positive, |&count| count != 0);
            compact(&mut plain.negative_spans, negative, |&count| count != 0);
        }
        Counts::Float { positive, negative, .. } => {
            compact(&mut plain.positive_spans, positive, |count| count.to_bits() != 0);
            compact(&mut plain.negative_spans, negative, |count| count.to_bits() != 0);
        }
    }
    plain
}

/// One span for each bucket in use.
fn compact<C: Copy>(spans: &mut Vec<Span>, counts: &mut Vec<C>, is_used: impl Fn(&C) -> bool) {
    let used: Vec<(i64, C)> = bucket_indices(spans)
        .zip(counts.iter().copied())
        .filter(|(_, count)| is_used(count))
        .collect();
    spans.clear();
    counts.clear();
    let mut next = 0;
    for (index, count) in used {
        spans.push(Span {
            offset: i32::try_from(index - next).unwrap(),
            length: 1,
        });
        counts.push(count);
        next = index + 1;
    }
}
