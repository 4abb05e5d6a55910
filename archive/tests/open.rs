//! Independent readers agree with the model: DuckDB through the shipped views, PyArrow on the bare files (`tests/peers/build` installs both).
//!
//! Several parts repeat and contradict each other; what the views give must be what the model settles on, in every field and bit.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "open/buckets.rs"]
mod buckets;
#[path = "open/content.rs"]
mod content;
#[path = "open/rows.rs"]
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use emberkeep_archive::sql::{self, SqlEngine};
use emberkeep_archive::{
    Catalog, CommitRecord, Committed, FileKind, ObjectStore, PartEntry, PartInfo, PartOrigin, PartSettings, PartWriter,
    StoreConfig, Ulid, WalRange, commit, names,
};
use emberkeep_model::{Histogram, Labels, STALE_MARKER_BITS, Sample, SeenMetadata, SeriesRuns, TenantId};
use serde_json::{Value, json};

use content::{Numbers, Part};
use rows::{found_histogram, histogram_row, labels_json};

/// What all parts hold together, as the model settles it.
#[derive(Debug, Default)]
struct Model {
    series: BTreeMap<Labels, SeriesRuns>,
    /// By family, labels and variant: when it was seen.
    metadata: BTreeMap<(String, Option<Labels>, String), (i64, i64)>,
    /// Rows of `histograms` of all parts, each for itself.
    rows: Vec<Value>,
}

impl Model {
    fn add(&mut self, family: &str, labels: Option<&Labels>, seen: &SeenMetadata) {
        let metadata = &seen.metadata;
        let variant = json!([metadata.metric_type.as_str(), metadata.unit, metadata.help]).to_string();
        let key = (family.to_owned(), labels.cloned(), variant);
        let times = self.metadata.entry(key).or_insert((seen.first_seen, seen.last_seen));
        *times = (times.0.min(seen.first_seen), times.1.max(seen.last_seen));
    }
}

/// Writes parts into a directory and commits them.
async fn archive(
    directory: &Path,
    store: &Arc<dyn ObjectStore>,
    parts: Vec<(Part, Vec<(&str, SeenMetadata)>)>,
) -> Model {
    let mut model = Model::default();
    for (seq, (part, families)) in (1_u64..).zip(parts) {
        let ulid = Ulid(u128::from(seq));
        let path_of = |kind| names::level0("r", seq, ulid, kind);
        let open = |kind: FileKind| {
            let path = directory.join(path_of(kind).as_ref());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            Ok(std::fs::File::create(path).unwrap())
        };
        let info = PartInfo {
            dataset: "d".to_owned(),
            ulid,
            origin: PartOrigin::Flush {
                receiver: "r".to_owned(),
                wal: WalRange {
                    id: "w".to_owned(),
                    from: seq,
                    to: seq + 1,
                },
            },
        };
        let mut writer = PartWriter::create(open, info, PartSettings::default()).unwrap();
        let tenant = TenantId::default();
        for (family, seen) in families {
            model.add(family, None, &seen);
            writer.push_family(&tenant, family, &[seen]).unwrap();
        }
        for (labels, (mut runs, metadata)) in part {
            runs.settle();
            writer.push(&tenant, &labels, &runs, &metadata).unwrap();
            for row in runs.histograms.iter() {
                model.rows.push(histogram_row(
                    None,
                    row.timestamp,
                    row.start_timestamp,
                    &row.histogram(),
                ));
            }
            for seen in &metadata {
                model.add(labels.metric_name(), Some(&labels), seen);
            }
            model.series.entry(labels).or_default().append(&runs);
        }
        let (summary, _files) = writer.finish().unwrap();
        let record = CommitRecord {
            nonce: format!("nonce {seq}"),
            receiver: "r".to_owned(),
            epoch: 1,
            seq,
            wal: WalRange {
                id: "w".to_owned(),
                from: seq,
                to: seq + 1,
            },
            committed_at: 0,
            newest_arrival: 0,
            parts: vec![PartEntry::level0(ulid, "r", &summary, path_of)],
        };
        assert_eq!(commit(&**store, &record).await.unwrap(), Committed::Done);
    }
    for runs in model.series.values_mut() {
        runs.settle();
    }
    model
}

