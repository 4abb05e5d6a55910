//! Generators of histograms that reach the corners, for all tests of this crate, and the smallest facts about histograms.
//!
//! What is generated as valid must be valid by construction, never by asking the code under test.

mod canonical;
mod reduce;
mod validity;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::STALE_MARKER_BITS;

/// Bits of floats that somebody could take for others.
const ODD_BITS: [u64; 14] = [
    0,
    1 << 63,
    1,
    0x000f_ffff_ffff_ffff,
    STALE_MARKER_BITS,
    0x7ff0_0000_0000_0001,
    0x7ff8_0000_0000_0001,
    0xfff8_0000_dead_beef,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0x3ff0_0000_0000_0000,
    0x3fb9_9999_9999_999a,
    0x4340_0000_0000_0001,
];

/// Any float, the odd ones often.
pub(crate) fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![select(&ODD_BITS[..]), any::<u64>()].prop_map(f64::from_bits)
}

/// A float that may be a count: not below 0, so NaN and -0 are among them.
fn float_count() -> impl Strategy<Value = f64> {
    any_float().prop_map(|value| if value < 0.0 { -value } else { value })
}

/// Spans that are legal for an exponential schema: only the first offset may be negative; lengths of 0 are there.
pub(super) fn spans() -> impl Strategy<Value = Vec<Span>> {
    let first = prop_oneof![
        4 => -10_i32..10,
        1 => any::<i32>(),
        1 => select(&[i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX][..])
    ];
    let gap = prop_oneof![6 => 0_i32..5, 1 => 0..=i32::MAX, 1 => Just(i32::MAX)];
    let length = prop_oneof![1 => Just(0_u32), 6 => 1_u32..5, 1 => 5_u32..200];
    (first, vec((gap, length), 0..6)).prop_map(|(first, spans)| {
        let with_first = |(i, (gap, length))| Span {
            offset: if i == 0 { first } else { gap },
            length,
        };
        spans.into_iter().enumerate().map(with_first).collect()
    })
}

/// How many buckets the spans describe.
pub(super) fn described(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

/// Bounds that rise strictly, and spans that stay inside the buckets they make.
fn custom() -> impl Strategy<Value = (Vec<f64>, Vec<Span>)> {
    let bounds = vec(any_float(), 0..12).prop_map(|mut bounds| {
        bounds.retain(|bound| !bound.is_nan() && *bound != f64::INFINITY);
        bounds.sort_by(f64::total_cmp);
        // 0 and -0 are one bound.
        bounds.dedup();
        bounds
    });
    let shape = vec((0_i32..3, 0_u32..4), 0..5);
    (bounds, shape).prop_map(|(bounds, shape)| {
        let mut left = bounds.len() as u64 + 1;
        let mut spans = Vec::new();
        for (offset, length) in shape {
            let reach = u64::from(offset.unsigned_abs()) + u64::from(length);
            if reach <= left {
                left -= reach;
                spans.push(Span { offset, length });
            }
        }
        (bounds, spans)
    })
}

type Layout = (i32, f64, Vec<Span>, Vec<Span>, Vec<f64>);

/// Schema, zero threshold, spans of both sides, custom bounds.
fn layout() -> impl Strategy<Value = Layout> {
    let exponential = (-4_i32..=52, any_float(), spans(), spans())
        .prop_map(|(schema, threshold, positive, negative)| (schema, threshold, positive, negative, Vec::new()));
    let zero = prop_oneof![Just(0.0), Just(-0.0)];
    let custom = (zero, custom())
        .prop_map(|(threshold, (bounds, spans))| (CUSTOM_BUCKETS_SCHEMA, threshold, spans, Vec::new(), bounds));
    prop_oneof![3 => exponential, 1 => custom]
}

fn integer_counts(layout: &Layout, sum: f64) -> impl Strategy<Value = Counts> + use<> {
    let bucket = || prop_oneof![4 => 0_i64..300, 1 => 0..=i64::MAX, 1 => Just(i64::MAX)];
    let zero_count = if layout.0 == CUSTOM_BUCKETS_SCHEMA {
        Just(0).boxed()
    } else {
        prop_oneof![3 => 0_u64..9, 1 => any::<u64>()].boxed()
    };
    let (positive, negative) = (described(&layout.2), described(&layout.3));
    let more = prop_oneof![Just(0_u64), any::<u64>()];
    (vec(bucket(), positive), vec(bucket(), negative), zero_count, more).prop_map(
        move |(positive, negative, zero_count, more)| {
            let all = positive.iter().chain(&negative);
            let buckets = all.fold(zero_count, |sum, &bucket| sum.wrapping_add(bucket.cast_unsigned()));
            // Observations of NaN lie in no bucket.
            let count = if sum.is_nan() {
                buckets.saturating_add(more)
            } else {
                buckets
            };
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            }
        },
    )
}

