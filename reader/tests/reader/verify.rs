//! Verification: whole archives and exports are proven, and every fault that is planted is found.

mod blocks;
mod clean;
mod faults;
mod past;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, Catalog, Change, Compaction, Format, PartEntry, PartInfo, PartOrigin, PartSettings, PartWriter,
    Removal, Ulid, apply, fold, fresh_nonce, names,
};
use emberkeep_model::{Labels, SeriesRuns, TenantId, TimeRange};
use emberkeep_reader::verify::{CompareStarts, Finding, FindingKind, Level, Verdict, Verify, VerifyReport};
use emberkeep_reader::{Query, ReaderSettings, ReplicaLabels, Selection, Sources};
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockWriter, windows};
use indicatif::ProgressBar;

use crate::histograms::{self, SORTS};
use crate::model::{naive, naive_exemplars};
use crate::support::{Row, Rows, TestArchive, exemplar, histogram, labels, sample, seen};

const MINUTE: i64 = 60_000;

/// Ten series of one tenant over four hours, with all that there is.
fn rows() -> Rows {
    let tenant = TenantId::default();
    let mut rows = Rows::new();
    for series in 0..10_usize {
        let number = series.to_string();
        let of = labels(&[("__name__", "m"), ("series", &number)]);
        for minute in 0..240 {
            let row = match series {
                0..3 => histogram(minute * MINUTE, histograms::sort(minute as usize % SORTS)),
                _ => sample(minute * MINUTE, minute as f64 / 4.0),
            };
            rows.push((tenant.clone(), of.clone(), row));
        }
        rows.push((
            tenant.clone(),
            of.clone(),
            exemplar(series as i64 * MINUTE, 1.0, &[("id", "x")]),
        ));
        let said = seen(emberkeep_model::MetricType::Gauge, "what it is", 0, 10);
        rows.push((tenant.clone(), of.clone(), Row::Metadata(said.clone())));
        rows.push((tenant.clone(), of, Row::Family(said)));
    }
    rows
}

/// An archive of which the format is there, as in every real one.
async fn archive() -> TestArchive {
    let archive = TestArchive::new();
    Format::load_or_create(&*archive.store, 0).await.unwrap();
    archive
}

async fn folded(archive: &TestArchive) -> Catalog {
    let catalog = Catalog::new(Arc::clone(&archive.store));
    fold(&*archive.store, &catalog, &fresh_nonce(), 1).await.unwrap();
    catalog
}

/// Merges all that is live into a part of level 1 for each tenant, which is to hold exactly these rows, of the first day.
async fn merge(archive: &TestArchive, rows: &Rows) -> Vec<PartEntry> {
    let catalog = folded(archive).await;
    let live: Vec<Ulid> = catalog.live().await.unwrap().parts().map(|part| part.ulid).collect();
    let mut tenants: Vec<&TenantId> = rows.iter().map(|(tenant, ..)| tenant).collect();
    tenants.sort();
    tenants.dedup();
    let mut added = Vec::new();
    for tenant in tenants {
        added.push(write_merged(archive.directory.path(), rows, tenant, Ulid::generate()));
    }
    let change = |_: &emberkeep_archive::Live| {
        Ok::<_, ArchiveError>(Some(Change {
            add: added.clone(),
            remove: BTreeMap::from([(Removal::Compacted, live.clone())]),
            ..Change::default()
        }))
    };
    apply(&catalog, &fresh_nonce(), 2, change).await.unwrap();
    added
}

/// Writes a part of level 1 with these rows of a tenant into a directory.
fn write_merged(directory: &Path, rows: &Rows, tenant: &TenantId, ulid: Ulid) -> PartEntry {
    let of = Compaction {
        level: 1,
        tenant: tenant.clone(),
        day: 0,
        sources: vec![Ulid::generate()],
        masks: 0,
        committed_at: 1,
        merge: None,
    };
    let create = |kind| {
        let path = directory.join(names::compacted(kind, tenant, 0, ulid).to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Ok(File::create(path).unwrap())
    };
    let info = PartInfo {
        dataset: "d".to_owned(),
        ulid,
        origin: PartOrigin::Compacted(of.clone()),
    };
    let mut writer = PartWriter::create(create, info, PartSettings::compacted()).unwrap();
    let mut all: BTreeMap<Labels, SeriesRuns> = naive(rows, tenant, TimeRange::ALL, &[]);
    for (labels, runs) in naive_exemplars(rows, tenant, TimeRange::ALL, &[]) {
        all.entry(labels).or_default().append(&runs);
    }
    for (labels, runs) in all {
        writer.push(tenant, &labels, &runs, &[]).unwrap();
    }
    let (summary, _) = writer.finish().unwrap();
    PartEntry::compacted(ulid, &of, &summary)
}

/// Blocks of all that the default tenant has, window by window.
async fn export(archive: &TestArchive) -> tempfile::TempDir {
    let output = tempfile::tempdir().unwrap();
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let day = TimeRange {
        start: 0,
        end: 86_400_000,
    };
    for window in windows(day, BLOCK_DURATION_MS) {
        let query = Query {
            tenant: TenantId::default(),
            range: window,
            selection: Selection::all(),
        };
        let mut scan = reader.scan(&query).await.unwrap();
        let mut writer = BlockWriter::create(output.path(), Ulid::generate(), window).unwrap();
        while let Some(series) = scan.next().await.unwrap() {
            writer.push(&series.labels, &series.runs).unwrap();
        }
        writer.finish().unwrap();
    }
    output
}

fn verify(level: Level) -> Verify {
    Verify {
        level,
        tenant: None,
        range: TimeRange::ALL,
        selection: Selection::all(),
        strip: ReplicaLabels::default(),
        starts: CompareStarts::default(),
        jobs: 2,
        most_findings: 10,
        scratch: std::env::temp_dir(),
    }
}

async fn of_archive(archive: &TestArchive, level: Level) -> VerifyReport {
    let sources = Sources::new(Arc::clone(&archive.store), Vec::new());
    verify(level).archive(&sources, &ProgressBar::hidden()).await.unwrap()
}

async fn of_blocks(archive: &TestArchive, directory: &Path, level: Level) -> VerifyReport {
    let sources = Sources::new(Arc::clone(&archive.store), Vec::new());
    let verify = verify(level);
    verify
        .exported(&sources, directory, &ProgressBar::hidden())
        .await
        .unwrap()
}

/// The report must say that all is proven, and of how much.
fn assert_proven(report: &VerifyReport) {
    assert_eq!((report.verdict, &report.findings), (Verdict::Proven, &Vec::new()));
}

/// What was found, when it is different.
fn found(report: &VerifyReport) -> Vec<FindingKind> {
    assert_eq!(report.verdict, Verdict::Different, "{report:?}");
    report.findings.iter().map(|finding| finding.kind).collect()
}

fn about<'a>(report: &'a VerifyReport, name: &str) -> Vec<&'a Finding> {
    let findings = report.findings.iter();
    findings.filter(|finding| finding.object.contains(name)).collect()
}

/// Flips a bit and returns what the byte was.
fn flip(path: &Path, at: usize, bit: u8) -> u8 {
    let mut bytes = fs::read(path).unwrap();
    let before = bytes[at];
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
    before
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
