//! `meta.json`: what a block is (Prometheus: `tsdb/block.go`, `BlockMeta`).
//!
//! Field for field and byte for byte as Prometheus writes it. Fields that others add (Thanos does) are ignored when reading.

mod bucket;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::TsdbError;
use crate::error::{corrupt, io_error};
use crate::output::Output;

pub use self::bucket::BucketLabels;
pub(crate) use self::bucket::BucketMeta;

const VERSION: u32 = 1;
/// Far above what any list of sources needs; a larger file is not a meta file.
const MAX_BYTES: u64 = 64 << 20;

/// The description of one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// Name of the block, and of its directory.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// No sample is older, milliseconds.
    pub min_time: i64,
    /// All samples are older, milliseconds: the range is half open.
    pub max_time: i64,
    /// Counts.
    #[serde(default)]
    pub stats: BlockStats,
    /// Where the block comes from.
    pub compaction: Compaction,
    /// Always 1.
    pub version: u32,
}

/// Counts of what a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of all kinds.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Float samples; absent (0) in blocks of old versions.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Native histogram samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted ranges not yet rewritten.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// What compactions a block went through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compaction {
    /// 1 for a fresh block.
    pub level: u32,
    /// The fresh blocks that went into it; a fresh block names itself.
    #[serde(with = "ulid_texts", default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// Prometheus deletes the block at its next look.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// Prometheus deletes the blocks named here, so a fresh block must name none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// A compaction of the block failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Hints such as `from-out-of-order`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that was compacted into another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name.
    #[serde(with = "ulid_text")]
    pub ulid: Ulid,
    /// Start of its range, milliseconds.
    pub min_time: i64,
    /// End of its range, milliseconds, exclusive.
    pub max_time: i64,
}

impl BlockMeta {
    /// A fresh block of level 1 that is its own source.
    #[must_use]
    pub(crate) fn fresh(ulid: Ulid, min_time: i64, max_time: i64, stats: BlockStats) -> Self {
        let compaction = Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        };
        Self {
            ulid,
            min_time,
            max_time,
            stats,
            compaction,
            version: VERSION,
        }
    }

    /// Reads the description of the block in a directory, and nothing else of it.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::Corrupt`], [`TsdbError::Unsupported`] for other versions.
    pub fn of_block(directory: &Path) -> Result<Self, TsdbError> {
        Self::read(&directory.join("meta.json"))
    }

    pub(crate) fn read(path: &Path) -> Result<Self, TsdbError> {
        let place = || format!("`{}`", path.display());
        let bytes = fs::metadata(path).map_err(io_error("look at", path))?.len();
        if bytes > MAX_BYTES {
            return Err(corrupt(place)(format!("{bytes} bytes are too many for a meta file")));
        }
        let content = fs::read(path).map_err(io_error("read", path))?;
        let meta: Self = serde_json::from_slice(&content).map_err(|error| corrupt(place)(error.to_string()))?;
        if meta.version != VERSION {
            return Err(TsdbError::Unsupported {
                place: place(),
                what: format!("block version {}", meta.version),
            });
        }
        Ok(meta)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Writes a description as the file `path`: indented with tabs, without a line end, as Prometheus does.
pub(crate) fn write(description: &impl Serialize, path: &Path) -> Result<(), TsdbError> {
    let mut output = Output::create(path)?;
    output.put(&to_json(description))?;
    output.finish()
}

fn to_json(description: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    description
        .serialize(&mut serializer)
        .expect("numbers and strings always have a JSON form");
    out
}

mod ulid_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(ulid: &Ulid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(ulid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        Ulid::from_string(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

mod ulid_texts {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use ulid::Ulid;

    pub(super) fn serialize<S: Serializer>(ulids: &[Ulid], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ulids.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ulid>, D::Error> {
        let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        texts
            .iter()
            .map(|text| Ulid::from_string(text).map_err(D::Error::custom))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Result<BlockMeta, TsdbError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        BlockMeta::read(file.path())
    }

    #[test]
    fn every_field_of_prometheus_survives() {
        let text = "{\n\t\"ulid\": \"01J0000000000000000000000A\",\n\t\"minTime\": -5,\n\t\"maxTime\": 7,\n\t\"stats\": {\n\t\t\"numSamples\": 1,\n\t\t\"numHistogramSamples\": 1,\n\t\t\"numTombstones\": 2\n\t},\n\t\"compaction\": {\n\t\t\"level\": 2,\n\t\t\"sources\": [\n\t\t\t\"01J0000000000000000000000B\"\n\t\t],\n\t\t\"deletable\": true,\n\t\t\"parents\": [\n\t\t\t{\n\t\t\t\t\"ulid\": \"01J0000000000000000000000C\",\n\t\t\t\t\"minTime\": 0,\n\t\t\t\t\"maxTime\": 1\n\t\t\t}\n\t\t],\n\t\t\"failed\": true,\n\t\t\"hints\": [\n\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\t\"version\": 1\n}";
        assert_eq!(String::from_utf8(to_json(&read(text).unwrap())).unwrap(), text);
    }

    #[test]
    fn foreign_fields_are_ignored_and_foreign_versions_refused() {
        let text = |version| {
            format!(
                r#"{{"ulid":"01J0000000000000000000000A","minTime":0,"maxTime":1,"thanos":{{"labels":{{}}}},"compaction":{{"level":1}},"version":{version}}}"#
            )
        };
        assert_eq!(read(&text(1)).unwrap().stats, BlockStats::default());
        assert!(matches!(read(&text(2)), Err(TsdbError::Unsupported { .. })));
        assert!(matches!(read("{}"), Err(TsdbError::Corrupt { .. })));
    }
}