fn float_counts(layout: &Layout) -> impl Strategy<Value = Counts> + use<> {
    let is_custom = layout.0 == CUSTOM_BUCKETS_SCHEMA;
    let (positive, negative) = (described(&layout.2), described(&layout.3));
    let buckets = (vec(float_count(), positive), vec(float_count(), negative));
    (buckets, float_count(), float_count()).prop_map(move |((positive, negative), count, zero_count)| Counts::Float {
        count,
        zero_count: if is_custom { 0.0 } else { zero_count },
        positive,
        negative,
    })
}

/// Any histogram that Prometheus takes as valid.
pub(crate) fn valid_histogram() -> impl Strategy<Value = Histogram> {
    (layout(), any_float(), any::<bool>(), 0..4_i32).prop_flat_map(|(layout, sum, is_float, hint)| {
        let counts = if is_float {
            float_counts(&layout).boxed()
        } else {
            integer_counts(&layout, sum).boxed()
        };
        counts.prop_map(move |counts| {
            let (schema, zero_threshold, positive_spans, negative_spans, custom_values) = layout.clone();
            Histogram {
                counts,
                sum,
                schema,
                zero_threshold,
                reset_hint: ResetHint::from_number(hint),
                positive_spans,
                negative_spans,
                custom_values,
            }
        })
    })
}

/// Whether two histograms are the same, floats by their bits.
pub(crate) fn same(a: &Histogram, b: &Histogram) -> bool {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let counts = match (&a.counts, &b.counts) {
        (Counts::Integer { .. }, Counts::Integer { .. }) => a.counts == b.counts,
        (
            Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            },
            Counts::Float {
                count: other_count,
                zero_count: other_zero_count,
                positive: other_positive,
                negative: other_negative,
            },
        ) => {
            bits(&[*count, *zero_count]) == bits(&[*other_count, *other_zero_count])
                && bits(positive) == bits(other_positive)
                && bits(negative) == bits(other_negative)
        }
        _ => false,
    };
    counts
        && bits(&[a.sum, a.zero_threshold]) == bits(&[b.sum, b.zero_threshold])
        && bits(&a.custom_values) == bits(&b.custom_values)
        && (a.schema, a.reset_hint) == (b.schema, b.reset_hint)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
}

#[test]
fn indices_count_on_over_spans_and_beyond_32_bits() {
    let span = |offset, length| Span { offset, length };
    let indices = |spans: &[Span]| bucket_indices(spans).collect::<Vec<_>>();
    assert_eq!(indices(&[]), [0_i64; 0]);
    assert_eq!(
        indices(&[span(-2, 2), span(1, 0), span(0, 1), span(3, 2)]),
        [-2, -1, 1, 5, 6]
    );
    assert_eq!(
        indices(&[span(i32::MAX, 1), span(i32::MAX, 1)]),
        [i64::from(i32::MAX), 2 * i64::from(i32::MAX) + 1]
    );
}

#[test]
fn hints_are_the_numbers_on_the_wire_and_unknown_numbers_say_nothing() {
    let hints = [
        ResetHint::Unknown,
        ResetHint::Reset,
        ResetHint::NotReset,
        ResetHint::Gauge,
    ];
    for (number, hint) in (0..).zip(hints) {
        assert_eq!(ResetHint::from_number(number), hint);
        assert_eq!(hint as i32, number);
    }
    for number in [-1, 4, i32::MAX, i32::MIN] {
        assert_eq!(ResetHint::from_number(number), ResetHint::Unknown);
    }
}

#[test]
fn only_the_stale_marker_in_the_sum_makes_a_histogram_stale() {
    for (bits, expected) in [
        (STALE_MARKER_BITS, true),
        (STALE_MARKER_BITS | 1 << 63, false),
        (0x7ff8_0000_0000_0002, false),
        (0, false),
    ] {
        let histogram = Histogram {
            sum: f64::from_bits(bits),
            ..Histogram::default()
        };
        assert_eq!(histogram.is_stale(), expected, "{bits:#x}");
        assert_eq!(canonical_is_stale(&histogram.to_canonical()), expected, "{bits:#x}");
    }
    let stale = Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        ..Histogram::default()
    };
    assert!(!canonical_is_stale(&stale.to_canonical()[..8]), "cut within the sum");
    assert!(!canonical_is_stale(&[]));
}
