//! The root: a numbered manifest of everything that is live as of one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CondemnedEntry, Lock, ManifestEntry, Mask, PartEntry};
use crate::envelope::CatalogObject;

/// `_archive/roots/<u64::MAX - n>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Its number, from 1.
    pub n: u64,
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// The nonce of root n-1, on which it was decided: so the maker of that one learns that it counts. Empty in root 1 and in old versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// How far each receiver's log is folded in.
    pub watermarks: BTreeMap<String, Watermark>,
    /// Live level-0 parts, in the order in which they were folded.
    pub level0: Vec<PartEntry>,
    /// Lists of live parts of level 1 and above, one for each day that has any, by day.
    pub manifests: Vec<ManifestEntry>,
    /// Lists of what is live no more and not yet deleted, by the root that condemned it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<CondemnedEntry>,
    /// Deletions in force, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Mask>,
    /// Ranges that nothing may remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Lock>,
    /// Live parts that cannot be read: no compaction takes them, and what reads them fails and says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
    /// Roots with smaller numbers may name files that are deleted.
    #[serde(default)]
    pub floor: u64,
}

/// A live part that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    /// The part's ULID as text.
    pub part: String,
    /// What is wrong with it, and with which file.
    pub reason: String,
    /// When it was found, milliseconds since 1970.
    pub at: i64,
}

/// How far one receiver's log is folded in. It never decreases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The last sequence inside; all smaller ones are inside, too.
    pub seq: u64,
    /// The greatest epoch of the folded records.
    pub epoch: u64,
}

impl Root {
    /// What there is before the first root: number 0, and nothing.
    pub(super) fn empty() -> Self {
        Self {
            n: 0,
            nonce: String::new(),
            previous: String::new(),
            created_at: 0,
            watermarks: BTreeMap::new(),
            level0: Vec::new(),
            manifests: Vec::new(),
            condemned: Vec::new(),
            masks: Vec::new(),
            locks: Vec::new(),
            quarantined: Vec::new(),
            floor: 0,
        }
    }
}

impl CatalogObject for Root {
    const VERSION: u64 = 3;
}
