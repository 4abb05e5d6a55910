//! Parts of the archive with any of their Parquet files damaged, and parts whose files and entry disagree.
//!
//! Parquet's own reader is below this; what it does with damage is ours to answer for, since a query runs on it.

use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, FileKind, ObjectStore, PartEntry, PartInfo, PartOrigin, PartReader, PartSettings, PartWriter,
    ScanKinds, ScanQuery, Ulid, WalRange, names,
};
use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::{MatchOp, Matcher, SeriesRuns, TenantId, TimeRange};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

use crate::material::{labels, nothing, runs, seen_metadata};
use crate::writing::said;

const ULID: Ulid = Ulid(77);

/// A part of two tenants with rows of all kinds, and the entry that names it.
fn part() -> (Input, PartEntry) {
    let info = PartInfo {
        dataset: "d".to_owned(),
        ulid: ULID,
        origin: PartOrigin::Flush {
            receiver: "r".to_owned(),
            wal: WalRange {
                id: "w".to_owned(),
                from: 3,
                to: 9,
            },
        },
    };
    let mut writer = PartWriter::create(|_| Ok(Vec::new()), info, PartSettings::default()).unwrap();
    for tenant in ["anonymous", "other"] {
        let tenant = TenantId::parse(tenant).unwrap();
        for (name, samples) in [("a", 40), ("b", 3), ("ü", 0)] {
            let labels = labels(&[("__name__", name), ("job", "x")]);
            writer
                .push(&tenant, &labels, &runs(1_700_000_000_000, samples), &seen_metadata())
                .unwrap();
        }
        writer.push_family(&tenant, "a", &seen_metadata()).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    let entry = PartEntry::level0(ULID, "r", &summary, |kind| names::level0("r", 1, ULID, kind));
    let file = |kind: &FileKind| {
        let found = files.iter().find(|(found, _)| found == kind);
        found.map(|(_, bytes)| bytes.clone()).unwrap()
    };
    let files = FileKind::ALL.iter().map(file).collect();
    (Input { files }, entry)
}

async fn walk(store: Arc<dyn ObjectStore>, entry: &PartEntry) -> Result<String, ArchiveError> {
    let part = PartReader::open(store, entry).await?;
    let tenant = TenantId::parse("anonymous").unwrap();
    let mut told = Vec::new();
    for matchers in [vec![], vec![Matcher::new("job", MatchOp::Regex, "x|y").unwrap()]] {
        let query = ScanQuery {
            tenant: tenant.clone(),
            range: TimeRange::ALL,
            matchers: matchers.into(),
            kinds: ScanKinds::All,
        };
        let mut scan = part.scan(query, 1000);
        let mut all = SeriesRuns::default();
        let mut count = 0_usize;
        while let Some(series) = scan.next().await? {
            count += 1;
            let range = TimeRange {
                start: 1_700_000_001_000,
                end: i64::MAX,
            };
            let (samples, histograms) = (series.samples, series.histograms);
            scan.samples(samples, TimeRange::ALL, &mut all.samples).await?;
            scan.histograms(histograms, range, &mut all.histograms).await?;
            scan.exemplars(series.exemplars, range, &mut all.exemplars).await?;
        }
        for row in all.histograms.iter() {
            let _ = row.histogram();
        }
        let kinds = (all.samples.len(), all.histograms.len(), all.exemplars.len());
        told.push(format!("{count} series, {kinds:?}"));
    }
    for family in [None, Some("a")] {
        let mut cursor = part.metadata(&tenant, family);
        let mut count = 0_usize;
        while let Some(batch) = cursor.next().await? {
            count += batch.len();
        }
        told.push(format!("{count} metadata"));
    }
    Ok(told.join(", "))
}

/// Everything that the reader does, over an in-memory store with these files.
fn read(runtime: &tokio::runtime::Runtime, entry: &PartEntry, input: &Input) -> String {
    runtime.block_on(async {
        let mut entry = entry.clone();
        let store = InMemory::new();
        for (kind, bytes) in FileKind::ALL.iter().zip(&input.files) {
            let path = entry.file(*kind).unwrap().location().unwrap();
            store.put(&path, PutPayload::from(bytes.clone())).await.unwrap();
            let file = entry.files.iter_mut().find(|file| file.kind == *kind).unwrap();
            file.bytes = bytes.len() as u64;
        }
        said(walk(Arc::new(store), &entry).await)
    })
}

#[test]
fn part_reader() {
    let (whole, entry) = part();
    let target = Target {
        name: "part_reader",
        rounds: 1500,
        max_bytes: 64 << 10,
        bound: Bound {
            per_byte: 100,
            flat: 8 << 20,
        },
        dictionary: &[b"PAR1", b"\"version\":2", b"\"part\":", b"tenant", b"labels"],
        outcomes: 40,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    target.run(vec![whole], nothing, |input| read(&runtime, &entry, input));
}
