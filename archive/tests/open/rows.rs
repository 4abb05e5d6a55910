//! Rows of histograms as JSON that can be compared: of the model, and of what the other engines gave.

use emberkeep_model::{Counts, Histogram, Labels, Span};
use serde_json::{Value, json};

/// A row of the view of histograms, or without labels of the file.
pub(crate) fn histogram_row(labels: Option<&Labels>, timestamp: i64, start: i64, histogram: &Histogram) -> Value {
    let bits = |floats: &[f64]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let offsets = |spans: &[Span]| spans.iter().map(|span| span.offset).collect::<Vec<_>>();
    let lengths = |spans: &[Span]| spans.iter().map(|span| span.length).collect::<Vec<_>>();
    let counts = match &histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => json!([
            count.cast_signed(),
            zero_count.cast_signed(),
            null,
            null,
            positive,
            negative,
            [],
            []
        ]),
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => json!([
            null,
            null,
            count.to_bits(),
            zero_count.to_bits(),
            [],
            [],
            bits(positive),
            bits(negative)
        ]),
    };
    let start = (start != 0).then_some(start);
    json!([
        labels.map(labels_json),
        timestamp,
        start,
        histogram.reset_hint as u8,
        histogram.schema,
        histogram.zero_threshold.to_bits(),
        histogram.sum.to_bits(),
        counts,
        offsets(&histogram.positive_spans),
        lengths(&histogram.positive_spans),
        offsets(&histogram.negative_spans),
        lengths(&histogram.negative_spans),
        bits(&histogram.custom_values),
    ])
}

/// The same row as another engine gave it.
pub(crate) fn found_histogram(row: &Value) -> Value {
    json!([
        row["labels"],
        row["timestamp"],
        row["start_timestamp"],
        row["reset_hint"],
        row["schema"],
        row["zero_threshold"],
        row["sum"],
        [
            row["count"],
            row["zero_count"],
            row["float_count"],
            row["float_zero_count"],
            row["positive_buckets"],
            row["negative_buckets"],
            row["float_positive_buckets"],
            row["float_negative_buckets"],
        ],
        row["positive_span_offsets"],
        row["positive_span_lengths"],
        row["negative_span_offsets"],
        row["negative_span_lengths"],
        row["custom_values"],
    ])
}

pub(crate) fn labels_json(labels: &Labels) -> Value {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
