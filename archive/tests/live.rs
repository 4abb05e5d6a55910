//! Live samples of all levels as other engines find them through `sql::view`, and as `deploy/survive/restore.py` gets them out without any
//! program of ours: level 0 folded and not, parts that overlap and contradict each other, parts of level 1, and a deletion.
//!
//! `tests/peers/build` installs the engines. What they find is compared row by row and bit by bit with what the model settles on.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use emberkeep_archive::sql::{self, SqlEngine};
use emberkeep_archive::{
    ArchiveError, Catalog, Change, CommitRecord, Compaction, FileKind, Mask, MatcherText, ObjectStore, PartEntry,
    PartInfo, PartOrigin, PartSettings, PartWriter, StoreConfig, Ulid, WalRange, apply, commit, fold, names,
};
use emberkeep_model::{Histogram, Labels, STALE_MARKER_BITS, Sample, SeriesRuns, TenantId};
use serde_json::{Value, json};

/// 2026-11-20.
const DAY: i32 = 20_777;
const MIDNIGHT: i64 = 20_777 * 86_400_000;
const ODD: &str = "a*b!'()_-.Z";

/// Tenant, series and what it has.
type Content = BTreeMap<(TenantId, Labels), SeriesRuns>;

/// Rows of several series; `salt` makes values that contradict those of other parts.
fn content(tenant: &str, steps: std::ops::Range<i64>, salt: i64) -> Content {
    let tenant = TenantId::parse(tenant).unwrap();
    let mut content = Content::new();
    for (name, job) in [
        ("a_total", "keep"),
        ("b \u{1F525} 'q\"\\", "x"),
        ("c", "gone"),
        ("mixed", "keep"),
    ] {
        let labels = Labels::from_pairs([("__name__", name), ("job", job), ("\u{437}", "\u{fc}\n")]).unwrap();
        let mut runs = SeriesRuns::default();
        for step in steps.clone() {
            let value = match (step + salt).rem_euclid(9) {
                0 => f64::from_bits(STALE_MARKER_BITS),
                1 => -0.0,
                2 => f64::NEG_INFINITY,
                3 => 0.1 + 0.2,
                4 => f64::from_bits(0x7ff8_0000_0000_0000 + salt.unsigned_abs()),
                5 => 1e-7 * step as f64,
                _ => step as f64 * 0.01,
            };
            let timestamp = MIDNIGHT + step * 15_007;
            if name == "mixed" && step % 3 == salt {
                runs.histograms.push(timestamp, 0, &Histogram::default());
            } else {
                runs.samples.push(Sample {
                    timestamp,
                    value,
                    start_timestamp: if step % 2 == 0 { 0 } else { MIDNIGHT + salt },
                });
            }
        }
        runs.settle();
        content.insert((tenant.clone(), labels), runs);
    }
    content
}

/// Writes the files of a part.
fn write(
    root: &Path,
    info: PartInfo,
    path_of: &(dyn Fn(FileKind) -> String + Sync),
    content: &Content,
) -> emberkeep_archive::PartSummary {
    let open = |kind: FileKind| {
        let path = root.join(path_of(kind));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        Ok(std::fs::File::create(path).unwrap())
    };
    let mut writer = PartWriter::create(open, info, PartSettings::default()).unwrap();
    for ((tenant, labels), runs) in content {
        writer.push(tenant, labels, runs, &[]).unwrap();
    }
    writer.finish().unwrap().0
}

/// A flush and its commit record.
async fn flush(root: &Path, store: &Arc<dyn ObjectStore>, seq: u64, content: &Content) {
    let (ulid, wal) = (
        Ulid(u128::from(seq)),
        WalRange {
            id: "w".to_owned(),
            from: seq,
            to: seq + 1,
        },
    );
    let info = PartInfo {
        dataset: "d".to_owned(),
        ulid,
        origin: PartOrigin::Flush {
            receiver: "r".to_owned(),
            wal: wal.clone(),
        },
    };
    let path_of = |kind| names::level0("r", seq, ulid, kind);
    let summary = write(root, info, &|kind| path_of(kind).to_string(), content);
    let record = CommitRecord {
        nonce: format!("nonce {seq}"),
        receiver: "r".to_owned(),
        epoch: 1,
        seq,
        wal,
        committed_at: 0,
        newest_arrival: 0,
        parts: vec![PartEntry::level0(ulid, "r", &summary, path_of)],
    };
    commit(&**store, &record).await.unwrap();
}

