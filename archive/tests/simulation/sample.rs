//! Samples, and parts that hold nothing but their numbers: enough to see whether one is lost or read twice.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use emberkeep_archive::part::{TenantSummary, part_number};
use emberkeep_archive::{FileEntry, FileKind, Mask, PartEntry, Ulid, names};
use emberkeep_model::TenantId;
use object_store::path::Path;

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;

/// One sample, known by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sample {
    pub(crate) id: u64,
    pub(crate) tenant: &'static str,
    pub(crate) job: &'static str,
    pub(crate) at: i64,
}

impl Sample {
    pub(crate) fn day(&self) -> i32 {
        i32::try_from(self.at.div_euclid(DAY)).expect("simulated days are few")
    }

    /// Whether the mask deletes it, wherever it lies.
    pub(crate) fn is_under(&self, mask: &Mask) -> bool {
        let is_matched = mask.matchers.iter().all(|matcher| matcher.value == self.job);
        mask.tenant == self.tenant && is_matched && (mask.from..mask.to).contains(&self.at)
    }
}

/// The content of a file.
pub(crate) fn payload(samples: &[Sample]) -> Bytes {
    let ids: Vec<String> = samples.iter().map(|sample| sample.id.to_string()).collect();
    ids.join(",").into()
}

/// The numbers of the samples in a file.
pub(crate) fn ids_in(bytes: &Bytes) -> BTreeSet<u64> {
    let text = std::str::from_utf8(bytes).expect("we wrote text");
    text.split(',').filter_map(|id| id.parse().ok()).collect()
}

/// The entry of a flushed part.
pub(crate) fn flushed(ulid: Ulid, receiver: &str, seq: u64, samples: &[Sample]) -> PartEntry {
    let path = names::level0(receiver, seq, ulid, FileKind::Samples);
    PartEntry {
        receiver: Some(receiver.to_owned()),
        ..entry(ulid, &path, samples)
    }
}

/// The entry of a merged part of one tenant and day.
pub(crate) fn merged(ulid: Ulid, samples: &[Sample], masks: u64, committed_at: i64) -> PartEntry {
    let (tenant, day) = (samples[0].tenant, samples[0].day());
    let tenant = TenantId::parse(tenant).expect("it is a tenant");
    let path = names::compacted(FileKind::Samples, &tenant, day, ulid);
    PartEntry {
        level: 1,
        day: Some(day),
        masks,
        committed_at,
        ..entry(ulid, &path, samples)
    }
}

fn entry(ulid: Ulid, path: &Path, samples: &[Sample]) -> PartEntry {
    let mut tenants: BTreeMap<String, TenantSummary> = BTreeMap::new();
    for sample in samples {
        let held = tenants.entry(sample.tenant.to_owned()).or_insert(TenantSummary {
            min_time: i64::MAX,
            max_time: i64::MIN,
            ..TenantSummary::default()
        });
        held.samples += 1;
        held.min_time = held.min_time.min(sample.at);
        held.max_time = held.max_time.max(sample.at);
    }
    let file = FileEntry {
        kind: FileKind::Samples,
        path: path.to_string(),
        rows: samples.len() as u64,
        bytes: payload(samples).len() as u64,
        crc32c: 0,
    };
    PartEntry {
        ulid,
        part: part_number(ulid),
        level: 0,
        receiver: None,
        min_time: samples.iter().map(|sample| sample.at).min().unwrap_or(i64::MAX),
        max_time: samples.iter().map(|sample| sample.at).max().unwrap_or(i64::MIN),
        tenants,
        committed_at: 0,
        day: None,
        masks: 0,
        merge: None,
        rules: vec![],
        files: vec![file],
    }
}
