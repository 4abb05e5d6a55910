//! Export at scale: blocks of many windows, several at a time, cut by memory; labels stripped; runs that are killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use emberkeep_model::{Labels, TenantId, TimeRange};
use emberkeep_reader::Sources;
use emberkeep_reader::export::{BlockFormat, ExportArguments, ExportOptions, Order, RunKind, STATE_FILE, Verification};
use emberkeep_tsdb::{BlockMeta, BlockReader};
use rand::RngExt;

use super::{Done, WINDOW, arguments, export, names, plain, rows, run};
use crate::bits::all_observed;
use crate::model::naive;
use crate::support::{Rows, Series, TestArchive, labels, sample};

/// All blocks of a directory, whatever their order and length, in the order of their time.
fn content(output: &Path) -> (Series, Vec<BlockMeta>) {
    let (mut found, mut metas) = (Vec::new(), Vec::new());
    for name in names(output) {
        if name.len() == 26 {
            let mut block = BlockReader::open(&output.join(&name)).unwrap();
            metas.push(block.meta().clone());
            let mut series = Series::new();
            block
                .verify(|labels, runs| series.entry(labels.clone()).or_default().append(runs))
                .unwrap();
            found.push((metas[metas.len() - 1].min_time, series));
        }
    }
    found.sort_by_key(|(start, _)| *start);
    metas.sort_by_key(|meta| meta.min_time);
    let mut all = Series::new();
    for (labels, runs) in found.into_iter().flat_map(|(_, series)| series) {
        all.entry(labels).or_default().append(&runs);
    }
    (all, metas)
}

fn range() -> TimeRange {
    TimeRange {
        start: 0,
        end: 1_000 * WINDOW,
    }
}