/// A peer that `tests/peers/build` has installed.
fn peer(relative: &str) -> PathBuf {
    let var = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = var("EMBERKEEP_CACHE")
        .or_else(|| {
            Some(
                var("XDG_CACHE_HOME")
                    .or_else(|| Some(var("HOME")?.join(".cache")))?
                    .join("emberkeep"),
            )
        })
        .expect("EMBERKEEP_CACHE or HOME is set");
    let path = cache.join("peers").join(relative);
    assert!(path.exists(), "`{}` is missing: run tests/peers/build", path.display());
    path
}

/// What the engines find, by view.
async fn read(directory: &Path, store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Vec<Value>> {
    let view = Catalog::new(Arc::clone(store)).refresh().await.unwrap();
    let text = sql::view(SqlEngine::DuckDb, &view, &|path| {
        directory.join(path).display().to_string()
    })
    .unwrap();
    let script = directory.join("view.sql");
    std::fs::write(&script, text).unwrap();
    let mut python = Command::new(peer("python/bin/python"));
    python
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open/read.py"))
        .arg(&script);
    for part in &view.parts {
        python.args(part.find(FileKind::Histograms).map(|file| directory.join(&file.path)));
    }
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        found
            .entry(row["view"].as_str().unwrap().to_owned())
            .or_default()
            .push(row);
    }
    found
}

/// Rows in an order of their own, so that sets of them can be compared; none twice.
fn sorted(rows: impl IntoIterator<Item = Value>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for row in rows {
        assert!(all.insert(row.to_string()), "twice: {row}");
    }
    all
}

/// Compares all views with the model.
fn compare(model: &Model, found: &BTreeMap<String, Vec<Value>>) {
    let rows = |view: &str| found.get(view).map(Vec::as_slice).unwrap_or_default().iter();
    let samples = model.series.iter().flat_map(|(labels, runs)| {
        runs.samples.iter().map(|s| {
            let start = (s.start_timestamp != 0).then_some(s.start_timestamp);
            json!([labels_json(labels), s.timestamp, s.value.to_bits(), start])
        })
    });
    let of_view = rows("samples").map(|r| json!([r["labels"], r["timestamp"], r["value"], r["start_timestamp"]]));
    assert_eq!(sorted(of_view), sorted(samples));

    let histograms = model.series.iter().flat_map(|(labels, runs)| {
        let row = |row: emberkeep_model::HistogramRow<'_>| {
            histogram_row(Some(labels), row.timestamp, row.start_timestamp, &row.histogram())
        };
        runs.histograms.iter().map(row).collect::<Vec<_>>()
    });
    assert_eq!(sorted(rows("histograms").map(found_histogram)), sorted(histograms));

    let mut of_files: Vec<String> = rows("pyarrow").map(|row| found_histogram(row).to_string()).collect();
    let mut expected: Vec<String> = model.rows.iter().map(Value::to_string).collect();
    of_files.sort();
    expected.sort();
    assert_eq!(of_files, expected);

    let exemplars = model.series.iter().flat_map(|(labels, runs)| {
        let row = |e: &emberkeep_model::Exemplar| {
            json!([
                labels_json(labels),
                e.timestamp,
                e.value.to_bits(),
                labels_json(&e.labels)
            ])
        };
        runs.exemplars.as_slice().iter().map(row).collect::<Vec<_>>()
    });
    let of_view = rows("exemplars").map(|r| json!([r["labels"], r["timestamp"], r["value"], r["exemplar_labels"]]));
    assert_eq!(sorted(of_view), sorted(exemplars));

    let metadata = model.metadata.iter().map(|((family, labels, variant), (first, last))| {
        json!([family, labels.as_ref().map(labels_json), variant, first, last])
    });
    let of_view = rows("metadata").map(|r| {
        let variant = json!([r["type"], r["unit"], r["help"]]).to_string();
        json!([r["family"], r["labels"], variant, r["first_seen"], r["last_seen"]])
    });
    assert_eq!(sorted(of_view), sorted(metadata));

    buckets::compare(&model.series, rows("histogram_buckets"));
}

