//! The verdict against a plain set of ordinals, and its encoding.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn encoded(verdict: &Verdict) -> Vec<u8> {
    let mut bytes = Vec::new();
    verdict.encode(&mut bytes);
    bytes
}

#[test]
fn accepting_everything_takes_one_byte() {
    assert_eq!(encoded(&Verdict::new(0)), [0]);
    assert_eq!(encoded(&Verdict::new(63)), [126]);
}

#[test]
#[should_panic(expected = "ascending")]
fn ordinals_out_of_order_are_a_mistake() {
    let mut verdict = Verdict::new(1);
    verdict.refuse(5);
    verdict.refuse(3);
}

proptest! {
    #[test]
    fn it_answers_as_a_set_and_round_trips(
        validator: u32,
        ordinals in prop::collection::btree_set(0_u32..300, 0..100),
        far in prop::option::of(any::<u32>().prop_filter("not the last", |ordinal| *ordinal != u32::MAX)),
        rest: Vec<u8>,
    ) {
        let ordinals: BTreeSet<u32> = ordinals.into_iter().chain(far).collect();
        let mut verdict = Verdict::new(validator);
        for ordinal in &ordinals {
            verdict.refuse(*ordinal);
            verdict.refuse(*ordinal);
        }
        prop_assert!((0..400).all(|ordinal| verdict.is_refused(ordinal) == ordinals.contains(&ordinal)));
        prop_assert_eq!(verdict.refused_count(), ordinals.len() as u64);
        prop_assert_eq!(verdict.accepts_all(), ordinals.is_empty());
        let mut bytes = encoded(&verdict);
        bytes.extend(&rest);
        let mut left = bytes.as_slice();
        prop_assert_eq!(Verdict::decode(&mut left).unwrap(), verdict);
        prop_assert_eq!(left, &rest[..]);
    }

    #[test]
    fn what_decodes_is_canonical_and_nothing_panics(bytes: Vec<u8>) {
        let mut left = bytes.as_slice();
        if let Some(verdict) = Verdict::decode(&mut left) {
            prop_assert!(verdict.refused().windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(verdict.refused().iter().all(|range| !range.is_empty()));
            prop_assert_eq!(Verdict::decode(&mut encoded(&verdict).as_slice()), Some(verdict));
        }
    }
}
