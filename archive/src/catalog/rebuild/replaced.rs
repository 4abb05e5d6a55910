//! Which parts stay away because others hold all of their rows.
//!
//! A part that is left out wrongly is lost, one that is kept wrongly is seen twice and counts once. So only two things are a proof: a merge
//! that lost no row, by the list of what was removed for it, and rows that add up. Neither that something was removed, nor that it was
//! rewritten without the rows of a deletion, is one: such a list may come from a root that never was, or be undone, and the deletion lifted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ulid::Ulid;

use crate::catalog::{CondemnedList, PartEntry, Removal};
use crate::part::TenantSummary;

/// What each part is that is whole.
type Entries = BTreeMap<Ulid, PartEntry>;

/// Parts that stay away, and merged parts of which that could not be shown.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) replaced: BTreeSet<Ulid>,
    pub(super) doubtful: Vec<Ulid>,
}

/// Decides about the inputs of all merges, given the sources of each merged part and the lists of what was ever removed.
pub(super) fn settle(entries: &Entries, sources: &BTreeMap<Ulid, Vec<Ulid>>, removed: &[CondemnedList]) -> Settled {
    let mut merges: BTreeMap<BTreeSet<Ulid>, Vec<Ulid>> = BTreeMap::new();
    for (output, inputs) in sources {
        let inputs = inputs.iter().copied().collect();
        merges.entry(inputs).or_default().push(*output);
    }
    let superseded = superseded(entries, removed);
    let mut settled = Settled::default();
    for (inputs, outputs) in merges {
        // All of them are gone, so the merge was committed long ago.
        if inputs.iter().all(|input| !entries.contains_key(input)) {
            continue;
        }
        let present: Vec<&PartEntry> = inputs.iter().filter_map(|input| entries.get(input)).collect();
        let made: Vec<&PartEntry> = outputs.iter().filter_map(|output| entries.get(output)).collect();
        let is_all_there = present.len() == inputs.len() && made.len() == outputs.len() && hold_all(&made, &present);
        if is_all_there || present.iter().all(|input| superseded.contains(&input.ulid)) {
            settled.replaced.extend(present.iter().map(|input| input.ulid));
        } else {
            settled.doubtful.extend(outputs);
        }
    }
    settled
        .doubtful
        .retain(|ulid| entries.contains_key(ulid) && !settled.replaced.contains(ulid));
    settled
}

/// Parts in whose place one root put others that hold all their rows and are there, or were merged further and all of that is there.
fn superseded(entries: &Entries, removed: &[CondemnedList]) -> HashSet<Ulid> {
    let merges: Vec<(&CondemnedList, Vec<Ulid>)> = removed
        .iter()
        .filter(|list| list.why == Removal::Compacted && !list.by.is_empty())
        .filter_map(|list| {
            let by = list.by.iter().map(|text| Ulid::from_string(text));
            Some((list, by.collect::<Result<_, _>>().ok()?))
        })
        .collect();
    let mut superseded = HashSet::new();
    // What was merged further is found in the round after that in which what it went into was.
    loop {
        let is_held = |ulid: &Ulid| entries.contains_key(ulid) || superseded.contains(ulid);
        let whole = merges.iter().filter(|(_, by)| by.iter().all(is_held));
        let parts = whole.flat_map(|(list, _)| &list.parts).map(|part| part.ulid);
        let next: HashSet<Ulid> = parts.collect();
        if next.len() == superseded.len() {
            return superseded;
        }
        superseded = next;
    }
}

/// Whether parts that were made of others, and of nothing else, hold all of their rows: they are as many, and none is counted twice.
fn hold_all(outputs: &[&PartEntry], inputs: &[&PartEntry]) -> bool {
    let (made, given) = (sums(outputs), sums(inputs));
    let tenants: BTreeSet<&str> = made.keys().chain(given.keys()).copied().collect();
    let nothing = TenantSummary::default();
    let is_same = |tenant: &str| {
        let of = |sums: &BTreeMap<&str, TenantSummary>| {
            let held = sums.get(tenant).unwrap_or(&nothing);
            // Variants of metadata are one wherever they are seen, but for when that was first.
            let first_metadata = held.metadata_times.map(|times| times.min_time);
            (held.samples, held.histograms, held.exemplars, first_metadata)
        };
        of(&made) == of(&given)
    };
    let are_disjoint =
        |(i, output): (usize, &&PartEntry)| outputs[i + 1..].iter().all(|other| are_apart(output, other));
    tenants.into_iter().all(is_same) && outputs.iter().enumerate().all(are_disjoint)
}

/// What tenants have in all of some parts.
fn sums<'a>(parts: &[&'a PartEntry]) -> BTreeMap<&'a str, TenantSummary> {
    let mut sums: BTreeMap<&str, TenantSummary> = BTreeMap::new();
    for (tenant, held) in parts.iter().flat_map(|part| &part.tenants) {
        let sum = sums.entry(tenant).or_default();
        sum.samples = sum.samples.saturating_add(held.samples);
        sum.histograms = sum.histograms.saturating_add(held.histograms);
        sum.exemplars = sum.exemplars.saturating_add(held.exemplars);
        let earlier = held.metadata_times.into_iter().chain(sum.metadata_times);
        sum.metadata_times = earlier.min_by_key(|times| times.min_time);
    }
    sums
}

/// Whether two merged parts of the same inputs have no row in common. Two runs of one job, of which neither came to its end, may have
/// made the same part of it twice.
fn are_apart(one: &PartEntry, other: &PartEntry) -> bool {
    // Parts that one run split by series: it names them all in the same millisecond.
    let is_split =
        one.merge.is_some() && one.merge == other.merge && one.ulid.timestamp_ms() == other.ulid.timestamp_ms();
    is_split
        || one.tenants.iter().all(|(tenant, held)| {
            let apart = |theirs: &TenantSummary| match (span(held), span(theirs)) {
                (Some(ours), Some(theirs)) => ours.1 < theirs.0 || theirs.1 < ours.0,
                _ => true,
            };
            other.tenants.get(tenant).is_none_or(apart)
        })
}

/// From when to when there is a row of any kind.
fn span(held: &TenantSummary) -> Option<(i64, i64)> {
    let exemplars = held.exemplar_times.map(|times| (times.min_time, times.max_time));
    let samples = (held.min_time <= held.max_time).then_some((held.min_time, held.max_time));
    let spans = || exemplars.into_iter().chain(samples);
    Some((spans().map(|span| span.0).min()?, spans().map(|span| span.1).max()?))
}

#[cfg(test)]
mod tests;
