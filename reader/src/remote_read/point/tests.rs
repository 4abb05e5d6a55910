//! The hand-written points against prost's decoder of the same schema.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_proto::messages::prometheus as messages;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// What the decoder read, as a histogram of ours.
fn read(message: &messages::Histogram) -> Histogram {
    use messages::histogram::{Count, ZeroCount};
    let spans = |spans: &[messages::BucketSpan]| {
        let span = |span: &messages::BucketSpan| Span {
            offset: span.offset,
            length: span.length,
        };
        spans.iter().map(span).collect()
    };
    let summed = |deltas: &[i64]| {
        deltas
            .iter()
            .scan(0_i64, |sum, delta| {
                *sum = sum.wrapping_add(*delta);
                Some(*sum)
            })
            .collect()
    };
    let counts = match (message.count.unwrap(), message.zero_count.unwrap()) {
        (Count::CountInt(count), ZeroCount::ZeroCountInt(zero_count)) => Counts::Integer {
            count,
            zero_count,
            positive: summed(&message.positive_deltas),
            negative: summed(&message.negative_deltas),
        },
        (Count::CountFloat(count), ZeroCount::ZeroCountFloat(zero_count)) => Counts::Float {
            count,
            zero_count,
            positive: message.positive_counts.clone(),
            negative: message.negative_counts.clone(),
        },
        other => panic!("two flavours: {other:?}"),
    };
    Histogram {
        counts,
        sum: message.sum,
        schema: message.schema,
        zero_threshold: message.zero_threshold,
        reset_hint: ResetHint::from_number(message.reset_hint),
        positive_spans: spans(&message.positive_spans),
        negative_spans: spans(&message.negative_spans),
        custom_values: message.custom_values.clone(),
    }
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::from_bits(emberkeep_model::STALE_MARKER_BITS)),
        any::<u64>().prop_map(f64::from_bits),
    ]
}

fn any_spans(buckets: usize) -> impl Strategy<Value = Vec<Span>> {
    let cuts = prop::collection::vec((any::<i32>(), 0..=buckets), 0..4);
    cuts.prop_map(move |mut cuts| {
        cuts.sort_by_key(|&(_, at)| at);
        let mut from = 0;
        let mut spans: Vec<Span> = Vec::new();
        for (offset, at) in cuts.into_iter().chain([(0, buckets)]) {
            spans.push(Span {
                offset,
                length: u32::try_from(at - from).unwrap(),
            });
            from = at;
        }
        spans
    })
}

/// Anything that has canonical bytes, valid or not: the encoder does not judge.
fn any_histogram() -> impl Strategy<Value = Histogram> {
    let counts = prop_oneof![
        (
            any::<u64>(),
            any::<u64>(),
            prop::collection::vec(any::<i64>(), 0..9),
            prop::collection::vec(any::<i64>(), 0..9)
        )
            .prop_map(|(count, zero_count, positive, negative)| Counts::Integer {
                count,
                zero_count,
                positive,
                negative
            }),
        (
            any_float(),
            any_float(),
            prop::collection::vec(any_float(), 0..9),
            prop::collection::vec(any_float(), 0..9)
        )
            .prop_map(|(count, zero_count, positive, negative)| Counts::Float {
                count,
                zero_count,
                positive,
                negative
            }),
    ];
    let rest = (any_float(), any::<i32>(), any_float(), 0..4i32);
    (counts, rest, prop::collection::vec(any_float(), 0..5)).prop_flat_map(|(counts, rest, custom_values)| {
        let (positive, negative) = match &counts {
            Counts::Integer { positive, negative, .. } => (positive.len(), negative.len()),
            Counts::Float { positive, negative, .. } => (positive.len(), negative.len()),
        };
        let (sum, schema, zero_threshold, hint) = rest;
        (any_spans(positive), any_spans(negative)).prop_map(move |(positive_spans, negative_spans)| Histogram {
            counts: counts.clone(),
            sum,
            schema,
            zero_threshold,
            reset_hint: ResetHint::from_number(hint),
            positive_spans,
            negative_spans,
            custom_values: custom_values.clone(),
        })
    })
}

proptest! {
    #[test]
    fn histograms_are_read_as_they_are(histograms in prop::collection::vec((any::<i64>(), any_histogram()), 0..4)) {
        let (mut points, mut bytes) = (HistogramPoints::default(), Vec::new());
        for (timestamp, histogram) in &histograms {
            points.write(*timestamp, histogram, &mut bytes);
        }
        let series = messages::TimeSeries::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(series.histograms.len(), histograms.len());
        for (found, (timestamp, mut expected)) in series.histograms.iter().zip(histograms) {
            prop_assert_eq!(found.timestamp, timestamp);
            if expected.reset_hint != ResetHint::Gauge {
                expected.reset_hint = ResetHint::Unknown;
            }
            // By bits: canonical bytes tell -0 from 0 and one NaN from another.
            prop_assert_eq!(read(found).to_canonical(), expected.to_canonical());
        }
    }

    #[test]
    fn samples_are_read_as_they_are(samples in prop::collection::vec((any::<i64>(), any_float()), 0..9)) {
        let mut bytes = Vec::new();
        for &(timestamp, value) in &samples {
            sample(timestamp, value, &mut bytes);
        }
        let series = messages::TimeSeries::decode(bytes.as_slice()).unwrap();
        let found: Vec<(i64, u64)> = series.samples.iter().map(|s| (s.timestamp, s.value.to_bits())).collect();
        let expected: Vec<(i64, u64)> = samples.iter().map(|&(t, v)| (t, v.to_bits())).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn an_empty_histogram_says_its_flavour() {
    let (mut points, mut bytes) = (HistogramPoints::default(), Vec::new());
    let float = Histogram {
        counts: Counts::Float {
            count: 0.0,
            zero_count: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
        },
        ..Histogram::default()
    };
    points.write(0, &Histogram::default(), &mut bytes);
    points.write(0, &float, &mut bytes);
    let series = messages::TimeSeries::decode(bytes.as_slice()).unwrap();
    let flavours: Vec<bool> = series.histograms.iter().map(|h| read(h).is_float()).collect();
    assert_eq!(flavours, [false, true]);
}

#[test]
fn only_a_gauge_is_hinted_at() {
    let hints = [
        ResetHint::Unknown,
        ResetHint::Reset,
        ResetHint::NotReset,
        ResetHint::Gauge,
    ];
    let (mut points, mut bytes) = (HistogramPoints::default(), Vec::new());
    for reset_hint in hints {
        let histogram = Histogram {
            reset_hint,
            ..Histogram::default()
        };
        points.write(0, &histogram, &mut bytes);
    }
    let series = messages::TimeSeries::decode(bytes.as_slice()).unwrap();
    let told: Vec<_> = series
        .histograms
        .iter()
        .map(|h| ResetHint::from_number(h.reset_hint))
        .collect();
    assert_eq!(
        told,
        [
            ResetHint::Unknown,
            ResetHint::Unknown,
            ResetHint::Unknown,
            ResetHint::Gauge
        ]
    );
}