/// A part of level 1.
fn compacted(root: &Path, number: u128, tenant: &str, content: &Content) -> PartEntry {
    let (ulid, tenant) = (Ulid(number), TenantId::parse(tenant).unwrap());
    let compaction = Compaction {
        level: 1,
        tenant: tenant.clone(),
        day: DAY,
        sources: vec![],
        masks: 0,
        committed_at: 0,
        merge: None,
    };
    let info = PartInfo {
        dataset: "d".to_owned(),
        ulid,
        origin: PartOrigin::Compacted(compaction.clone()),
    };
    let path_of = |kind| names::compacted(kind, &tenant, DAY, ulid).to_string();
    let summary = write(root, info, &path_of, content);
    PartEntry::compacted(ulid, &compaction, &summary)
}

fn mask(op: &str, value: &str) -> Mask {
    Mask {
        id: Ulid(99).to_string(),
        number: 0,
        tenant: "anonymous".to_owned(),
        matchers: vec![MatcherText {
            name: "job".to_owned(),
            op: op.to_owned(),
            value: value.to_owned(),
        }],
        from: MIDNIGHT + 10 * 15_007,
        to: MIDNIGHT + 30 * 15_007,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    }
}

/// An archive, and the rows that an engine must find in it.
async fn archive(root: &Path, store: &Arc<dyn ObjectStore>, deleted: Mask) -> BTreeSet<String> {
    let catalog = Catalog::new(Arc::clone(store));
    let parts = [
        content("anonymous", 0..60, 0),
        content("anonymous", 30..90, 1),
        content(ODD, 0..20, 2),
    ];
    flush(root, store, 1, &parts[0]).await;
    flush(root, store, 2, &parts[1]).await;
    fold(&**store, &catalog, "fold", 1).await.unwrap();
    let merged = [content("anonymous", 20..70, 2), content(ODD, 10..40, 1)];
    let add = vec![
        compacted(root, 11, "anonymous", &merged[0]),
        compacted(root, 12, ODD, &merged[1]),
    ];
    let range = (deleted.from, deleted.to);
    apply(&catalog, "apply", 2, |_| {
        Ok::<_, ArchiveError>(Some(Change {
            add: add.clone(),
            masks: vec![deleted.clone()],
            ..Change::default()
        }))
    })
    .await
    .unwrap();
    flush(root, store, 3, &parts[2]).await;

    let mut all = Content::new();
    for ((tenant, labels), runs) in parts.iter().chain(&merged).flatten() {
        all.entry((tenant.clone(), labels.clone())).or_default().append(runs);
    }
    let mut rows = BTreeSet::new();
    for ((tenant, labels), runs) in &mut all {
        runs.settle();
        let is_deleted = tenant.as_str() == "anonymous" && labels.iter().any(|pair| pair == ("job", "gone"));
        let sorted: BTreeMap<&str, &str> = labels.iter().collect();
        for sample in runs.samples.iter() {
            let start = (sample.start_timestamp != 0).then_some(sample.start_timestamp);
            if !(is_deleted && (range.0..range.1).contains(&sample.timestamp)) {
                rows.insert(
                    json!([tenant.as_str(), sorted, sample.timestamp, sample.value.to_bits(), start]).to_string(),
                );
            }
        }
    }
    rows
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

/// What a program finds in a text or an archive.
fn read(name: &str, source: &Path) -> BTreeSet<String> {
    let mut python = Command::new(peer(match name {
        "spark" => "spark/bin/python",
        _ => "python/bin/python",
    }));
    python
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/read.py"))
        .arg(name)
        .arg(source);
    if name == "survive" {
        python.arg(peer("prometheus-3.14/promtool"));
    }
    let output = python.env("SPARK_LOCAL_IP", "127.0.0.1").output().unwrap();
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{name}: {errors}");
    let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let found: Value = serde_json::from_str(result.unwrap_or_else(|| panic!("{name}: {text}{errors}"))).unwrap();
    let mut rows = BTreeSet::new();
    for row in found.as_array().unwrap() {
        assert!(rows.insert(row.to_string()), "{name} shows twice: {row}");
    }
    rows
}

/// What matches `gone` and nothing else here, said with what differs between dialects: classes, case, word boundaries, ends of lines.
const PATTERN: &str = r"(?i:G)[^\n\d-]\B(?m:n(?:^x|$\n)?)\x65\b\pN*";

async fn check(name: &str, engine: Option<SqlEngine>, deleted: Mask) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let store: Arc<dyn ObjectStore> = StoreConfig::directory(&root).open().unwrap();
    let expected = archive(&root, &store, deleted).await;
    let found = match engine {
        None => read(name, &root),
        Some(engine) => {
            let view = Catalog::new(Arc::clone(&store)).refresh().await.unwrap();
            let text = sql::view(engine, &view, &|path| root.join(path).display().to_string()).unwrap();
            std::fs::write(root.join("view"), text).unwrap();
            read(name, &root.join("view"))
        }
    };
    let (missing, more) = (expected.difference(&found).next(), found.difference(&expected).next());
    assert_eq!((missing, more), (None, None), "{name}: missing, too many");
}

