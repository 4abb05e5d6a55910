//! How a part is named in commit records and roots.

use std::collections::BTreeMap;

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use emberkeep_model::TimeRange;

use crate::part::{PartSummary, TenantSummary, TimeSpan, part_number};
use crate::{ArchiveError, FileKind};

/// A live part: everything a reader needs to decide whether to open it, and to open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// The part's own name.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// The part number in its rows.
    pub part: i64,
    /// 0 = a flush, 1 and above = compacted.
    pub level: u32,
    /// The receiver that flushed it; none from level 1.
    pub receiver: Option<String>,
    /// Oldest float or histogram of any tenant, milliseconds since 1970; `i64::MAX` without any.
    pub min_time: i64,
    /// Newest float or histogram of any tenant, milliseconds since 1970; `i64::MIN` without any.
    pub max_time: i64,
    /// What each tenant has in it.
    pub tenants: BTreeMap<String, TenantSummary>,
    /// When the newest of what went into it was committed, milliseconds since 1970. 0 in entries of version 2, until they are folded.
    #[serde(default)]
    pub committed_at: i64,
    /// The UTC day in which all its rows lie, in days since 1970; none for level 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<i32>,
    /// Masks up to this number are applied to its rows; 0 = none.
    #[serde(default)]
    pub masks: u64,
    /// The parts of one merge that was split by series have the same text: they overlap in time and have no series in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<String>,
    /// Rules of retention that were applied to its rows, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// One file of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Which file.
    pub kind: FileKind,
    /// Object name below the root of the archive.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32C of all bytes; 0 = not known, in entries that were rebuilt from files.
    pub crc32c: u32,
}

impl PartEntry {
    /// The entry of a freshly written level-0 part whose files lie at `path(kind)`.
    #[must_use]
    pub fn level0(ulid: Ulid, receiver: &str, summary: &PartSummary, path: impl Fn(FileKind) -> Path) -> Self {
        let file = |file: &crate::FileSummary| FileEntry {
            kind: file.kind,
            path: path(file.kind).to_string(),
            rows: file.rows,
            bytes: file.bytes,
            crc32c: file.crc32c,
        };
        Self {
            ulid,
            part: part_number(ulid),
            level: 0,
            receiver: Some(receiver.to_owned()),
            min_time: summary.min_time,
            max_time: summary.max_time,
            tenants: summary.tenants.clone(),
            committed_at: 0,
            day: None,
            masks: 0,
            merge: None,
            rules: Vec::new(),
            files: summary.files.iter().map(file).collect(),
        }
    }

    /// The file of a kind.
    ///
    /// # Errors
    /// [`ArchiveError::Corrupt`] when the part has none.
    pub fn file(&self, kind: FileKind) -> Result<&FileEntry, ArchiveError> {
        let missing = || ArchiveError::corrupt(self.ulid, format!("its entry has no `{}` file", kind.as_str()));
        self.find(kind).ok_or_else(missing)
    }

    /// The file of a kind, when the part has rows of it. The series table is always there.
    #[must_use]
    pub fn find(&self, kind: FileKind) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.kind == kind)
    }

    /// Whether the part may hold floats or histograms of the tenant inside the range.
    #[must_use]
    pub fn may_hold(&self, tenant: &str, range: TimeRange) -> bool {
        self.is_in(tenant, range, TenantSummary::sample_times)
    }

    /// Whether the part may hold exemplars of the tenant inside the range.
    #[must_use]
    pub fn may_hold_exemplars(&self, tenant: &str, range: TimeRange) -> bool {
        self.is_in(tenant, range, |held| held.exemplar_times)
    }

    /// Whether the part may hold metadata of the tenant that says something of the range: requests brought it inside the range, or
    /// together with floats or histograms of it, which may be sent long after their time.
    #[must_use]
    pub fn may_hold_metadata(&self, tenant: &str, range: TimeRange) -> bool {
        let has_any = self.tenants.get(tenant).is_some_and(|held| held.metadata > 0);
        has_any && (self.is_in(tenant, range, |held| held.metadata_times) || self.may_hold(tenant, range))
    }

    fn is_in(&self, tenant: &str, range: TimeRange, times: fn(&TenantSummary) -> Option<TimeSpan>) -> bool {
        let held = self.tenants.get(tenant).and_then(times);
        held.is_some_and(|times| times.is_in(range))
    }

    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// When it was committed at the latest, milliseconds since 1970. Entries of old versions do not say it, but their name does.
    #[must_use]
    pub fn known_committed_at(&self) -> i64 {
        match self.committed_at {
            0 => i64::try_from(self.ulid.timestamp_ms()).unwrap_or(i64::MAX),
            at => at,
        }
    }

    /// Number of float samples of all tenants.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.sum(|tenant| tenant.samples)
    }

    /// Number of native histograms of all tenants.
    #[must_use]
    pub fn histograms(&self) -> u64 {
        self.sum(|tenant| tenant.histograms)
    }

    fn sum(&self, of: impl Fn(&TenantSummary) -> u64) -> u64 {
        self.tenants.values().map(of).fold(0, u64::saturating_add)
    }
}

impl FileEntry {
    /// Whether a file with this CRC-32C can be the one that is meant.
    #[must_use]
    pub fn has_checksum(&self, crc32c: u32) -> bool {
        self.crc32c == 0 || self.crc32c == crc32c
    }

    /// The name as the store takes it.
    ///
    /// # Errors
    /// [`ArchiveError::Corrupt`] when the recorded text is no object name.
    pub fn location(&self) -> Result<Path, ArchiveError> {
        Path::parse(&self.path).map_err(|error| ArchiveError::corrupt(&self.path, error))
    }
}

/// ULIDs as their 26 characters.
mod ulid_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(ulid: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(ulid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map_err(D::Error::custom)
    }
}
