//! A histogram of the wire becomes one of the model: deltas become absolute counts, nothing else changes.

use emberkeep_model::{Counts, Histogram, ResetHint, Span};
use emberkeep_proto::histogram::{Count, Histogram as WireHistogram};

/// Buckets, spans and custom bounds that the wire holds, counted without decoding many more than `limit`.
pub(super) fn count_parts(wire: &WireHistogram<'_>, limit: usize) -> usize {
    let most = limit.saturating_add(1);
    let spans = wire.positive_spans().take(most).count() + wire.negative_spans().take(most).count();
    let buckets = match wire.count() {
        Count::Integer(_) => wire.positive_deltas().take(most).count() + wire.negative_deltas().take(most).count(),
        Count::Float(_) => wire.positive_counts().take(most).count() + wire.negative_counts().take(most).count(),
    };
    spans + buckets + wire.custom_values().take(most).count()
}

/// Fills a histogram from the wire, keeping its memory. What the other flavour has on the wire is ignored, as Prometheus does.
pub(super) fn fill(histogram: &mut Histogram, wire: &WireHistogram<'_>) {
    let span = |(offset, length)| Span { offset, length };
    histogram.sum = wire.sum;
    histogram.schema = wire.schema;
    histogram.zero_threshold = wire.zero_threshold;
    histogram.reset_hint = ResetHint::from_number(wire.reset_hint);
    refill(&mut histogram.positive_spans, wire.positive_spans().map(span));
    refill(&mut histogram.negative_spans, wire.negative_spans().map(span));
    refill(&mut histogram.custom_values, wire.custom_values());
    histogram.counts = match (wire.count(), std::mem::take(&mut histogram.counts)) {
        (Count::Integer(count), before) => {
            let (mut positive, mut negative) = match before {
                Counts::Integer { positive, negative, .. } => (positive, negative),
                Counts::Float { .. } => Default::default(),
            };
            refill(&mut positive, absolute(wire.positive_deltas()));
            refill(&mut negative, absolute(wire.negative_deltas()));
            let zero_count = match wire.zero_count() {
                Count::Integer(zero_count) => zero_count,
                Count::Float(_) => 0,
            };
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            }
        }
        (Count::Float(count), before) => {
            let (mut positive, mut negative) = match before {
                Counts::Float { positive, negative, .. } => (positive, negative),
                Counts::Integer { .. } => Default::default(),
            };
            refill(&mut positive, wire.positive_counts());
            refill(&mut negative, wire.negative_counts());
            let zero_count = match wire.zero_count() {
                Count::Float(zero_count) => zero_count,
                Count::Integer(_) => 0.0,
            };
            Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            }
        }
    };
}

fn refill<T>(target: &mut Vec<T>, items: impl Iterator<Item = T>) {
    target.clear();
    target.extend(items);
}

/// Each delta is to the bucket before, the first to 0. Overflow wraps, as in Go, and is negative then: not valid.
fn absolute(deltas: impl Iterator<Item = i64>) -> impl Iterator<Item = i64> {
    deltas.scan(0_i64, |count, delta| {
        *count = count.wrapping_add(delta);
        Some(*count)
    })
}
