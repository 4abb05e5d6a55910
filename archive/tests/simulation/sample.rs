//! Samples, and parts that hold nothing but their numbers: enough to see whether one is lost or read twice.
//!
//! Where a catalog may have to be rebuilt, files are Parquet with the footer that ours have, and a series table stands beside the samples.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use emberkeep_archive::part::{TenantSummary, part_number};
use emberkeep_archive::{FileEntry, FileKind, Mask, PartEntry, Ulid, WalRange, names};
use emberkeep_model::TenantId;
use object_store::path::Path;
use serde_json::json;

use crate::footer::parquet;

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;

/// What a file begins its list of numbers with.
const IDS: &str = "ids=[";

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

/// Whether files say what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Text, and samples alone.
    Plain,
    /// Parquet, with a series table.
    Described,
}

/// A part that is to be uploaded.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) entry: PartEntry,
    pub(crate) files: Vec<(String, Bytes)>,
}

/// The numbers of the samples in a file.
pub(crate) fn ids_in(bytes: &Bytes) -> BTreeSet<u64> {
    let at = bytes.windows(IDS.len()).position(|window| window == IDS.as_bytes());
    let Some(at) = at else { return BTreeSet::new() };
    let rest = &bytes[at + IDS.len()..];
    let end = rest.iter().position(|byte| *byte == b']').expect("we wrote it");
    let text = std::str::from_utf8(&rest[..end]).expect("we wrote text");
    text.split(',').filter_map(|id| id.parse().ok()).collect()
}

/// A flushed part.
pub(crate) fn flushed(
    files: Files,
    ulid: Ulid,
    receiver: &str,
    (seq, wal): (u64, &WalRange),
    samples: &[Sample],
) -> Made {
    let path = |kind| names::level0(receiver, seq, ulid, kind);
    let entry = PartEntry {
        receiver: Some(receiver.to_owned()),
        ..entry(ulid, samples)
    };
    let origin = json!({"level": 0, "receiver": receiver, "wal": wal});
    made(files, entry, samples, path, &origin)
}

/// A merged part of one tenant and day.
pub(crate) fn merged(
    files: Files,
    ulid: Ulid,
    samples: &[Sample],
    (masks, committed_at): (u64, i64),
    sources: &[PartEntry],
) -> Made {
    let (tenant, day) = (samples[0].tenant, samples[0].day());
    let sources: Vec<String> = sources.iter().map(|part| part.ulid.to_string()).collect();
    let origin = json!({"level": 1, "compaction": {
        "tenant": tenant, "day": day, "sources": sources, "masks": masks, "committed_at": committed_at,
    }});
    let tenant = TenantId::parse(tenant).expect("it is a tenant");
    let path = |kind| names::compacted(kind, &tenant, day, ulid);
    let entry = PartEntry {
        level: 1,
        day: Some(day),
        masks,
        committed_at,
        ..entry(ulid, samples)
    };
    made(files, entry, samples, path, &origin)
}

fn made(
    files: Files,
    mut entry: PartEntry,
    samples: &[Sample],
    path: impl Fn(FileKind) -> Path,
    origin: &serde_json::Value,
) -> Made {
    let ids: Vec<u64> = samples.iter().map(|sample| sample.id).collect();
    let text: Vec<String> = ids.iter().map(u64::to_string).collect();
    let text = format!("{IDS}{}]", text.join(","));
    let footer = |kind: FileKind| {
        let mut footer = json!({
            "version": 3, "kind": kind, "dataset": "sim", "ulid": entry.ulid.to_string(), "part": entry.part,
            "min_time": entry.min_time, "max_time": entry.max_time,
        });
        let fields = footer.as_object_mut().expect("it is an object");
        fields.extend(origin.as_object().expect("it is an object").clone());
        if kind == FileKind::Series {
            fields.insert("tenants".to_owned(), json!(entry.tenants));
        }
        footer.to_string()
    };
    let contents = match files {
        Files::Plain => vec![(FileKind::Samples, ids.len() as u64, Bytes::from(text))],
        Files::Described => vec![
            (
                FileKind::Samples,
                ids.len() as u64,
                parquet(&footer(FileKind::Samples), &text, &ids),
            ),
            (FileKind::Series, 0, parquet(&footer(FileKind::Series), "", &[])),
        ],
    };
    let mut files = Vec::new();
    for (kind, rows, bytes) in contents {
        let path = path(kind).to_string();
        entry.files.push(FileEntry {
            kind,
            path: path.clone(),
            rows,
            bytes: bytes.len() as u64,
            crc32c: 0,
        });
        files.push((path, bytes));
    }
    Made { entry, files }
}

fn entry(ulid: Ulid, samples: &[Sample]) -> PartEntry {
    let mut tenants: BTreeMap<String, TenantSummary> = BTreeMap::new();
    for sample in samples {
        let held = tenants.entry(sample.tenant.to_owned()).or_default();
        held.samples += 1;
        held.min_time = held.min_time.min(sample.at);
        held.max_time = held.max_time.max(sample.at);
    }
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
        files: vec![],
    }
}