#[tokio::test]
async fn duckdb_finds_what_is_live() {
    check("duckdb", Some(SqlEngine::DuckDb), mask("=~", "g.ne")).await;
}

#[tokio::test]
async fn clickhouse_finds_what_is_live() {
    check("clickhouse", Some(SqlEngine::ClickHouse), mask("=~", "g.ne|")).await;
}

#[tokio::test]
async fn polars_finds_what_is_live() {
    check("polars", Some(SqlEngine::Polars), mask("=~", PATTERN)).await;
}

#[tokio::test]
async fn spark_finds_what_is_live() {
    check("spark", Some(SqlEngine::Spark), mask("=~", PATTERN)).await;
}

#[tokio::test]
async fn the_archive_survives_its_programs() {
    check("survive", None, mask("=~", "g.ne")).await;
}

#[tokio::test]
async fn a_deletion_that_cannot_be_written_for_an_engine_is_refused_until_it_is_applied() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = StoreConfig::directory(directory.path()).open().unwrap();
    archive(directory.path(), &store, mask("!~", "g.ne")).await;
    let view = Catalog::new(store).refresh().await.unwrap();
    let with = |op: &str, value: &str| {
        let mut view = emberkeep_archive::CatalogView::clone(&view);
        view.masks = view
            .masks
            .iter()
            .cloned()
            .map(|mut mask| {
                mask.matchers[0] = self::mask(op, value).matchers.remove(0);
                mask
            })
            .collect();
        view
    };
    for engine in [SqlEngine::Spark, SqlEngine::Polars] {
        for (op, value, is_taken) in [("!~", "g.ne", true), ("=~", "(", false), ("~", "g", false)] {
            let view = with(op, value);
            let text = sql::view(engine, &view, &str::to_owned);
            assert_eq!(text.is_ok(), is_taken, "{engine:?} {op} {value}: {text:?}");
            let mut applied = view.clone();
            let after = applied.masks.iter().map(|mask| mask.number).max().unwrap();
            for part in &mut applied.parts {
                Arc::make_mut(part).masks = after;
            }
            let text = sql::view(engine, &applied, &str::to_owned).unwrap();
            let first = (MIDNIGHT + 10 * 15_007).to_string();
            assert!(!text.contains(&first), "{text}");
        }
    }
}
