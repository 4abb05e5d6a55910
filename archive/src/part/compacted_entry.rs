//! The catalog's entry of a freshly merged part.

use ulid::Ulid;

use super::{Compaction, PartSummary, part_number};
use crate::catalog::{FileEntry, PartEntry};
use crate::names;

impl PartEntry {
    /// The entry of a freshly written part of level 1 or above, whose files are to lie where [`names::compacted`] says.
    #[must_use]
    pub fn compacted(ulid: Ulid, of: &Compaction, summary: &PartSummary) -> Self {
        let file = |file: &crate::FileSummary| FileEntry {
            kind: file.kind,
            path: names::compacted(file.kind, &of.tenant, of.day, ulid).to_string(),
            rows: file.rows,
            bytes: file.bytes,
            crc32c: file.crc32c,
        };
        Self {
            ulid,
            part: part_number(ulid),
            level: of.level,
            receiver: None,
            min_time: summary.min_time,
            max_time: summary.max_time,
            tenants: summary.tenants.clone(),
            committed_at: of.committed_at,
            day: Some(of.day),
            masks: of.masks,
            merge: of.merge.clone(),
            rules: Vec::new(),
            files: summary.files.iter().map(file).collect(),
        }
    }
}
