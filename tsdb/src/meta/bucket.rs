//! The section `thanos` of a `meta.json`: what object storage systems ask of a block (Thanos: `pkg/block/metadata/meta.go`; Mimir took it
//! over: `pkg/storage/tsdb/block/meta.go`).
//!
//! Only written, never read: what others say of a block is not needed to read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::BlockMeta;
use crate::TsdbError;
use crate::error::io_error;

/// The version of the section that both systems read.
const VERSION: u32 = 1;

/// What a bucket's block says beyond Prometheus' own description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketLabels {
    /// The external labels of all series in the block; Thanos adds them to every answer and compacts only blocks with equal ones.
    pub labels: BTreeMap<String, String>,
    /// Who made the block.
    pub source: String,
}

/// The file's content with the section.
#[derive(Debug, Serialize)]
pub(crate) struct BucketMeta<'a> {
    #[serde(flatten)]
    block: &'a BlockMeta,
    thanos: Section<'a>,
}

#[derive(Debug, Serialize)]
struct Section<'a> {
    version: u32,
    labels: &'a BTreeMap<String, String>,
    downsample: Downsample,
    source: &'a str,
    segment_files: Vec<String>,
    files: Vec<BlockFile>,
}

/// Raw samples have resolution 0.
#[derive(Debug, Serialize)]
struct Downsample {
    resolution: i64,
}

#[derive(Debug, Serialize)]
struct BlockFile {
    rel_path: String,
    /// Absent for the description itself, which cannot say how long it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
}

impl<'a> BucketMeta<'a> {
    /// The description of a block whose chunks and index lie in a directory; files are listed in the order of their paths.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub(crate) fn new(
        block: &'a BlockMeta,
        bucket: &'a BucketLabels,
        directory: &Path,
        chunks: &str,
        index: &str,
    ) -> Result<Self, TsdbError> {
        let size_of = |path: &Path| Ok::<_, TsdbError>(fs::metadata(path).map_err(io_error("look at", path))?.len());
        let mut segment_files = Vec::new();
        let listed = directory.join(chunks);
        for entry in fs::read_dir(&listed).map_err(io_error("list", &listed))? {
            let name = entry.map_err(io_error("list", &listed))?.file_name();
            segment_files.push(name.to_string_lossy().into_owned());
        }
        segment_files.sort_unstable();
        let mut files = Vec::new();
        for name in &segment_files {
            files.push(BlockFile {
                rel_path: format!("{chunks}/{name}"),
                size_bytes: Some(size_of(&listed.join(name))?),
            });
        }
        files.push(BlockFile {
            rel_path: index.to_owned(),
            size_bytes: Some(size_of(&directory.join(index))?),
        });
        files.push(BlockFile {
            rel_path: "meta.json".to_owned(),
            size_bytes: None,
        });
        Ok(Self {
            block,
            thanos: Section {
                version: VERSION,
                labels: &bucket.labels,
                downsample: Downsample { resolution: 0 },
                source: &bucket.source,
                segment_files,
                files,
            },
        })
    }
}
