//! What is said about a part beside its rows: what goes in with the writer, and what comes out of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ulid::Ulid;
use xxhash_rust::xxh3::xxh3_64;

use emberkeep_model::TenantId;

use super::TimeSpan;
use crate::catalog::WalRange;
use crate::{FileKind, Keys};

/// What every file of a part says about its origin, so that a catalog can be rebuilt from the files alone (DESIGN §5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// The archive that the part belongs to ([`crate::Format::dataset`]).
    pub dataset: String,
    /// The part's own name.
    pub ulid: Ulid,
    /// Who made it, out of what.
    pub origin: PartOrigin,
}

/// Who made a part, out of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartOrigin {
    /// A receiver, out of its log: level 0.
    Flush {
        /// The receiver's id.
        receiver: String,
        /// The records of its log that it holds.
        wal: WalRange,
    },
    /// A merge of other parts: level 1 and above.
    Compacted(Compaction),
}

/// What a merge of parts made a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// 1 and above.
    pub level: u32,
    /// Whose rows it has; they have no column for that.
    pub tenant: TenantId,
    /// The UTC day in which all its rows lie, in days since 1970.
    pub day: i32,
    /// The parts that went into it; they are not live beside it.
    pub sources: Vec<Ulid>,
    /// Masks up to this number are applied to its rows; 0 = none.
    pub masks: u64,
    /// When the newest of what went into it was committed, milliseconds since 1970.
    pub committed_at: i64,
    /// The same text in all parts of one merge that was split by series; none when it was not.
    pub merge: Option<String>,
}

impl PartInfo {
    /// 0 for a flush.
    #[must_use]
    pub fn level(&self) -> u32 {
        match &self.origin {
            PartOrigin::Flush { .. } => 0,
            PartOrigin::Compacted(compaction) => compaction.level,
        }
    }
}

/// The part number that stands in each row: XXH3-64 of the ULID's 16 bytes, big endian, without the sign bit, so that engines
/// without unsigned integers can join on it.
#[must_use]
pub fn part_number(ulid: Ulid) -> i64 {
    i64::try_from(xxh3_64(&ulid.0.to_be_bytes()) & (u64::MAX >> 1)).expect("63 bits fit")
}

/// How the files are cut and compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSettings {
    /// ZSTD level, 1 to 22, of all files but `histograms`.
    pub zstd_level: i32,
    /// ZSTD level, 1 to 22, of `histograms`: buckets repeat at a distance, which only the levels from 6 on find.
    pub histogram_zstd_level: i32,
    /// Rows of a data page of `samples`, at least; a page ends with the series that reaches it, unless that series is longer.
    pub sample_page_rows: usize,
    /// Rows of a row group of `samples`, at most.
    pub sample_group_rows: usize,
    /// Rows of a data page of `series`.
    pub series_page_rows: usize,
    /// Rows of a row group of `series`, at most.
    pub series_group_rows: usize,
    /// Rows of a data page of `histograms`, at least.
    pub histogram_page_rows: usize,
    /// Rows of a data page of `exemplars` and `metadata`, at least.
    pub other_page_rows: usize,
    /// Bytes of a row group, at most: as encoded so far, and for rows of any size also before encoding.
    pub group_bytes: usize,
    /// What the files are encrypted with; without a key to write with they stay clear.
    pub keys: Keys,
}

/// Those of a flush, which is to be fast: what it writes is soon merged.
impl Default for PartSettings {
    fn default() -> Self {
        Self {
            zstd_level: 1,
            histogram_zstd_level: 1,
            sample_page_rows: 16 << 10,
            sample_group_rows: 1 << 20,
            series_page_rows: 512,
            series_group_rows: 128 << 10,
            histogram_page_rows: 512,
            other_page_rows: 1024,
            group_bytes: 32 << 20,
            keys: Keys::default(),
        }
    }
}

impl PartSettings {
    /// Those of a merge, whose parts are read often and seldom written again (`docs/decisions/0017-merged-parts.md`).
    #[must_use]
    pub fn compacted() -> Self {
        Self {
            zstd_level: 3,
            histogram_zstd_level: 6,
            sample_page_rows: 60 << 10,
            histogram_page_rows: 2048,
            group_bytes: 8 << 20,
            ..Self::default()
        }
    }
}

/// What one tenant has in a part. Version 1 of the catalog had floats only: what it does not say is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSummary {
    /// Oldest float or histogram of any series, milliseconds since 1970; `i64::MAX` without any.
    pub min_time: i64,
    /// Newest float or histogram of any series, milliseconds since 1970; `i64::MIN` without any.
    pub max_time: i64,
    /// Number of series.
    pub series: u64,
    /// Number of float samples.
    pub samples: u64,
    /// Number of native histograms.
    #[serde(default)]
    pub histograms: u64,
    /// Number of exemplars.
    #[serde(default)]
    pub exemplars: u64,
    /// Number of variants of metadata, of families and of series.
    #[serde(default)]
    pub metadata: u64,
    /// Which time the exemplars span; none without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemplar_times: Option<TimeSpan>,
    /// From when to when requests brought the metadata; none without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_times: Option<TimeSpan>,
}

/// A tenant with nothing yet.
impl Default for TenantSummary {
    fn default() -> Self {
        Self {
            min_time: i64::MAX,
            max_time: i64::MIN,
            series: 0,
            samples: 0,
            histograms: 0,
            exemplars: 0,
            metadata: 0,
            exemplar_times: None,
            metadata_times: None,
        }
    }
}

impl TenantSummary {
    /// Which time floats and histograms span; none without any.
    #[must_use]
    pub fn sample_times(&self) -> Option<TimeSpan> {
        let times = TimeSpan {
            min_time: self.min_time,
            max_time: self.max_time,
        };
        (self.min_time <= self.max_time).then_some(times)
    }
}

/// What was written into one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// Which file.
    pub kind: FileKind,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// CRC-32C of all its bytes.
    pub crc32c: u32,
}

/// What was written into a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSummary {
    /// Number of float samples.
    pub rows: u64,
    /// Number of series.
    pub series: u64,
    /// Number of native histograms.
    pub histograms: u64,
    /// Number of exemplars.
    pub exemplars: u64,
    /// Number of variants of metadata.
    pub metadata: u64,
    /// Oldest float or histogram of any tenant; `i64::MAX` without any.
    pub min_time: i64,
    /// Newest float or histogram of any tenant; `i64::MIN` without any.
    pub max_time: i64,
    /// What each tenant has in it.
    pub tenants: BTreeMap<String, TenantSummary>,
    /// The files that there are: the series table, and one for each kind that has a row.
    pub files: Vec<FileSummary>,
}
