//! One row as it is compared: floats by their bits, histograms by what they say.
//!
//! What Prometheus' remote write does not carry is left out: the sign of zero, and of a stale marker whether its series is one of
//! histograms (`docs/compatibility.md`).

use emberkeep_model::{
    Histogram, HistogramRun, STALE_MARKER_BITS, Sample, SeriesRuns, UNSET_START_TIMESTAMP, canonical_is_stale,
    is_stale_marker,
};

use crate::verify::observations;

/// What a series has at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A float, by its bits.
    Float(u64),
    /// A native histogram, without what a chunk is free to lay out in another way.
    Histogram(Vec<u8>),
}

/// Makes every -0 a 0, and every stale histogram the stale float as which it is sent: all that is lost on the way of a sample.
pub(super) fn forget_what_is_not_sent(runs: &mut SeriesRuns) {
    for value in &mut runs.samples.values {
        // Not by comparing: that would touch no NaN either, but the bits say it plainly.
        if value.to_bits() == (-0.0_f64).to_bits() {
            *value = 0.0;
        }
    }
    if !runs.histograms.iter().any(|row| canonical_is_stale(row.canonical)) {
        return;
    }
    let mut kept = HistogramRun::default();
    for row in runs.histograms.iter() {
        if canonical_is_stale(row.canonical) {
            runs.samples.push(Sample {
                timestamp: row.timestamp,
                value: f64::from_bits(STALE_MARKER_BITS),
                start_timestamp: UNSET_START_TIMESTAMP,
            });
        } else {
            kept.push_row(row);
        }
    }
    runs.histograms = kept;
    runs.settle();
}

/// The rows of a settled series in order of time.
pub(super) fn rows(runs: &SeriesRuns) -> Vec<(i64, Value)> {
    let mut rows: Vec<(i64, Value)> = runs
        .samples
        .iter()
        .map(|sample| (sample.timestamp, Value::Float(sample.value.to_bits())))
        .collect();
    let mut histogram = Histogram::default();
    for row in runs.histograms.iter() {
        row.decode_into(&mut histogram);
        histogram.reduce_to_stored();
        let mut bytes = Vec::new();
        observations(&histogram, &mut bytes);
        rows.push((row.timestamp, Value::Histogram(bytes)));
    }
    rows.sort_by_key(|(time, _)| *time);
    rows
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(bits) if is_stale_marker(f64::from_bits(*bits)) => f.write_str("stale"),
            Self::Float(bits) if f64::from_bits(*bits).is_nan() => write!(f, "NaN ({bits:#018x})"),
            Self::Float(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Self::Histogram(_) => f.write_str("a histogram"),
        }
    }
}
