//! An archive of the workload in a temporary directory: what the benches of the read path read.
//!
//! Parts are written by the product's own writer, one for each range of scrapes, and committed, so that a catalog shows them.
//! The directory goes when this is dropped.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;
use emberkeep_archive::{
    ArchiveError, CommitRecord, DirectoryStore, FileKind, Format, ObjectStore, PartEntry, PartInfo, PartOrigin,
    PartSettings, PartWriter, Ulid, WalRange, commit, names,
};
use emberkeep_disk::RealFs;
use emberkeep_model::{Labels, Run, Sample, SeriesRuns, TenantId, TimeRange};
use tempfile::TempDir;

use crate::Workload;

/// Whose parts they are.
const RECEIVER: &str = "bench";

/// Committed parts and the store that they lie in.
#[derive(Debug)]
pub struct Parts {
    store: Arc<dyn ObjectStore>,
    parts: Vec<Arc<PartEntry>>,
    samples: u64,
    range: TimeRange,
    _directory: TempDir,
}

impl Parts {
    /// Writes and commits one part for each range of scrapes.
    ///
    /// # Errors
    /// When the temporary directory cannot be written.
    pub async fn write(workload: &Workload, slices: &[Range<u64>]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(Arc::new(RealFs), directory.path())?);
        let dataset = Format::load_or_create(&*store, 0).await?.dataset;
        let mut parts = Vec::new();
        for (number, slice) in slices.iter().enumerate() {
            let seq = number as u64 + 1;
            let ulid = Ulid(u128::from(seq));
            let path = |kind| names::level0(RECEIVER, seq, ulid, kind);
            let create = |kind: FileKind| {
                let file = directory.path().join(path(kind).as_ref());
                let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
                let opened = made.and_then(|()| File::create(file));
                opened.map(BufWriter::new).map_err(ArchiveError::Write)
            };
            let info = part_info(dataset.clone(), ulid);
            let mut writer = PartWriter::create(create, info, PartSettings::default())?;
            for (labels, series) in sorted(workload)? {
                let runs = SeriesRuns {
                    samples: run(workload, series, slice.clone()),
                    ..SeriesRuns::default()
                };
                writer.push(&TenantId::default(), &labels, &runs, &[])?;
            }
            let (summary, _files) = writer.finish()?;
            let entry = PartEntry::level0(ulid, RECEIVER, &summary, path);
            let record = CommitRecord {
                nonce: ulid.to_string(),
                receiver: RECEIVER.to_owned(),
                epoch: 1,
                seq,
                wal: WalRange {
                    id: "0".repeat(32),
                    from: seq,
                    to: seq + 1,
                },
                committed_at: 0,
                newest_arrival: 0,
                parts: vec![entry.clone()],
            };
            commit(&*store, &record).await?;
            parts.push(Arc::new(entry));
        }
        let steps = slices.iter().map(|slice| slice.end).max().unwrap_or(0);
        Ok(Self {
            store,
            samples: parts.iter().map(|part| part.samples()).sum(),
            parts,
            range: TimeRange {
                start: workload.end_ms(0),
                end: workload.end_ms(steps),
            },
            _directory: directory,
        })
    }

    /// Where they lie.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Their entries in the catalog.
    #[must_use]
    pub fn entries(&self) -> &[Arc<PartEntry>] {
        &self.parts
    }

    /// Rows of all parts together.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The time that they cover.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }
}

/// The origin of a part of a bench.
#[must_use]
pub fn part_info(dataset: String, ulid: Ulid) -> PartInfo {
    PartInfo {
        dataset,
        ulid,
        origin: PartOrigin::Flush {
            receiver: RECEIVER.to_owned(),
            wal: WalRange {
                id: "0".repeat(32),
                from: 1,
                to: 2,
            },
        },
    }
}

/// The series of a workload in label order, each with its number.
///
/// # Errors
/// When the workload makes labels that are none.
pub fn sorted(workload: &Workload) -> Result<Vec<(Labels, usize)>> {
    let labels_of = |series| {
        let labels = workload.labels(series);
        anyhow::Ok((
            Labels::from_pairs(labels.iter().map(|(name, value)| (*name, value.as_str())))?,
            series,
        ))
    };
    let mut all = (0..workload.series()).map(labels_of).collect::<Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

/// The samples of some scrapes of a series.
#[must_use]
pub fn run(workload: &Workload, series: usize, steps: Range<u64>) -> Run {
    let mut values = workload.values(series);
    let mut run = Run::default();
    for step in 0..steps.end {
        let value = values.advance();
        if step >= steps.start {
            run.push(Sample {
                timestamp: workload.timestamp(series, step),
                value,
                start_timestamp: 0,
            });
        }
    }
    run
}