async fn archive(windows: std::ops::Range<i64>) -> (TestArchive, Rows) {
    let mut archive = TestArchive::new();
    let all = rows(windows.clone());
    for window in windows {
        let inside =
            |row: &&(TenantId, Labels, crate::support::Row)| super::time_of(&row.2).div_euclid(WINDOW) == window;
        archive.flush(&all.iter().filter(inside).cloned().collect()).await;
    }
    (archive, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_blocks_hold_what_short_ones_hold() {
    let (archive, all) = archive(16..29).await;
    let expected = naive(&all, &TenantId::default(), range(), &[]);
    for (length, format, order, blocks) in [
        (Some("6h"), BlockFormat::Prometheus, Order::Oldest, 5),
        (Some("1d"), BlockFormat::Prometheus, Order::Newest, 3),
        (Some("100d"), BlockFormat::Prometheus, Order::Oldest, 1),
        (None, BlockFormat::Prometheus, Order::Oldest, 13),
        (None, BlockFormat::Mimir, Order::Newest, 2),
        (Some("8h"), BlockFormat::Thanos, Order::Newest, 4),
    ] {
        let output = tempfile::tempdir().unwrap();
        let arguments = ExportArguments {
            block_duration: length.map(str::to_owned),
            format,
            ..arguments("x", &[])
        };
        let mut wanted = plain(arguments, range(), output.path());
        wanted.options = ExportOptions {
            parallel: 3,
            order,
            ..ExportOptions::default()
        };
        let done = run(&Sources::new(archive.store.clone(), Vec::new()), wanted)
            .await
            .unwrap();
        let (found, metas) = content(output.path());
        assert_eq!(all_observed(&found), all_observed(&expected), "{length:?} {format:?}");
        assert_eq!(metas.len(), blocks, "{length:?} {format:?}");
        assert_eq!(done.summary.blocks, metas);
        assert!(metas.windows(2).all(|two| two[0].max_time <= two[1].min_time));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_memory_makes_shorter_blocks_and_then_an_error() {
    let mut archive = TestArchive::new();
    // Labels that only one series has: the index is what grows.
    let rows: Rows = (0..6_000)
        .map(|n| {
            let value = format!("{n:06}-{}", "x".repeat(500));
            let series = labels(&[("__name__", "m"), ("id", &value)]);
            (TenantId::default(), series, sample((n / 2_000) * WINDOW + n, 1.0))
        })
        .collect();
    archive.flush(&rows).await;
    let sources = Sources::new(archive.store.clone(), Vec::new());
    let with = |memory: u64, output: &Path| {
        let arguments = ExportArguments {
            block_duration: Some("6h".to_owned()),
            ..arguments("x", &[])
        };
        let mut wanted = plain(arguments, range(), output);
        wanted.options.memory = memory;
        wanted
    };
    let mut counts = Vec::new();
    for memory in [64 << 20, 9 << 20] {
        let output = tempfile::tempdir().unwrap();
        let done = run(&sources, with(memory, output.path())).await.unwrap();
        assert_eq!(
            all_observed(&content(output.path()).0),
            all_observed(&naive(&rows, &TenantId::default(), range(), &[]))
        );
        counts.push(done.summary.blocks.len());
    }
    assert_eq!(counts, [1, 3]);
    let output = tempfile::tempdir().unwrap();
    let error = run(&sources, with(7 << 20, output.path()))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("--max-memory: raise it to"), "{error}");
    assert!(
        names(output.path()).iter().all(|name| name.len() < 26),
        "no half block is left"
    );
}

fn pair(series: &[(&str, &str)], at: i64, value: f64) -> (TenantId, Labels, crate::support::Row) {
    (TenantId::default(), labels(series), sample(at, value))
}

#[tokio::test]
async fn external_labels_are_stripped_whatever_that_does_to_the_order() {
    let mut archive = TestArchive::new();
    let rows: Rows = vec![
        pair(&[("__name__", "m"), ("b", "1"), ("cluster", "x")], 10, 1.0),
        pair(&[("__name__", "m"), ("cluster", "x")], 10, 2.0),
        pair(&[("__name__", "m"), ("cluster", "x"), ("z", "1")], 10, 3.0),
        // Its own label, not the external one.
        pair(&[("__name__", "m"), ("b", "2"), ("cluster", "own")], 10, 4.0),
        pair(&[("__name__", "n")], 10, 5.0),
    ];
    archive.flush(&rows).await;
    let stripped = |strip: &str| ExportArguments {
        strip: vec![strip.to_owned()],
        ..arguments("x", &[])
    };
    let output = tempfile::tempdir().unwrap();
    export(&archive, Vec::new(), stripped("cluster=x"), range(), output.path())
        .await
        .unwrap();
    let values: BTreeMap<String, f64> = content(output.path())
        .0
        .into_iter()
        .map(|(labels, runs)| (labels.to_string(), runs.samples.values[0]))
        .collect();
    let expected = [
        (r#"{__name__="m", b="1"}"#, 1.0),
        (r#"{__name__="m", b="2", cluster="own"}"#, 4.0),
        (r#"{__name__="m", z="1"}"#, 3.0),
        (r#"{__name__="m"}"#, 2.0),
        (r#"{__name__="n"}"#, 5.0),
    ];
    assert_eq!(
        values,
        expected.map(|(labels, value)| (labels.to_owned(), value)).into()
    );
}

#[tokio::test]
async fn series_that_become_equal_are_named_or_joined() {
    let mut archive = TestArchive::new();
    let rows: Rows = vec![
        pair(&[("__name__", "m"), ("r", "a")], 10, 1.0),
        pair(&[("__name__", "m"), ("r", "a")], 20, 2.0),
        pair(&[("__name__", "m"), ("r", "b")], 20, 9.0),
        pair(&[("__name__", "m"), ("r", "b")], 30, 3.0),
    ];
    archive.flush(&rows).await;
    let output = tempfile::tempdir().unwrap();
    let arguments = |join_equal| ExportArguments {
        strip: vec!["r".to_owned()],
        join_equal,
        ..arguments("x", &[])
    };
    let error = export(&archive, Vec::new(), arguments(false), range(), output.path())
        .await
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains(r#"{__name__="m", r="a"}"#) && text.contains(r#"{__name__="m", r="b"}"#),
        "{text}"
    );
    let output = tempfile::tempdir().unwrap();
    let done = export(&archive, Vec::new(), arguments(true), range(), output.path())
        .await
        .unwrap();
    let found = content(output.path()).0;
    let runs = &found[&labels(&[("__name__", "m")])];
    assert_eq!(runs.samples.timestamps, [10, 20, 30]);
    // Of two at one time the one with the larger bits, as everywhere.
    assert_eq!((runs.samples.values[1], done.summary.conflicts), (9.0, 1));
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_how_much_it_would_be() {
    let (archive, _) = archive(10..13).await;
    let output = tempfile::tempdir().unwrap();
    let mut wanted = plain(arguments("x", &[]), range(), output.path());
    wanted.options.run = RunKind::Dry;
    let Done { table, report, .. } = run(&Sources::new(archive.store.clone(), Vec::new()), wanted)
        .await
        .unwrap();
    assert_eq!(table.lines().count(), 1 + 3, "{table}");
    // Each window has three series of 200 samples.
    assert!(table.lines().skip(1).all(|line| line.contains("  600  ")), "{table}");
    assert!(
        report.contains("3 blocks") && report.contains("at most 1800 samples"),
        "{report}"
    );
    assert_eq!(names(output.path()), [""; 0]);
}

#[tokio::test]
async fn blocks_for_buckets_say_what_their_readers_ask_for() {
    let (archive, _) = archive(10..11).await;
    for (format, expected) in [
        (BlockFormat::Thanos, serde_json::json!({"cluster": "x"})),
        (BlockFormat::Mimir, serde_json::json!({})),
    ] {
        let output = tempfile::tempdir().unwrap();
        let arguments = ExportArguments {
            strip: vec!["cluster=x".to_owned()],
            format,
            ..arguments("x", &[])
        };
        let done = export(&archive, Vec::new(), arguments, range(), output.path())
            .await
            .unwrap();
        let block = output.path().join(done.summary.blocks[0].ulid.to_string());
        let meta: serde_json::Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
        let size = |name: &str| fs::metadata(block.join(name)).unwrap().len();
        assert_eq!(
            meta["thanos"],
            serde_json::json!({
                "version": 1,
                "labels": expected,
                "downsample": {"resolution": 0},
                "source": "emberkeep",
                "segment_files": ["000001"],
                "files": [
                    {"rel_path": "chunks/000001", "size_bytes": size("chunks/000001")},
                    {"rel_path": "index", "size_bytes": size("index")},
                    {"rel_path": "meta.json"}
                ]
            })
        );
        assert_eq!((&meta["version"], &meta["compaction"]["level"]), (&1.into(), &1.into()));
        assert!(!block.join("tombstones").exists());
    }
}

#[tokio::test]
async fn without_verification_the_blocks_are_the_same() {
    let (archive, all) = archive(10..12).await;
    let output = tempfile::tempdir().unwrap();
    let mut wanted = plain(arguments("x", &[]), range(), output.path());
    wanted.options.verification = Verification::LeftOut;
    let done = run(&Sources::new(archive.store.clone(), Vec::new()), wanted)
        .await
        .unwrap();
    assert!(done.report.contains("not read back"), "{}", done.report);
    assert_eq!(
        all_observed(&content(output.path()).0),
        all_observed(&naive(&all, &TenantId::default(), range(), &[]))
    );
}

/// Bytes below a directory; what vanishes meanwhile counts nothing.
fn bytes_below(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Names of the blocks that the state says are finished.
fn finished(output: &Path) -> Vec<String> {
    let Ok(bytes) = fs::read(output.join(STATE_FILE)) else {
        return Vec::new();
    };
    let state: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let blocks = state["blocks"].as_object().unwrap().values();
    let done = blocks.filter(|block| block["finished"] == true);
    done.map(|block| block["ulid"].as_str().unwrap().to_owned()).collect()
}

/// The program is killed at ten points, each further on, and completes what it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_ten_times_is_completed() {
    let (archive, all) = archive(10..22).await;
    let output = tempfile::tempdir().unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    let yaml = format!(
        "type: FILESYSTEM\nconfig: {{directory: {}}}\n",
        serde_json::to_string(archive.directory.path()).unwrap()
    );
    fs::write(config.path(), yaml).unwrap();
    let command = |slowly: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reader"));
        command
            .args([
                "export-tsdb",
                "--from=1970-01-01T00:00:00Z",
                "--to=1971-01-01T00:00:00Z",
            ])
            .args(["--parallel=2", "--block-duration=6h", "--objstore.config-file"])
            .arg(config.path())
            .arg("--output")
            .arg(output.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if slowly {
            command.arg("--max-bytes-per-second=100KB");
        }
        command
    };
    let mut kept: Vec<String> = Vec::new();
    let mut random = rand::rng();
    for round in 0..10 {
        let before = bytes_below(output.path());
        let wanted = before + random.random_range(1..12_000_u64);
        let mut child = command(true).spawn().unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        while child.try_wait().unwrap().is_none() && bytes_below(output.path()) < wanted {
            pace.tick().await;
        }
        child.kill().unwrap();
        let status = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&status.stderr);
        assert!(!stderr.contains("error"), "round {round}: {stderr}");
        if status.status.success() {
            break;
        }
        let done = finished(output.path());
        assert!(
            kept.iter().all(|ulid| done.contains(ulid)),
            "round {round}: {kept:?} {done:?}"
        );
        kept = done;
    }
    if output.path().join(STATE_FILE).exists() || kept.is_empty() {
        let last = command(false).output().unwrap();
        assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    }
    let (found, metas) = content(output.path());
    assert_eq!(
        all_observed(&found),
        all_observed(&naive(&all, &TenantId::default(), range(), &[]))
    );
    assert!(
        kept.iter()
            .all(|ulid| metas.iter().any(|meta| meta.ulid.to_string() == *ulid))
    );
    assert!(
        names(output.path()).iter().all(|name| name.len() == 26),
        "{:?}",
        names(output.path())
    );
}
