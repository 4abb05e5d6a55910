//! The form in which a chunk holds a histogram.
//!
//! Whatever changes here is lost in chunks: a resolution that Prometheus does not store, and all of a stale marker but its sum,
//! flavour and time.

use emberkeep_model::HistogramRow;
use emberkeep_model::histogram::{Counts, Histogram, ResetHint};

use super::bucket_spans::widen;
use super::layout::Layout;

/// Decodes a row into what a chunk can hold: a resolution that Prometheus stores, a stale marker without all else.
pub(super) fn load(row: HistogramRow<'_>, histogram: &mut Histogram) {
    row.decode_into(histogram);
    if !histogram.is_stale() {
        return histogram.reduce_to_stored();
    }
    match &mut histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            (*count, *zero_count) = (0, 0);
            positive.clear();
            negative.clear();
        }
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            (*count, *zero_count) = (0.0, 0.0);
            positive.clear();
            negative.clear();
        }
    }
    (histogram.schema, histogram.zero_threshold) = (0, 0.0);
    histogram.positive_spans.clear();
    histogram.negative_spans.clear();
    histogram.custom_values.clear();
    if histogram.reset_hint == ResetHint::Gauge {
        histogram.reset_hint = ResetHint::Unknown;
    }
}

/// Gives a histogram the spans of the layout; a stale marker has none.
pub(super) fn lay_out(histogram: &mut Histogram, layout: &Layout) {
    if histogram.is_stale() {
        return;
    }
    let (from_positive, from_negative) = (&histogram.positive_spans, &histogram.negative_spans);
    match &mut histogram.counts {
        Counts::Integer { positive, negative, .. } => {
            widen(positive, from_positive, &layout.positive_spans);
            widen(negative, from_negative, &layout.negative_spans);
        }
        Counts::Float { positive, negative, .. } => {
            widen(positive, from_positive, &layout.positive_spans);
            widen(negative, from_negative, &layout.negative_spans);
        }
    }
}
