//! An archive in a temporary directory with real parts, for the tests of upkeep.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emberkeep_archive::{
    ArchiveError, Catalog, Change, CommitRecord, Committed, Compaction, DirectoryStore, FileKind, KeySource,
    KeyedStore, Keys, ObjectStore, PartEntry, PartInfo, PartOrigin, PartSettings, PartSummary, PartWriter, Removal,
    StoreConfig, Ulid, WalRange, apply, commit, fold, fresh_nonce, names,
};
use emberkeep_disk::FileSystem;
use emberkeep_model::{Labels, Run, Sample, SeriesRuns, TenantId};
use tempfile::TempDir;

/// A day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Noon of 2026-11-20.
pub(crate) const NOW_MS: i64 = 1_795_176_000_000;

/// The day of [`NOW_MS`].
pub(crate) const TODAY: i32 = (NOW_MS / DAY_MS) as i32;

/// An archive.
pub(crate) struct Archive {
    scratch: TempDir,
    pub(crate) catalog: Catalog,
    keys: Keys,
    /// The last sequence of the receiver `r`.
    seq: AtomicU64,
    /// The low bits of the next ULID.
    random: AtomicU64,
}

/// The rows of one series: tenant, job, and timestamps.
pub(crate) type Series<'a> = (&'a str, &'a str, Vec<i64>);

