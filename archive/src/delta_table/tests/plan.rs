//! Which parts may stand beside each other.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::delta_table::publishable;

fn chosen(parts: &[PartEntry], masks: &[Mask], published: &[u128]) -> BTreeSet<u128> {
    let published: HashSet<Ulid> = published.iter().copied().map(Ulid).collect();
    let chosen = publishable(&shared(parts), masks, &published);
    chosen.iter().map(|part| part.ulid.0).collect()
}

#[test]
fn a_late_part_waits_and_the_one_that_is_in_the_tables_stays() {
    let (early, late, day) = (floats(1, 5, (0, 2)), floats(2, 5, (1, 2)), floats(3, 6, (1, 2)));
    let parts = [early, late, day];
    assert_eq!(chosen(&parts, &[], &[]), BTreeSet::from([1, 3]));
    assert_eq!(chosen(&parts, &[], &[2]), BTreeSet::from([2, 3]));
    let mut whole = floats(4, 5, (0, 24));
    whole.level = 2;
    let parts = [&parts[..], &[whole]].concat();
    assert_eq!(chosen(&parts, &[], &[]), BTreeSet::from([3, 4]));
    assert_eq!(chosen(&parts, &[], &[1]), BTreeSet::from([1, 3]));
}

#[test]
fn parts_of_one_merge_are_disjoint_and_other_tenants_do_not_matter() {
    let (mut a, mut b) = (floats(1, 5, (0, 24)), floats(2, 5, (0, 24)));
    let c = part(3, "b!*'()", 5, (0, 24), &[FileKind::Series]);
    assert_eq!(
        chosen(&[a.clone(), b.clone(), c.clone()], &[], &[]),
        BTreeSet::from([1, 3])
    );
    (a.merge, b.merge) = (Some("m".to_owned()), Some("m".to_owned()));
    assert_eq!(chosen(&[a.clone(), b.clone(), c], &[], &[]), BTreeSet::from([1, 2, 3]));
    b.merge = Some("other".to_owned());
    assert_eq!(chosen(&[a, b], &[], &[]), BTreeSet::from([1]));
}

#[test]
fn exemplars_overlap_for_themselves() {
    let (a, b) = (floats(1, 5, (0, 2)), floats(2, 5, (2, 4)));
    assert_eq!(chosen(&[a.clone(), b.clone()], &[], &[]), BTreeSet::from([1, 2]));
    let (a, b) = (
        with_exemplars(a, 5 * DAY, 5 * DAY + 9),
        with_exemplars(b, 5 * DAY + 9, 5 * DAY + 10),
    );
    assert_eq!(chosen(&[a, b], &[], &[]), BTreeSet::from([1]));
}

#[test]
fn an_unapplied_mask_takes_a_part_out_until_it_is_rewritten() {
    let mut entry = floats(1, 5, (0, 2));
    entry.masks = 3;
    let day = 5 * DAY;
    let is_in = |mask: Mask| !chosen(&[entry.clone()], &[mask], &[1]).is_empty();
    assert!(!is_in(mask(4, "anonymous", day, day + 1)));
    assert!(is_in(mask(3, "anonymous", day, day + 1)));
    assert!(is_in(mask(4, "other", day, day + 1)));
    assert!(is_in(mask(4, "anonymous", day - 9, day)));
}

#[test]
fn what_is_no_single_day_of_a_single_tenant_is_left_out() {
    let mut flush = floats(1, 5, (0, 2));
    flush.level = 0;
    let mut no_day = floats(2, 5, (0, 2));
    no_day.day = None;
    let far = floats(3, 2_932_897, (0, 2));
    let mut two = floats(4, 5, (0, 2));
    two.tenants.insert("b".to_owned(), TenantSummary::default());
    assert_eq!(chosen(&[flush, no_day, far, two], &[], &[]), BTreeSet::new());
}

proptest! {
    /// What is chosen is disjoint, nothing that would fit is left out, the order of the parts is nothing, and asked again with the answer as
    /// what is published the answer is the same.
    #[test]
    fn the_choice_is_disjoint_whole_and_stable(
        spans in prop::collection::vec((0_i64..20, 1_i64..6, 1_u32..4, 0_u8..3), 1..12),
        published in prop::collection::vec(0_u128..12, 0..4),
    ) {
        let parts: Vec<PartEntry> = spans.iter().zip(0_u128..).map(|((from, length, level, merge), number)| {
            let mut entry = floats(number, 5, (*from, from + length));
            entry.level = *level;
            entry.merge = (*merge > 0).then(|| merge.to_string());
            entry
        }).collect();
        let first = chosen(&parts, &[], &published);
        let overlaps = |a: &PartEntry, b: &PartEntry| {
            (a.merge.is_none() || a.merge != b.merge) && a.min_time <= b.max_time && b.min_time <= a.max_time
        };
        for part in &parts {
            let others = parts.iter().filter(|other| other.ulid != part.ulid && first.contains(&other.ulid.0));
            let collides = others.into_iter().any(|other| overlaps(part, other));
            prop_assert_eq!(collides, !first.contains(&part.ulid.0));
        }
        let mut reversed = parts.clone();
        reversed.reverse();
        prop_assert_eq!(&chosen(&reversed, &[], &published), &first);
        let again: Vec<u128> = first.iter().copied().collect();
        prop_assert_eq!(&chosen(&parts, &[], &again), &first);
    }
}