async fn check(parts: Vec<(Part, Vec<(&str, SeenMetadata)>)>) -> BTreeMap<String, Vec<Value>> {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig::directory(directory.path()).open().unwrap();
    let model = archive(directory.path(), &store, parts).await;
    let found = read(directory.path(), &store).await;
    compare(&model, &found);
    found
}

#[tokio::test]
async fn other_engines_find_what_the_model_settles_on() {
    let mut numbers = Numbers::new(42);
    let pool = numbers.histograms(6);
    let parts = (0..12).map(|_| (numbers.part(&pool), numbers.families())).collect();
    let found = check(parts).await;
    assert_eq!(found["series"].len(), 5);
    for (view, least) in [
        ("samples", 50),
        ("histograms", 80),
        ("histogram_buckets", 200),
        ("exemplars", 20),
        ("metadata", 20),
    ] {
        assert!(found[view].len() >= least, "{view}: {}", found[view].len());
    }
}

#[tokio::test]
async fn a_float_and_a_histogram_that_meet_in_two_parts_are_one() {
    let labels = Labels::from_pairs([("__name__", "mixed")]).unwrap();
    let (mut floats, mut histograms) = (SeriesRuns::default(), SeriesRuns::default());
    let stale = f64::from_bits(STALE_MARKER_BITS);
    for (timestamp, (value, sum)) in (1..).zip([(1.0, 1.0), (1.0, stale), (stale, 1.0), (stale, stale)]) {
        floats.samples.push(Sample {
            timestamp,
            value,
            start_timestamp: 0,
        });
        let histogram = Histogram {
            sum,
            ..Histogram::default()
        };
        histograms.histograms.push(timestamp, 0, &histogram);
    }
    let part = |runs: SeriesRuns| (Part::from([(labels.clone(), (runs, Vec::new()))]), Vec::new());
    let found = check(vec![part(floats), part(histograms)]).await;
    assert_eq!((found["samples"].len(), found["histograms"].len()), (3, 1));
}

#[tokio::test]
async fn what_an_archive_does_not_have_is_empty_and_no_error() {
    assert!(check(vec![]).await.is_empty());
    let mut numbers = Numbers::new(7);
    let pool = numbers.histograms(2);
    let only = |mut part: Part, keep: fn(&mut SeriesRuns)| {
        for (runs, metadata) in part.values_mut() {
            keep(runs);
            metadata.clear();
        }
        part.retain(|_, (runs, _)| !runs.is_empty());
        vec![(part, Vec::new())]
    };
    let part = numbers.part(&pool);
    let floats = check(only(part.clone(), |runs| {
        runs.histograms.clear();
        runs.exemplars.clear();
    }));
    assert!(floats.await.keys().all(|view| view == "samples" || view == "series"));
    let histograms = check(only(part.clone(), |runs| {
        runs.samples.clear();
        runs.exemplars.clear();
    }));
    assert!(
        histograms
            .await
            .keys()
            .all(|view| view != "samples" && view != "exemplars")
    );
    let exemplars = check(only(part, |runs| {
        runs.samples.clear();
        runs.histograms.clear();
    }));
    assert!(
        exemplars
            .await
            .keys()
            .all(|view| view == "exemplars" || view == "series")
    );
    let families = check(vec![(Part::new(), numbers.families())]);
    assert!(families.await.keys().all(|view| view == "metadata"));
}
