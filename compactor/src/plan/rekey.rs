//! Parts of level 1 and above that are written again as they are, under another key.
//!
//! One part becomes one part of the same level, day and merge: nothing is merged before its time, and an interrupted change of keys has
//! done what it has done. No row is left out, so nothing can be lost by it that a rollback would have to bring back.

use std::collections::BTreeSet;

use emberkeep_archive::{Live, PartEntry, Ulid};

use super::{DAY_MS, Job, JobKind, JobWindow};

pub(super) fn jobs(live: &Live, wanted: &BTreeSet<Ulid>) -> Vec<Job> {
    let quarantined = live.quarantined();
    let is_wanted = |part: &&PartEntry| wanted.contains(&part.ulid) && !quarantined.contains(&part.ulid.to_string());
    let parts = live.parts().map(AsRef::as_ref).filter(is_wanted);
    parts.filter_map(|part| job(live, part)).collect()
}

/// None for a part of level 0, which holds more than one day and tenant.
fn job(live: &Live, part: &PartEntry) -> Option<Job> {
    let (day, tenant) = (part.day?, part.tenants.keys().next()?);
    let start = i64::from(day) * DAY_MS;
    Some(Job {
        root: live.root_n(),
        kind: JobKind::Rekey,
        inputs: vec![part.clone()],
        windows: vec![JobWindow {
            tenant: tenant.clone(),
            level: part.level,
            from: start,
            to: start + DAY_MS,
        }],
        masks: Vec::new(),
        masks_through: part.masks,
        rules: part.rules.clone(),
        merge: part.merge.clone(),
    })
}
