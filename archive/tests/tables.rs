//! Published tables as other engines find them, through the shipped views, after parts came, were merged, and went.
//!
//! `tests/peers/build` installs the engines. What they find is compared row by row and bit by bit with what was written.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use emberkeep_archive::delta_table::Publisher;
use emberkeep_archive::{
    Compaction, FileKind, Mask, MatcherText, ObjectStore, PartEntry, PartInfo, PartOrigin, PartSettings, PartWriter,
    StoreConfig, Ulid, names,
};
use emberkeep_model::{
    Exemplar, Histogram, Labels, Metadata, MetricType, STALE_MARKER_BITS, Sample, SeenMetadata, SeriesRuns, TenantId,
};
use serde_json::{Value, json};

/// 2026-11-20.
const DAY: i32 = 20_777;
const HOUR: i64 = 3_600_000;

/// A part and the rows of samples in it, as the engines show them.
#[derive(Debug, Clone)]
struct Written {
    entry: Arc<PartEntry>,
    rows: BTreeSet<String>,
}

/// Writes a part of one day where the catalog would have it.
fn write(root: &Path, number: u128, tenant: &str, day: i32, hours: (i64, i64), level: u32) -> Written {
    let (ulid, tenant) = (Ulid(number), TenantId::parse(tenant).unwrap());
    let compaction = Compaction {
        level,
        tenant: tenant.clone(),
        day,
        sources: vec![],
        masks: 0,
        committed_at: 0,
        merge: None,
    };
    let open = |kind: FileKind| {
        let path = root.join(names::compacted(kind, &tenant, day, ulid).as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Ok(std::fs::File::create(path).unwrap())
    };
    let info = PartInfo {
        dataset: "dataset".to_owned(),
        ulid,
        origin: PartOrigin::Compacted(compaction.clone()),
    };
    let mut writer = PartWriter::create(open, info, PartSettings::compacted()).unwrap();
    let (mut rows, midnight) = (BTreeSet::new(), i64::from(day) * 24 * HOUR);
    for name in ["a_total", "b \u{1F525} 'quoted'", "c"] {
        let labels = Labels::from_pairs([("__name__", name), ("job", "x\"y"), ("\u{437}", "\u{fc}")]).unwrap();
        let mut runs = SeriesRuns::default();
        for step in hours.0 * 60..hours.1 * 60 {
            let value = match step % 9 {
                0 => f64::from_bits(STALE_MARKER_BITS),
                1 => -0.0,
                2 => f64::NEG_INFINITY,
                3 => 0.1 + 0.2,
                4 => 9_007_199_254_740_991.0,
                5 => 1e-7 * step as f64,
                6 => f64::from_bits(0x7ff8_0000_0000_0001),
                _ => step as f64 * 0.01,
            };
            let start = if step % 2 == 0 { 0 } else { midnight + 1 };
            let timestamp = midnight + step * 60_000 + 7;
            let shown = (start != 0).then_some(start);
            let sorted: BTreeMap<&str, &str> = labels.iter().collect();
            rows.insert(json!([tenant.as_str(), sorted, timestamp, value.to_bits(), shown]).to_string());
            runs.samples.push(Sample {
                timestamp,
                value,
                start_timestamp: start,
            });
        }
        if name == "c" {
            runs.histograms
                .push(midnight + hours.1 * HOUR - 1, 0, &Histogram::default());
            runs.exemplars.push(Exemplar {
                timestamp: midnight + hours.0 * HOUR,
                value: 1.5,
                labels: Labels::from_pairs([("trace_id", "7")]).unwrap(),
            });
        }
        runs.settle();
        let seen = SeenMetadata {
            metadata: Metadata {
                metric_type: MetricType::Counter,
                unit: "s".to_owned(),
                help: "two\nlines".to_owned(),
            },
            first_seen: midnight + hours.0 * HOUR,
            last_seen: midnight + hours.0 * HOUR,
        };
        writer.push(&tenant, &labels, &runs, &[seen]).unwrap();
    }
    let (summary, _files) = writer.finish().unwrap();
    let entry = Arc::new(PartEntry::compacted(ulid, &compaction, &summary));
    Written { entry, rows }
}

/// What `tests/peers/build` has installed.
fn peer(relative: &str) -> PathBuf {
    let var = |name| std::env::var_os(name).map(PathBuf::from);
    let home = || Some(var("HOME")?.join(".cache"));
    let below = |base: PathBuf| base.join("emberkeep");
    let cache = var("EMBERKEEP_CACHE").or_else(|| var("XDG_CACHE_HOME").or_else(home).map(below));
    let path = cache
        .expect("EMBERKEEP_CACHE or HOME is set")
        .join("peers")
        .join(relative);
    assert!(path.exists(), "`{}` is missing: run tests/peers/build", path.display());
    path
}

/// What an engine finds.
fn read(engine: &str, root: &Path) -> Value {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = match engine {
        "duckdb" => "duckdb-delta/bin/python",
        "spark" => "spark/bin/python",
        _ => "python/bin/python",
    };
    let mut command = Command::new(peer(python));
    command
        .arg(home.join("tests/tables/read.py"))
        .arg(engine)
        .arg(root)
        .arg(home.join("../deploy/sql"));
    if engine == "spark" {
        command
            .env("DELTA_JARS", peer("spark/jars"))
            .env("SPARK_LOCAL_IP", "127.0.0.1");
    }
    let output = command.output().unwrap();
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{engine}: {errors}");
    let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    serde_json::from_str(result.unwrap_or_else(|| panic!("{engine}: {text}{errors}"))).unwrap()
}

/// An engine finds these parts, and nothing else.
fn compare(engine: &str, root: &Path, parts: &[&Written]) {
    let mut expected: BTreeSet<String> = BTreeSet::new();
    let mut tables: BTreeMap<&str, u64> = FileKind::ALL.iter().map(|kind| (kind.as_str(), 0)).collect();
    for part in parts {
        expected.extend(part.rows.iter().cloned());
        for file in &part.entry.files {
            *tables.get_mut(file.kind.as_str()).unwrap() += file.rows;
        }
    }
    let found = read(engine, root);
    assert_eq!(found["tables"], json!(tables), "{engine}");
    let mut rows = BTreeSet::new();
    for row in found["samples"].as_array().unwrap() {
        assert!(rows.insert(row.to_string()), "{engine} shows twice: {row}");
    }
    let (missing, more) = (expected.difference(&rows).next(), rows.difference(&expected).next());
    assert_eq!((missing, more), (None, None), "{engine}: missing, too many");
    // What VACUUM would delete at once.
    for path in found["stale"].as_array().unwrap() {
        let path = path.as_str().unwrap();
        let is_live = |part: &&Written| {
            part.entry
                .files
                .iter()
                .any(|file| file.path == path.replace("%25", "%"))
        };
        assert!(!parts.iter().any(is_live), "{path}");
        assert!(!path.contains("_archive") && !path.contains("_delta_log"), "{path}");
    }
}

fn entries(parts: &[&Written]) -> Vec<Arc<PartEntry>> {
    parts.iter().map(|part| Arc::clone(&part.entry)).collect()
}

fn mask(tenant: &str) -> Mask {
    let midnight = i64::from(DAY) * 24 * HOUR;
    Mask {
        id: Ulid(1).to_string(),
        number: 3,
        tenant: tenant.to_owned(),
        matchers: vec![MatcherText {
            name: "job".to_owned(),
            op: "=".to_owned(),
            value: "x".to_owned(),
        }],
        from: midnight,
        to: midnight + 1000,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    }
}

/// Publishes three roots, and looks with an engine after the ones that are wanted.
async fn follow(engine: &str, wanted: &[u64]) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap().join("archive");
    let store: Arc<dyn ObjectStore> = StoreConfig::directory(&root).open().unwrap();
    let publisher = Publisher::new(Arc::clone(&store), "dataset", 7);
    let look = |root_n: u64, parts: &[&Written]| {
        if wanted.contains(&root_n) {
            compare(engine, &root, parts);
        }
    };
    let odd = "a*b!'()_-.Z";

    let first = write(&root, 1, "anonymous", DAY, (0, 2), 1);
    let second = write(&root, 2, "anonymous", DAY, (2, 4), 1);
    let other = write(&root, 3, odd, DAY, (0, 1), 1);
    let parts = [&first, &second, &other];
    publisher.publish(1, &entries(&parts), &[]).await.unwrap();
    look(1, &parts);

    // Two are merged, a day comes, and what is late waits.
    let merged = write(&root, 4, "anonymous", DAY, (0, 4), 2);
    let tomorrow = write(&root, 5, "anonymous", DAY + 1, (0, 1), 1);
    let late = write(&root, 6, "anonymous", DAY, (3, 4), 1);
    let parts = [&merged, &tomorrow, &other, &late];
    publisher.publish(2, &entries(&parts), &[]).await.unwrap();
    look(2, &parts[..3]);

    // A day goes, and something of the other tenant is deleted.
    let masks = [mask(odd)];
    publisher
        .publish(3, &entries(&[&merged, &other, &late]), &masks)
        .await
        .unwrap();
    look(3, &[&merged]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deltalake_finds_what_the_roots_say_and_would_delete_nothing_of_it() {
    follow("deltalake", &[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polars_finds_what_the_roots_say() {
    follow("polars", &[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_finds_what_the_roots_say() {
    follow("duckdb", &[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_finds_what_the_roots_say() {
    follow("clickhouse", &[1, 2, 3]).await;
}

/// Once only: it takes half a minute to start.
#[tokio::test(flavor = "multi_thread")]
async fn spark_finds_what_the_roots_say() {
    follow("spark", &[2]).await;
}
