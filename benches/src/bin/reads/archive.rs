//! An archive of the synthetic workload, written by the product's own writer and committed as receiver and compactor do.
//!
//! Merged parts are written at once and not merged from flushes, which gives the same files in a fraction of the time. Beside the
//! archive lies a file that says what is in it, for whoever measures.

use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use emberkeep_archive::{
    ArchiveError, Catalog, Change, CommitRecord, Compaction, DirectoryStore, FileKind, Format, ObjectPath, ObjectStore,
    PartEntry, PartInfo, PartOrigin, PartSettings, PartSummary, PartWriter, RunSlice, Ulid, WalRange, apply, commit,
    fresh_nonce, names,
};
use emberkeep_benches::Workload;
use emberkeep_benches::parts::sorted;
use emberkeep_benches::workload::INTERVAL_MS;
use emberkeep_disk::RealFs;
use emberkeep_model::{Labels, Run, Sample, TenantId};

use super::{Form, Make};

/// The start of a UTC day.
const START_MS: i64 = 1_699_920_000_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const FLUSH_MS: i64 = 300_000;
const RECEIVER: &str = "0123456789abcdef0123456789abcdef";
/// The file that says what an archive holds, in its storage path.
const CONTENT: &str = "reads.txt";

/// What an archive holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) series: u64,
    pub(crate) samples: u64,
    /// First moment, milliseconds since 1970.
    pub(crate) start: i64,
    /// First moment after the data.
    pub(crate) end: i64,
}

impl Held {
    /// Of the archive in a storage path.
    pub(crate) fn of(storage: &Path) -> Result<Self> {
        let path = storage.join(CONTENT);
        let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        let numbers: Vec<i64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .context("what the archive holds")?;
        let [series, samples, start, end] = numbers[..] else {
            anyhow::bail!("`{}` is not of `reads make`", path.display());
        };
        Ok(Self {
            series: series.try_into()?,
            samples: samples.try_into()?,
            start,
            end,
        })
    }

    fn save(&self, storage: &Path) -> Result<()> {
        let Self {
            series,
            samples,
            start,
            end,
        } = self;
        Ok(fs::write(
            storage.join(CONTENT),
            format!("{series} {samples} {start} {end}\n"),
        )?)
    }
}

/// One part's rows: a stretch of time, and every how many scrapes a sample is kept.
struct Stretch {
    times: Range<i64>,
    every: u64,
}

struct Maker {
    store: Arc<dyn ObjectStore>,
    bucket: PathBuf,
    dataset: String,
    workload: Workload,
    series: Vec<(Labels, usize)>,
    made: u64,
    samples: u64,
}

/// Writes the archive.
pub(crate) async fn make(what: &Make) -> Result<()> {
    ensure!(!what.storage.exists(), "`{}` exists already", what.storage.display());
    ensure!(
        what.interval > 0 && what.interval.is_multiple_of(15),
        "the interval is no multiple of 15 seconds"
    );
    let bucket = what.storage.join("archive");
    fs::create_dir_all(&bucket)?;
    let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(Arc::new(RealFs), &bucket)?);
    let workload = Workload::new(1, what.series, START_MS).with_metrics(what.per_instance);
    let mut maker = Maker {
        dataset: Format::load_or_create(&*store, START_MS).await?.dataset,
        store,
        bucket,
        series: sorted(&workload)?,
        workload,
        made: 0,
        samples: 0,
    };
    let merged_end = START_MS + i64::from(what.hours) * HOUR_MS;
    let every = what.interval / 15;
    let stretches = |length: i64| {
        let starts = (START_MS..merged_end).step_by(usize::try_from(length).unwrap_or(usize::MAX));
        starts.map(move |start| Stretch {
            times: start..(start + length).min(merged_end),
            every,
        })
    };
    match what.form {
        Form::Day => maker.merged(stretches(DAY_MS), 2).await?,
        Form::Windows => maker.merged(stretches(2 * HOUR_MS), 1).await?,
        Form::Flushes => maker.flushed(stretches(FLUSH_MS)).await?,
    }
    let flushes = (0..i64::from(what.flushes)).map(|number| Stretch {
        times: merged_end + number * FLUSH_MS..merged_end + (number + 1) * FLUSH_MS,
        every: 1,
    });
    maker.flushed(flushes).await?;
    let held = Held {
        series: what.series as u64,
        samples: maker.samples,
        start: START_MS,
        end: merged_end + i64::from(what.flushes) * FLUSH_MS,
    };
    held.save(&what.storage)
}

