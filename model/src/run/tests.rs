//! Tests of run against the rules of Prometheus, written naively.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::STALE_MARKER_BITS;

fn sample() -> impl Strategy<Value = Sample> {
    let bits = prop_oneof![
        Just(0u64),
        Just(1 << 63),
        Just(STALE_MARKER_BITS),
        Just(0x7ff8_0000_0000_0001),
        Just(1.5f64.to_bits()),
        any::<u64>()
    ];
    (-5i64..5, bits, prop_oneof![3 => Just(0i64), 1 => 1i64..4]).prop_map(|(timestamp, bits, start_timestamp)| Sample {
        timestamp,
        value: f64::from_bits(bits),
        start_timestamp,
    })
}

/// The order of DESIGN §4 as a sort key: not stale, bits, start timestamp.
fn key(s: &Sample) -> (bool, u64, i64) {
    (!is_stale(s), s.value.to_bits(), s.start_timestamp)
}

fn is_stale(s: &Sample) -> bool {
    s.value.to_bits() == STALE_MARKER_BITS
}

proptest! {
    #[test]
    fn settled_runs_hold_the_greatest_row_of_each_timestamp(samples in vec(sample(), 0..40)) {
        let mut expected: BTreeMap<i64, Sample> = BTreeMap::new();
        for s in &samples {
            let kept = expected.entry(s.timestamp).or_insert(*s);
            if key(s) > key(kept) {
                *kept = *s;
            }
        }
        let mut run: Run = samples.iter().copied().collect();
        run.settle();
        prop_assert!(run.is_settled());
        prop_assert_eq!(run.iter().collect::<Vec<_>>(), expected.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn any_split_and_order_of_arrival_settles_to_the_same(samples in vec(sample(), 0..40), at in 0usize..40) {
        let at = at.min(samples.len());
        let mut whole: Run = samples.iter().copied().collect();
        whole.settle();
        let (mut front, mut back): (Run, Run) =
            (samples[..at].iter().copied().collect(), samples[at..].iter().copied().collect());
        front.settle();
        back.settle();
        back.append(&front);
        back.settle();
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), whole.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_range_keeps_exactly_what_lies_in_it(samples in vec(sample(), 0..40), start in -6i64..6, end in -6i64..6) {
        let mut run: Run = samples.iter().copied().collect();
        run.settle();
        let range = TimeRange { start, end };
        let expected: Vec<_> = run.iter().filter(|s| range.contains(s.timestamp)).collect();
        run.retain_range(range);
        prop_assert_eq!(run.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn conflicts_are_counted_and_duplicates_are_not() {
    let at = |timestamp, value| Sample {
        timestamp,
        value,
        start_timestamp: 0,
    };
    let mut run: Run = [at(2, 1.0), at(1, 1.0), at(1, 1.0), at(2, 3.0)].into_iter().collect();
    assert_eq!(run.settle(), 1);
    assert_eq!(run.values, [1.0, 3.0]);
}
