//! A merge gives what a naive model gives: the union of all rows, settled, cut into windows, bit for bit.

#![expect(clippy::unwrap_used, reason = "tests")]

mod against_model;
mod content;
mod damage;
mod splitting;
mod stretches;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, DirectoryStore, FileKind, ObjectStore, PartEntry, PartInfo, PartOrigin, PartReader, PartSettings,
    PartWriter, ScanKinds, ScanQuery, Ulid, WalRange, names,
};
use emberkeep_disk::{FileSystem, RealFs};
use emberkeep_model::{SeriesRuns, TenantId, TimeRange};
use tempfile::TempDir;

use super::{MergeError, MergeJob, MergeOutcome, Window};
use content::Content;

const HOUR_MS: i64 = 3_600_000;

/// An archive in a directory, and one for scratch files.
struct Bucket {
    store: Arc<dyn ObjectStore>,
    fs: Arc<dyn FileSystem>,
    directory: TempDir,
}

impl Bucket {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let store = DirectoryStore::open(Arc::clone(&fs), directory.path().join("bucket")).unwrap();
        Self {
            store: Arc::new(store),
            fs,
            directory,
        }
    }

    fn path(&self, object: &str) -> PathBuf {
        self.directory.path().join("bucket").join(object)
    }

    fn scratch(&self) -> PathBuf {
        self.directory.path().join("scratch")
    }

    /// Flushes content as one part.
    fn flush(&self, number: u64, content: &Content) -> PartEntry {
        let ulid = Ulid(u128::from(number));
        let object = |kind| names::level0("r", number, ulid, kind);
        let create = |kind: FileKind| {
            let path = self.path(object(kind).as_ref());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path).map_err(ArchiveError::Write)
        };
        let info = PartInfo {
            dataset: "d".to_owned(),
            ulid,
            origin: PartOrigin::Flush {
                receiver: "r".to_owned(),
                wal: WalRange {
                    id: "w".to_owned(),
                    from: number,
                    to: number + 1,
                },
            },
        };
        let mut writer = PartWriter::create(create, info, PartSettings::default()).unwrap();
        content.write(&mut writer);
        let (summary, _) = writer.finish().unwrap();
        let mut entry = PartEntry::level0(ulid, "r", &summary, object);
        entry.committed_at = 1_000 + i64::try_from(number).unwrap();
        entry
    }

    async fn merge(&self, job: &MergeJob) -> Result<MergeOutcome, MergeError> {
        let outcome = super::run(&self.store, &self.fs, &self.scratch(), job, 1_700_000_000_000).await;
        let left = std::fs::read_dir(self.scratch()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "scratch files are gone");
        outcome
    }

    /// All that a part holds.
    async fn read(&self, entry: &PartEntry) -> Content {
        let reader = PartReader::open(Arc::clone(&self.store), entry).await.unwrap();
        let mut content = Content::default();
        for tenant in entry.tenants.keys() {
            let tenant = TenantId::parse(tenant).unwrap();
            let query = ScanQuery {
                tenant: tenant.clone(),
                range: TimeRange::ALL,
                matchers: [].into(),
                kinds: ScanKinds::All,
            };
            let mut scan = reader.scan(query, 1000);
            while let Some(series) = scan.next().await.unwrap() {
                let mut runs = SeriesRuns::default();
                let all = TimeRange::ALL;
                scan.samples(series.samples, all, &mut runs.samples).await.unwrap();
                scan.histograms(series.histograms, all, &mut runs.histograms)
                    .await
                    .unwrap();
                scan.exemplars(series.exemplars, all, &mut runs.exemplars)
                    .await
                    .unwrap();
                content.add_runs(&tenant, &series.labels, &runs);
            }
            let mut metadata = reader.metadata(&tenant, None);
            while let Some(batch) = metadata.next().await.unwrap() {
                for found in batch {
                    content.add_metadata(&tenant, &found.family, found.series.as_ref(), &found.seen);
                }
            }
        }
        content
    }

    /// What several parts hold together.
    async fn read_all(&self, entries: &[PartEntry]) -> Content {
        let mut content = Content::default();
        for entry in entries {
            content.join(&self.read(entry).await);
        }
        content.settle();
        content
    }
}

/// Windows of so many hours from 1970 on, for each of the tenants.
fn windows(tenants: &[&str], hours: i64, count: i64) -> Vec<Window> {
    let of_tenant = |tenant: &str| {
        let tenant = TenantId::parse(tenant).unwrap();
        (0..count).map(move |number| Window {
            tenant: tenant.clone(),
            level: 1,
            range: TimeRange {
                start: number * hours * HOUR_MS,
                end: (number + 1) * hours * HOUR_MS,
            },
        })
    };
    tenants.iter().flat_map(|tenant| of_tenant(tenant)).collect()
}

fn job(inputs: Vec<PartEntry>, windows: Vec<Window>) -> MergeJob {
    MergeJob {
        inputs,
        windows,
        masks: vec![],
        masks_through: 0,
        merge: None,
        target_bytes: 256 << 20,
        settings: PartSettings::compacted(),
        memory_bytes: 128 << 20,
    }
}

/// The parts of each tenant and time, in order.
fn by_window(added: &[PartEntry], windows: &[Window]) -> BTreeMap<usize, Vec<PartEntry>> {
    let mut found: BTreeMap<usize, Vec<PartEntry>> = BTreeMap::new();
    for entry in added {
        let held = &entry.tenants[entry.tenants.keys().next().unwrap()];
        let spans = [held.sample_times(), held.exemplar_times, held.metadata_times];
        let first = spans.into_iter().flatten().map(|span| span.min_time).min().unwrap();
        let is_its =
            |window: &Window| entry.tenants.contains_key(window.tenant.as_str()) && window.range.contains(first);
        found
            .entry(windows.iter().position(is_its).unwrap())
            .or_default()
            .push(entry.clone());
    }
    found
}

fn run_async<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}