impl Maker {
    /// Parts of level 1 and above, made live by a root.
    async fn merged(&mut self, stretches: impl Iterator<Item = Stretch>, level: u32) -> Result<()> {
        let mut change = Change::default();
        for stretch in stretches {
            let ulid = self.next_ulid();
            let of = Compaction {
                level,
                tenant: TenantId::default(),
                day: i32::try_from(stretch.times.start.div_euclid(DAY_MS))?,
                sources: Vec::new(),
                masks: 0,
                committed_at: stretch.times.end,
                merge: None,
            };
            let path = |kind| names::compacted(kind, &of.tenant, of.day, ulid);
            let origin = PartOrigin::Compacted(of.clone());
            let summary = self.write(&stretch, ulid, origin, PartSettings::compacted(), path)?;
            change.add.push(PartEntry::compacted(ulid, &of, &summary));
        }
        if change.add.is_empty() {
            return Ok(());
        }
        let catalog = Catalog::new(Arc::clone(&self.store));
        let nonce = fresh_nonce();
        let root = apply::<ArchiveError>(&catalog, &nonce, START_MS, |_| Ok(Some(change.clone()))).await?;
        root.context("no root was made").map(|_| ())
    }

    /// Parts of level 0, committed by records that nobody has folded.
    async fn flushed(&mut self, stretches: impl Iterator<Item = Stretch>) -> Result<()> {
        for (seq, stretch) in (1..).zip(stretches) {
            let ulid = self.next_ulid();
            let wal = WalRange {
                id: "0".repeat(32),
                from: seq,
                to: seq + 1,
            };
            let path = |kind| names::level0(RECEIVER, seq, ulid, kind);
            let origin = PartOrigin::Flush {
                receiver: RECEIVER.to_owned(),
                wal: wal.clone(),
            };
            let summary = self.write(&stretch, ulid, origin, PartSettings::default(), path)?;
            let record = CommitRecord {
                nonce: ulid.to_string(),
                receiver: RECEIVER.to_owned(),
                epoch: 1,
                seq,
                wal,
                committed_at: stretch.times.end,
                newest_arrival: stretch.times.end,
                parts: vec![PartEntry::level0(ulid, RECEIVER, &summary, path)],
            };
            commit(&*self.store, &record).await?;
        }
        Ok(())
    }

    fn next_ulid(&mut self) -> Ulid {
        self.made += 1;
        Ulid(u128::from(self.made))
    }

    fn write(
        &mut self,
        stretch: &Stretch,
        ulid: Ulid,
        origin: PartOrigin,
        settings: PartSettings,
        path: impl Fn(FileKind) -> ObjectPath + Sync,
    ) -> Result<PartSummary> {
        let bucket = &self.bucket;
        let create = |kind: FileKind| {
            let file = bucket.join(path(kind).as_ref());
            let made = file.parent().map_or(Ok(()), fs::create_dir_all);
            let opened = made.and_then(|()| File::create(file));
            opened.map(BufWriter::new).map_err(ArchiveError::Write)
        };
        let info = PartInfo {
            dataset: self.dataset.clone(),
            ulid,
            origin,
        };
        let mut writer = PartWriter::create(create, info, settings)?;
        let mut run = Run::default();
        for (labels, series) in &self.series {
            fill(&self.workload, *series, stretch, &mut run);
            let slice = RunSlice {
                timestamps: &run.timestamps,
                values: &run.values,
                start_timestamps: &[],
            };
            writer.push_slice(&TenantId::default(), labels, slice, &[])?;
            self.samples += run.len() as u64;
        }
        let (summary, files) = writer.finish()?;
        for (_, file) in files {
            file.into_inner().context("write")?;
        }
        Ok(summary)
    }
}

/// The samples of a series in a stretch. Values go on from where such a series began, so that two stretches differ.
fn fill(workload: &Workload, series: usize, stretch: &Stretch, run: &mut Run) {
    run.clear();
    let first = (stretch.times.start - START_MS).div_euclid(INTERVAL_MS);
    let count = (stretch.times.end - stretch.times.start).div_euclid(INTERVAL_MS);
    let step = |number: i64| u64::try_from(number).unwrap_or(0);
    let mut values = workload.values(series);
    for _ in 0..first.rem_euclid(64) {
        values.advance();
    }
    for step in (step(first)..step(first + count)).step_by(usize::try_from(stretch.every).unwrap_or(1)) {
        run.push(Sample {
            timestamp: workload.timestamp(series, step),
            value: values.advance(),
            start_timestamp: 0,
        });
    }
}
