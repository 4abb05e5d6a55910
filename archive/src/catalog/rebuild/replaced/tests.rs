//! When parts are a proof that others may stay away.

use crate::catalog::tests::{compacted_entry, entry_of};
use crate::part::TimeSpan;

use super::*;

/// A part with so many samples from one time to another.
fn part(ulid: Ulid, samples: u64, times: (i64, i64)) -> PartEntry {
    let mut part = compacted_entry(ulid, 0);
    part.merge = None;
    for held in part.tenants.values_mut() {
        (held.samples, held.min_time, held.max_time) = (samples, times.0, times.1);
    }
    part
}

fn changed(mut part: PartEntry, change: impl Fn(&mut TenantSummary)) -> PartEntry {
    part.tenants.values_mut().for_each(change);
    part
}

fn is_proof(outputs: &[PartEntry]) -> bool {
    let input = changed(entry_of("r", 1, Ulid(1)), |held| held.exemplars = 2);
    let outputs: Vec<&PartEntry> = outputs.iter().collect();
    hold_all(&outputs, &[&input])
}

#[test]
fn rows_add_up_and_none_is_counted_twice() {
    let exemplars = |part, span: (i64, i64)| {
        changed(part, |held| {
            held.exemplars = 1;
            held.exemplar_times = Some(TimeSpan {
                min_time: span.0,
                max_time: span.1,
            });
        })
    };
    let one = exemplars(part(Ulid(2), 5, (0, 9)), (0, 9));
    let other = exemplars(part(Ulid(3), 5, (10, 19)), (10, 19));
    assert!(is_proof(&[one.clone(), other.clone()]));
    assert!(!is_proof(std::slice::from_ref(&one)), "half of it");
    assert!(!is_proof(&[one.clone(), one.clone()]), "one half twice");
    let touching = changed(other.clone(), |held| held.min_time = 9);
    assert!(!is_proof(&[one.clone(), touching]), "there may be a row in both");
    let exemplars_touch = exemplars(part(Ulid(3), 5, (10, 19)), (9, 9));
    assert!(!is_proof(&[one.clone(), exemplars_touch]));
    let without = changed(other.clone(), |held| held.exemplars = 0);
    assert!(
        !is_proof(&[one.clone(), without]),
        "rows of one kind are none of another"
    );
    let mut of_another = other;
    of_another.tenants = BTreeMap::from([("b".to_owned(), of_another.tenants["anonymous"])]);
    assert!(!is_proof(&[one, of_another]));
}

#[test]
fn a_part_that_was_split_by_series_is_split_in_one_run() {
    let half = |at: u64, random| {
        let half = changed(part(Ulid::from_parts(at, random), 5, (0, 9)), |held| held.exemplars = 1);
        PartEntry {
            merge: Some("m".to_owned()),
            ..half
        }
    };
    assert!(is_proof(&[half(1, 1), half(1, 2)]));
    assert!(!is_proof(&[half(1, 1), half(2, 2)]), "of two runs");
    let alone = PartEntry {
        merge: None,
        ..half(1, 2)
    };
    assert!(!is_proof(&[half(1, 1), alone]));
}

#[test]
fn metadata_that_is_in_none_of_the_outputs_is_missed() {
    let seen = |part, first| {
        changed(part, move |held| {
            held.metadata_times = Some(TimeSpan {
                min_time: first,
                max_time: 90,
            })
        })
    };
    let input = seen(entry_of("r", 1, Ulid(1)), 50);
    let output = part(Ulid(2), 10, (0, 9));
    assert!(!hold_all(&[&output], &[&input]));
    assert!(hold_all(&[&seen(output, 50)], &[&input]));
}
