//! Coarser resolution, against the definition of a bucket: its bounds.
//!
//! Bounds are powers of two whose exponents are multiples of 2^-schema, so they are compared as those multiples, exactly.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use super::*;

/// The bucket of schema 8 that contains bucket `index` of schema 8 + `steps`, found by its bounds alone.
fn containing(index: i64, steps: u32) -> i64 {
    let width = 1_i128 << steps;
    let (lower, upper) = (i128::from(index) - 1, i128::from(index));
    let target = lower.div_euclid(width) + 1;
    assert!(
        (target - 1) * width <= lower && upper <= target * width,
        "{index} in {target}"
    );
    i64::try_from(target).expect("it lies nearer to 0")
}

fn naive<C: Copy + Default + AddAssign>(spans: &[Span], counts: &[C], steps: u32) -> BTreeMap<i64, C> {
    let mut reduced: BTreeMap<i64, C> = BTreeMap::new();
    for (index, &count) in bucket_indices(spans).zip(counts) {
        *reduced.entry(containing(index, steps)).or_default() += count;
    }
    reduced
}

/// Index and count of each bucket as they are laid out, so that a repeated or falling index shows.
fn listed<C: Copy>(spans: &[Span], counts: &[C]) -> Vec<(i64, C)> {
    assert_eq!(described(spans), counts.len());
    bucket_indices(spans).zip(counts.iter().copied()).collect()
}

/// A valid histogram finer than what is stored, with counts that do not overflow.
fn fine() -> impl Strategy<Value = Histogram> {
    (valid_histogram(), 9..=52_i32).prop_filter_map("a schema with an exponent", |(mut histogram, schema)| {
        if histogram.has_custom_buckets() {
            return None;
        }
        histogram.schema = schema;
        if let Counts::Integer {
            positive,
            negative,
            zero_count,
            count,
        } = &mut histogram.counts
        {
            let small = |bucket: &mut i64| *bucket %= 1 << 40;
            positive.iter_mut().chain(negative.iter_mut()).for_each(small);
            *zero_count %= 1 << 40;
            let all: i64 = positive.iter().chain(negative.iter()).sum();
            *count = *zero_count + all.cast_unsigned();
        }
        Some(histogram)
    })
}

proptest! {
    #[test]
    fn every_count_goes_to_the_bucket_that_contains_it(histogram in fine()) {
        let mut reduced = histogram.clone();
        reduced.reduce_to_stored();
        let steps = u32::try_from(histogram.schema - 8).expect("finer");
        let sides = |h: &Histogram| [h.positive_spans.clone(), h.negative_spans.clone()];
        match (&histogram.counts, &reduced.counts) {
            (
                Counts::Integer { positive, negative, count, zero_count },
                Counts::Integer { positive: new_positive, negative: new_negative, count: new_count, zero_count: new_zero },
            ) => {
                let new = [new_positive, new_negative];
                for (side, counts) in [positive, negative].into_iter().enumerate() {
                    let expected: Vec<_> = naive(&sides(&histogram)[side], counts, steps).into_iter().collect();
                    prop_assert_eq!(listed(&sides(&reduced)[side], new[side]), expected);
                }
                prop_assert_eq!((count, zero_count), (new_count, new_zero));
            }
            (
                Counts::Float { positive, negative, count, zero_count },
                Counts::Float { positive: new_positive, negative: new_negative, count: new_count, zero_count: new_zero },
            ) => {
                let new = [new_positive, new_negative];
                for (side, counts) in [positive, negative].into_iter().enumerate() {
                    // NaN is equal to none, and a sum that starts at 0 has no -0: by number, NaN as NaN.
                    let shown = |list: Vec<(i64, f64)>| -> Vec<(i64, String)> {
                        list.into_iter().map(|(index, count)| (index, format!("{:?}", count + 0.0))).collect()
                    };
                    let expected: Vec<_> = naive(&sides(&histogram)[side], counts, steps).into_iter().collect();
                    prop_assert_eq!(shown(listed(&sides(&reduced)[side], new[side])), shown(expected));
                }
                prop_assert_eq!([count, zero_count].map(|c| c.to_bits()), [new_count, new_zero].map(|c| c.to_bits()));
            }
            _ => prop_assert!(false, "the flavour changed"),
        }
        prop_assert_eq!(reduced.schema, 8);
        prop_assert_eq!(reduced.reset_hint, histogram.reset_hint);
        prop_assert_eq!(reduced.sum.to_bits(), histogram.sum.to_bits());
        prop_assert_eq!(reduced.zero_threshold.to_bits(), histogram.zero_threshold.to_bits());
        prop_assert_eq!(reduced.validate(), Ok(()));
        let once = reduced.clone();
        reduced.reduce_to_stored();
        prop_assert!(same(&reduced, &once), "twice is once");
    }

    #[test]
    fn what_prometheus_stores_stays_as_it_is(histogram in valid_histogram(), schema in -4..=8_i32) {
        let mut histogram = histogram;
        if !histogram.has_custom_buckets() {
            histogram.schema = schema;
        }
        let mut reduced = histogram.clone();
        reduced.reduce_to_stored();
        prop_assert!(same(&reduced, &histogram));
    }
}

/// Bucket 1 of schema 9 ends at the upper bound of bucket 1 of schema 8 divided by two in the exponent: inside it; 0 is apart.
#[test]
fn buckets_of_one_step_are_paired_by_their_upper_bounds() {
    let span = |offset, length| Span { offset, length };
    let mut histogram = Histogram {
        counts: Counts::Integer {
            count: 127,
            zero_count: 0,
            positive: vec![1, 2, 4, 8, 16, 32, 64],
            negative: vec![],
        },
        schema: 9,
        // Buckets -1, 0, 1, 2, 3, then 8 and 9.
        positive_spans: vec![span(-1, 5), span(4, 2)],
        ..Histogram::default()
    };
    histogram.reduce_to_stored();
    // -1 and 0 end by 2^0; 1 and 2 by 2^(2/512); 3 after it; 8 ends bucket 4, 9 begins bucket 5.
    assert_eq!(
        listed(&histogram.positive_spans, &[3, 12, 16, 32, 64]),
        [(0, 3), (1, 12), (2, 16), (4, 32), (5, 64)]
    );
    assert_eq!(histogram.positive_spans, [span(0, 3), span(1, 2)]);
    let Counts::Integer { positive, .. } = histogram.counts else {
        panic!("the flavour changed")
    };
    assert_eq!(positive, [3, 12, 16, 32, 64]);
}

#[test]
fn a_gap_beyond_one_offset_is_kept_by_empty_spans() {
    let span = |offset, length| Span { offset, length };
    let mut spans = vec![span(i32::MIN, 1)];
    spans.extend([span(i32::MAX, 0); 6]);
    spans.push(span(0, 1));
    let mut histogram = Histogram {
        counts: Counts::Float {
            count: 3.0,
            zero_count: 0.0,
            positive: vec![1.0, 2.0],
            negative: vec![],
        },
        schema: 9,
        positive_spans: spans,
        ..Histogram::default()
    };
    let last = bucket_indices(&histogram.positive_spans).last().expect("two buckets");
    histogram.reduce_to_stored();
    assert_eq!(histogram.validate(), Ok(()));
    let indices: Vec<i64> = bucket_indices(&histogram.positive_spans).collect();
    assert_eq!(indices, [containing(i64::from(i32::MIN), 1), containing(last, 1)]);
}
