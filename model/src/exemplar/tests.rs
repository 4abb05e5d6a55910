//! Exemplars as the set that they are, against a set of the standard library.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("labels")
}

pub(crate) fn few_exemplars() -> impl Strategy<Value = Exemplar> {
    let bits = [
        0,
        1 << 63,
        0x7ff8_0000_0000_0001,
        0x7ff0_0000_0000_0002,
        0x3ff0_0000_0000_0000,
    ];
    let labels = vec![labels(&[]), labels(&[("trace_id", "a")]), labels(&[("trace_id", "b")])];
    (
        -3_i64..3,
        select(bits.to_vec()).prop_map(f64::from_bits),
        select(labels),
    )
        .prop_map(|(timestamp, value, labels)| Exemplar {
            timestamp,
            value,
            labels,
        })
}

/// Time, bits of the value, labels.
fn key(exemplar: &Exemplar) -> (i64, u64, Vec<u8>) {
    (
        exemplar.timestamp,
        exemplar.value.to_bits(),
        exemplar.labels.as_bytes().to_vec(),
    )
}

proptest! {
    #[test]
    fn settled_exemplars_are_the_set_of_all(exemplars in vec(few_exemplars(), 0..40), at: prop::sample::Index) {
        let expected: Vec<_> = exemplars.iter().map(key).collect::<BTreeSet<_>>().into_iter().collect();
        let mut run: ExemplarRun = exemplars.iter().cloned().collect();
        run.settle();
        prop_assert!(run.is_settled());
        prop_assert_eq!(run.as_slice().iter().map(key).collect::<Vec<_>>(), expected);
        // In any split and order.
        let (front, back) = exemplars.split_at(at.index(exemplars.len() + 1));
        let (mut front, mut back): (ExemplarRun, ExemplarRun) = (front.iter().cloned().collect(), back.iter().cloned().collect());
        front.settle();
        back.append(&front);
        back.settle();
        prop_assert_eq!(&back, &run);
        back.append(&run);
        back.settle();
        prop_assert_eq!(&back, &run);
    }

    #[test]
    fn a_range_keeps_exactly_what_lies_in_it(exemplars in vec(few_exemplars(), 0..40), start in -4_i64..4, end in -4_i64..4) {
        let range = TimeRange { start, end };
        let mut run: ExemplarRun = exemplars.iter().cloned().collect();
        run.retain_range(range);
        let expected: Vec<_> = exemplars.iter().filter(|e| range.contains(e.timestamp)).map(key).collect();
        prop_assert_eq!(run.as_slice().iter().map(key).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn equality_is_that_of_bits() {
    let exemplar = |bits: u64| Exemplar {
        timestamp: 0,
        value: f64::from_bits(bits),
        labels: labels(&[]),
    };
    assert_ne!(exemplar(0), exemplar(1 << 63));
    assert_eq!(exemplar(0x7ff8_0000_0000_0001), exemplar(0x7ff8_0000_0000_0001));
    assert_ne!(exemplar(0x7ff8_0000_0000_0001), exemplar(0x7ff8_0000_0000_0002));
}

#[test]
fn heap_bytes_cover_list_and_labels() {
    let mut run = ExemplarRun::default();
    assert_eq!(run.heap_bytes(), 0);
    let long = "x".repeat(1000);
    for timestamp in 0..100 {
        run.push(Exemplar {
            timestamp,
            value: 1.0,
            labels: labels(&[("trace_id", &long)]),
        });
    }
    let least = 100 * (1000 + size_of::<Exemplar>());
    assert!((least..2 * least).contains(&run.heap_bytes()), "{}", run.heap_bytes());
    run.clear();
    assert!(run.is_empty());
}
