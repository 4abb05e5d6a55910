//! The root: a numbered manifest of everything that is live as of one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PartEntry;
use crate::envelope::CatalogObject;

/// `_archive/roots/<u64::MAX - n>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Its number, from 1.
    pub n: u64,
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// How far each receiver's log is folded in.
    pub watermarks: BTreeMap<String, Watermark>,
    /// Live level-0 parts, in the order in which they were folded.
    pub level0: Vec<PartEntry>,
    /// Names of the per-day lists of live parts of level 1 and above; empty until there is compaction.
    pub manifests: Vec<String>,
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

impl CatalogObject for Root {
    const VERSION: u64 = 2;
}