impl Archive {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = StoreConfig::directory(scratch.path().join("archive")).open().unwrap();
        Self {
            scratch,
            catalog: Catalog::new(store),
            keys: Keys::default(),
            seq: AtomicU64::new(0),
            random: AtomicU64::new(1),
        }
    }

    /// The same archive for a process with other keys.
    pub(crate) fn with_keys(self, keys: Keys) -> Self {
        let store = StoreConfig::directory(self.path()).with_keys(keys.clone());
        Self {
            catalog: Catalog::new(store.open().unwrap()),
            keys,
            ..self
        }
    }

    /// The same archive for a process with another disk.
    pub(crate) fn with_disk(self, fs: Arc<dyn FileSystem>) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(fs, self.path()).unwrap());
        Self {
            catalog: Catalog::new(KeyedStore::wrap(store, &self.keys)),
            ..self
        }
    }

    /// Another archive with the same content.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self::new().with_keys(self.keys.clone());
        let (from, to) = (self.path(), copy.path());
        let mut folders = vec![from.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let target = to.join(path.strip_prefix(&from).unwrap());
                match path.is_dir() {
                    true => {
                        std::fs::create_dir_all(&target).unwrap();
                        folders.push(path);
                    }
                    false => drop(std::fs::copy(&path, &target).unwrap()),
                }
            }
        }
        copy
    }

    /// The directory of the archive.
    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path().join("archive")
    }

    fn ulid(&self, made_at: i64) -> Ulid {
        let random = self.random.fetch_add(1, Ordering::Relaxed);
        Ulid::from_parts(u64::try_from(made_at).unwrap(), u128::from(random))
    }

    /// The receiver learns which numbers were passed over by a rebuild.
    pub(crate) fn pass_over_numbers(&self) {
        self.seq.fetch_add(1_000_000, Ordering::Relaxed);
    }

    /// Commits and folds a flush.
    pub(crate) async fn flush(&self, series: &[Series<'_>], committed_at: i64) -> Ulid {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let ulid = self.ulid(committed_at);
        let wal = WalRange {
            id: "w".to_owned(),
            from: seq,
            to: seq + 1,
        };
        let origin = PartOrigin::Flush {
            receiver: "r".to_owned(),
            wal: wal.clone(),
        };
        let path = |kind| names::level0("r", seq, ulid, kind);
        let summary = self.write(ulid, origin, series, path);
        let record = CommitRecord {
            nonce: fresh_nonce(),
            receiver: "r".to_owned(),
            epoch: 1,
            seq,
            wal,
            committed_at,
            newest_arrival: committed_at,
            parts: vec![PartEntry::level0(ulid, "r", &summary, path)],
        };
        let store = self.catalog.store();
        assert_eq!(commit(&**store, &record).await.unwrap(), Committed::Done);
        fold(&**store, &self.catalog, &fresh_nonce(), committed_at)
            .await
            .unwrap()
            .unwrap();
        ulid
    }

    /// Makes a part of one day live, in place of some others.
    pub(crate) async fn merged(
        &self,
        tenant: &str,
        day: i32,
        jobs: &[(&str, Vec<i64>)],
        sources: &[Ulid],
        committed_at: i64,
    ) -> Ulid {
        let entry = self.compacted(tenant, day, jobs, sources, committed_at);
        let ulid = entry.ulid;
        let nonce = fresh_nonce();
        let root = apply(&self.catalog, &nonce, committed_at, |live| {
            let mut change = Change {
                add: vec![entry.clone()],
                ..Change::default()
            };
            let present = live.by_ulid();
            for source in sources.iter().filter(|source| present.contains_key(source)) {
                change.removing(Removal::Compacted, *source);
            }
            Ok::<_, ArchiveError>(Some(change))
        });
        root.await.unwrap().unwrap();
        ulid
    }

    /// Writes the files of a part of one day, and commits nothing.
    pub(crate) fn compacted(
        &self,
        tenant: &str,
        day: i32,
        jobs: &[(&str, Vec<i64>)],
        sources: &[Ulid],
        committed_at: i64,
    ) -> PartEntry {
        let ulid = self.ulid(committed_at);
        let of = Compaction {
            level: 2,
            tenant: TenantId::parse(tenant).unwrap(),
            day,
            sources: sources.to_vec(),
            masks: 0,
            committed_at,
            merge: None,
        };
        let series: Vec<Series<'_>> = jobs.iter().map(|(job, times)| (tenant, *job, times.clone())).collect();
        let path = |kind| names::compacted(kind, &of.tenant, day, ulid);
        let summary = self.write(ulid, PartOrigin::Compacted(of.clone()), &series, path);
        PartEntry::compacted(ulid, &of, &summary)
    }

    fn write<P: AsRef<str>>(
        &self,
        ulid: Ulid,
        origin: PartOrigin,
        series: &[Series<'_>],
        path: impl Fn(FileKind) -> P,
    ) -> PartSummary {
        let info = PartInfo {
            dataset: "d".to_owned(),
            ulid,
            origin,
        };
        let settings = PartSettings {
            keys: self.keys.clone(),
            ..PartSettings::default()
        };
        let mut writer = PartWriter::create(|_| Ok(Vec::new()), info, settings).unwrap();
        for (tenant, job, times) in series {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", *job)]).unwrap();
            let mut samples = Run::default();
            for &timestamp in times {
                samples.push(Sample {
                    timestamp,
                    value: 1.0,
                    start_timestamp: 0,
                });
            }
            let runs = SeriesRuns {
                samples,
                ..SeriesRuns::default()
            };
            writer
                .push(&TenantId::parse(tenant).unwrap(), &labels, &runs, &[])
                .unwrap();
        }
        let (summary, files) = writer.finish().unwrap();
        for (kind, bytes) in files {
            let file = self.path().join(path(kind).as_ref());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        summary
    }

    /// The own names of live parts.
    pub(crate) async fn live(&self) -> Vec<Ulid> {
        let live = self.catalog.live().await.unwrap();
        let mut parts: Vec<Ulid> = live.parts().map(|part| part.ulid).collect();
        parts.sort();
        parts
    }
}

/// Keys by id; what is written is encrypted with the one that is named. `id=text` is another key under the same id.
pub(crate) fn keys(write: Option<&str>, ids: &[&str]) -> Keys {
    let directory = tempfile::tempdir().unwrap();
    let source = |id: &&str| {
        let path = directory.path().join(id);
        let secret = id.bytes().cycle().take(32).map(|byte| format!("{byte:02x}"));
        std::fs::write(&path, secret.collect::<String>()).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let id = id.split('=').next().unwrap();
        KeySource::new(id, Some(path), None, None).unwrap()
    };
    Keys::read(write, &ids.iter().map(source).collect::<Vec<_>>()).unwrap()
}

/// So many moments of a day, a minute apart from its noon on.
pub(crate) fn times(day: i32, count: i64) -> Vec<i64> {
    let noon = i64::from(day) * DAY_MS + DAY_MS / 2;
    (0..count).map(|i| noon + i * 60_000).collect()
}
