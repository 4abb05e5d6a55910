//! Which parts stand in the tables as of one root: a pure function, so that it can be asked again at any time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ulid::Ulid;

use crate::{Mask, PartEntry, TimeSpan};

/// 0001-01-01 and 9999-12-31 in days since 1970: beyond them a date is nothing that every engine reads, and one file would make a whole
/// table unreadable.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

/// The live parts that can be read beside each other without a row twice and without one that is deleted: those of level 1 and above that no
/// unapplied mask concerns and that overlap no other one. Of two that overlap, the one that is in the tables already (`published`) stays, then
/// the one of the higher level, then the older one; the other waits until it is merged.
///
/// Metadata does not count as overlap: a variant that was told in two windows is in both.
#[must_use]
pub fn publishable(parts: &[Arc<PartEntry>], masks: &[Mask], published: &HashSet<Ulid>) -> Vec<Arc<PartEntry>> {
    let mut days: BTreeMap<(&str, i32), Vec<&Arc<PartEntry>>> = BTreeMap::new();
    for part in parts {
        let Some(day) = part.day.filter(|day| part.level > 0 && DAYS.contains(day)) else {
            continue;
        };
        let mut tenants = part.tenants.keys();
        let (Some(tenant), None) = (tenants.next(), tenants.next()) else {
            continue;
        };
        if !masks.iter().any(|mask| mask.concerns(part)) {
            days.entry((tenant.as_str(), day)).or_default().push(part);
        }
    }
    let mut chosen: Vec<Arc<PartEntry>> = Vec::new();
    for mut candidates in days.into_values() {
        candidates.sort_by_key(|part| {
            (
                !published.contains(&part.ulid),
                std::cmp::Reverse(part.level),
                part.ulid,
            )
        });
        let first = chosen.len();
        for part in candidates {
            if !chosen[first..].iter().any(|other| overlap(part, other)) {
                chosen.push(Arc::clone(part));
            }
        }
    }
    chosen
}

/// Whether two parts of one tenant may both have rows of one series and time.
fn overlap(a: &PartEntry, b: &PartEntry) -> bool {
    let is_split = a.merge.is_some() && a.merge == b.merge;
    !is_split && (meet(samples(a), samples(b)) || meet(exemplars(a), exemplars(b)))
}

fn samples(part: &PartEntry) -> Option<TimeSpan> {
    part.tenants.values().find_map(|held| held.sample_times())
}

fn exemplars(part: &PartEntry) -> Option<TimeSpan> {
    part.tenants.values().find_map(|held| held.exemplar_times)
}

fn meet(a: Option<TimeSpan>, b: Option<TimeSpan>) -> bool {
    a.zip(b)
        .is_some_and(|(a, b)| a.min_time <= b.max_time && b.min_time <= a.max_time)
}
