//! Export of what is not a plain float: histograms, start timestamps, and what lies beside the blocks.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::FileKind;
use emberkeep_model::{MetricType, STALE_MARKER_BITS, Sample, TenantId, TimeRange};
use emberkeep_reader::export::{ExportArguments, STATE_FILE};

use super::{WINDOW, arguments, blocks, export, names, rows};
use crate::bits::{all_observed, starts};
use crate::histograms;
use crate::model::naive;
use crate::support::{Row, Rows, TestArchive, TestHead, exemplar, labels, sample, seen};

/// Histograms of every sort and start timestamps, through both forms of blocks.
#[tokio::test]
async fn start_timestamps_are_in_the_blocks_when_asked_for() {
    let mut archive = TestArchive::new();
    let mut rows = Rows::new();
    for i in 0..600_i64 {
        let at = 20 * WINDOW + i * 10_000;
        let start = if i % 50 < 25 { at - 5_000 } else { 0 };
        let mut float = |name, start_timestamp| {
            let sample = Sample {
                timestamp: at,
                value: i as f64,
                start_timestamp,
            };
            rows.push((TenantId::default(), labels(&[("__name__", name)]), Row::Float(sample)));
        };
        float("started", start);
        float("plain", 0);
        for (name, made) in [
            ("counter", histograms::counter(i)),
            ("float_counter", histograms::float_counter(i)),
            ("sorts", histograms::sort(i as usize)),
        ] {
            let row = Row::Histogram(at, start, Arc::new(made));
            rows.push((TenantId::default(), labels(&[("__name__", name)]), row));
        }
    }
    archive.flush(&rows).await;
    let expected = naive(&rows, &TenantId::default(), TimeRange::ALL, &[]);
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let samples_with_start = starts(&expected).concat().iter().filter(|&&start| start != 0).count();

    let output = tempfile::tempdir().unwrap();
    let done = export(&archive, Vec::new(), arguments("x", &[]), range, output.path())
        .await
        .unwrap();
    let found = blocks(output.path());
    assert_eq!(all_observed(&found), all_observed(&expected));
    assert!(starts(&found).concat().iter().all(|&start| start == 0));
    let said = format!("{samples_with_start} samples have a start timestamp, which the blocks leave out");
    assert!(done.report.contains(&said), "{}", done.report);
    assert!(
        !done.table.contains("ST") && !done.table.contains("XOR2"),
        "{}",
        done.table
    );
    let line = |table: &str, kind: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(kind)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(line(&done.table, "floats ")[1], "1200");
    assert_eq!(line(&done.table, "all ").join(" "), "all Prometheus 2.54 and newer");

    let output = tempfile::tempdir().unwrap();
    let arguments = ExportArguments {
        start_timestamps: true,
        ..arguments("x", &[])
    };
    let done = export(&archive, Vec::new(), arguments, range, output.path())
        .await
        .unwrap();
    let found = blocks(output.path());
    assert_eq!(all_observed(&found), all_observed(&expected));
    assert_eq!(starts(&found), starts(&expected));
    assert!(done.report.contains("kept in the blocks"), "{}", done.report);
    for said in [
        "XOR, XOR2",
        "histogramST",
        "floathistogramST",
        "Prometheus 3.14 and newer",
    ] {
        assert!(done.table.contains(said), "{said} in {}", done.table);
    }
}

#[tokio::test]
async fn exemplars_and_metadata_lie_beside_the_blocks() {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    let requests = labels(&[("__name__", "requests_total"), ("job", "a")]);
    let up = labels(&[("__name__", "up"), ("job", "a\"b")]);
    let at = |n: i64| 30 * WINDOW + n * 1_000;
    let traced = |time, id| {
        (
            tenant.clone(),
            requests.clone(),
            exemplar(time, 6.5, &[("trace_id", id)]),
        )
    };
    let counter = seen(MetricType::Counter, "Requests.", at(1), at(2));
    let first: Rows = vec![
        (tenant.clone(), requests.clone(), sample(at(0), 1.0)),
        traced(at(0), "1"),
        traced(at(1), "2"),
        (
            tenant.clone(),
            labels(&[("__name__", "requests")]),
            Row::Family(counter),
        ),
        (
            TenantId::parse("other").unwrap(),
            up.clone(),
            exemplar(at(0), 1.0, &[("trace_id", "secret")]),
        ),
    ];
    let second: Rows = vec![
        // Again, and one in another window that has no sample.
        traced(at(1), "2"),
        traced(at(0) + WINDOW, "3"),
        (
            tenant.clone(),
            up.clone(),
            exemplar(at(5), f64::from_bits(STALE_MARKER_BITS), &[]),
        ),
        (
            tenant.clone(),
            up.clone(),
            Row::Metadata(seen(MetricType::Gauge, "Up.", at(3), at(4))),
        ),
    ];
    archive.flush(&first).await;
    archive.flush(&second).await;
    let head: Rows = vec![traced(at(2), "head")];
    let heads = || vec![TestHead::source(head.clone(), 2)];
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let read = |output: &Path, name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(output.join(name)).unwrap()).unwrap()
    };

    let output = tempfile::tempdir().unwrap();
    let done = export(&archive, heads(), arguments("x", &[]), range, output.path())
        .await
        .unwrap();
    assert_eq!(
        read(output.path(), "exemplars.json"),
        serde_json::json!([
            {"seriesLabels": {"__name__": "requests_total", "job": "a"}, "exemplars": [
                {"labels": {"trace_id": "1"}, "value": "6.5", "timestamp": 216_000},
                {"labels": {"trace_id": "2"}, "value": "6.5", "timestamp": 216_001},
                {"labels": {"trace_id": "head"}, "value": "6.5", "timestamp": 216_002},
            ]},
            {"seriesLabels": {"__name__": "up", "job": "a\"b"}, "exemplars": [
                {"labels": {}, "value": "NaN", "valueBits": "7ff0000000000002", "timestamp": 216_005},
            ]},
            {"seriesLabels": {"__name__": "requests_total", "job": "a"}, "exemplars": [
                {"labels": {"trace_id": "3"}, "value": "6.5", "timestamp": 223_200},
            ]},
        ])
    );
    assert_eq!(
        read(output.path(), "metadata.json"),
        serde_json::json!({
            "requests": [{"type": "counter", "help": "Requests.", "unit": "", "firstSeen": 216_001, "lastSeen": 216_002}],
            "up": [
                {"series": {"__name__": "up", "job": "a\"b"}, "type": "gauge", "help": "Up.", "unit": "", "firstSeen": 216_003, "lastSeen": 216_004},
            ],
        })
    );
    assert_eq!(
        (done.summary.exemplars, done.summary.families, done.summary.blocks.len()),
        (5, 2, 1)
    );
    assert!(done.report.contains("1 block with 1 sample of"), "{}", done.report);
    for said in [
        "5 exemplars in ",
        "exemplars.json",
        "2 families with metadata",
        "metadata.json",
    ] {
        assert!(done.report.contains(said), "{said} in {}", done.report);
    }
    assert_eq!(names(output.path()).len(), 3);

    // Only what belongs to the selected series.
    let output = tempfile::tempdir().unwrap();
    export(
        &archive,
        heads(),
        arguments("x", &["requests_total"]),
        range,
        output.path(),
    )
    .await
    .unwrap();
    assert_eq!(read(output.path(), "exemplars.json").as_array().unwrap().len(), 2);
    let families = read(output.path(), "metadata.json");
    assert_eq!(families.as_object().unwrap().keys().collect::<Vec<_>>(), ["requests"]);

    // Samples are not needed for it.
    let output = tempfile::tempdir().unwrap();
    let done = export(&archive, heads(), arguments("x", &["up"]), range, output.path())
        .await
        .unwrap();
    assert!(
        done.report.contains("no block written") && done.report.contains("1 exemplar in"),
        "{}",
        done.report
    );
    assert_eq!(names(output.path()), ["exemplars.json", "metadata.json"]);
}

/// What was said of a series follows every matcher, what was said of a family its name.
#[tokio::test]
async fn metadata_of_series_is_told_apart() {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    let of = |name, job| labels(&[("__name__", name), ("job", job)]);
    let gauge = |help, at| seen(MetricType::Gauge, help, at, at);
    let first: Rows = vec![
        (tenant.clone(), of("up", "a"), sample(30 * WINDOW, 1.0)),
        (tenant.clone(), of("up", "a"), Row::Metadata(gauge("Of a.", 2_000))),
        (tenant.clone(), of("up", "b"), Row::Metadata(gauge("Of b.", 2_000))),
        (tenant.clone(), of("up", "family"), Row::Family(gauge("Of all.", 3_000))),
        (
            tenant.clone(),
            of("down", "a"),
            Row::Metadata(gauge("Of another.", 1_000)),
        ),
    ];
    let second: Rows = vec![
        (tenant.clone(), of("up", "a"), sample(30 * WINDOW + 1, 1.0)),
        (tenant.clone(), of("up", "a"), Row::Metadata(gauge("Of a.", 5_000))),
        (
            tenant.clone(),
            of("up", "a"),
            Row::Metadata(gauge("Of a, newer.", 6_000)),
        ),
    ];
    archive.flush(&first).await;
    archive.flush(&second).await;
    let head: Rows = vec![(tenant.clone(), of("up", "a"), Row::Metadata(gauge("Of a.", 9_000)))];
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let entry = |series: Option<&str>, help: &str, first: i64, last: i64| {
        let mut entry = serde_json::json!({
            "type": "gauge", "help": help, "unit": "", "firstSeen": first, "lastSeen": last,
        });
        if let Some(job) = series {
            entry["series"] = serde_json::json!({"__name__": "up", "job": job});
        }
        entry
    };
    let of_a = [entry(Some("a"), "Of a, newer.", 6, 6), entry(Some("a"), "Of a.", 2, 9)];
    let all = |of_series: &[serde_json::Value]| {
        let entries = [&[entry(None, "Of all.", 3, 3)][..], of_series].concat();
        serde_json::json!({ "up": entries })
    };
    let of_both = [of_a.as_slice(), &[entry(Some("b"), "Of b.", 2, 2)]].concat();
    for (selectors, expected) in [
        (&["up"][..], all(&of_both)),
        (&["up{job=\"a\"}"], all(&of_a)),
        (&["up{job=\"c\"}"], all(&[])),
        (&["up{job=\"b\"}", "up{job!~\"b|c\"}"], all(&of_both)),
    ] {
        let output = tempfile::tempdir().unwrap();
        let heads = vec![TestHead::source(head.clone(), 2)];
        let done = export(&archive, heads, arguments("x", selectors), range, output.path())
            .await
            .unwrap();
        let text = fs::read_to_string(output.path().join("metadata.json")).unwrap();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found, expected, "{selectors:?}");
        assert_eq!((done.summary.families, text.lines().count()), (1, 3));
    }
}

/// Two producers of one series: the table of blocks cannot show what lost, so the report does, also of kept blocks.
#[tokio::test]
async fn conflicts_are_told() {
    let mut archive = TestArchive::new();
    let twice = labels(&[("__name__", "twice"), ("job", "a")]);
    let rows = |window: i64, value: f64| -> Rows {
        let row = |n: i64| {
            // The first is equal in both and no conflict.
            let value = if n == 0 { 1.0 } else { value };
            (
                TenantId::default(),
                twice.clone(),
                sample(window * WINDOW + n * 1_000, value),
            )
        };
        (0..4).map(row).collect()
    };
    archive.flush(&rows(10, 1.0)).await;
    archive.flush(&rows(10, 2.0)).await;
    let broken = archive.flush(&rows(12, 1.0)).await;
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let output = tempfile::tempdir().unwrap();
    let samples = archive.file(&broken, FileKind::Samples);
    let bytes = fs::read(&samples).unwrap();
    fs::remove_file(&samples).unwrap();
    let run = || export(&archive, Vec::new(), arguments("x", &[]), range, output.path());
    assert!(run().await.is_err());
    fs::write(&samples, bytes).unwrap();
    let done = run().await.unwrap();
    assert_eq!((done.summary.kept, done.summary.conflicts), (1, 3));
    assert_eq!(
        done.summary.content.conflict_example(),
        Some(twice.to_string().as_str())
    );
    let said = format!(
        "warning: 3 samples lost against a different one of the same series and time and stayed out of the blocks, \
         for example of {twice}\n"
    );
    assert!(done.report.contains(&said), "{}", done.report);

    let output = tempfile::tempdir().unwrap();
    let newer = TimeRange {
        start: 11 * WINDOW,
        ..range
    };
    let done = export(&archive, Vec::new(), arguments("x", &[]), newer, output.path())
        .await
        .unwrap();
    assert_eq!(done.summary.conflicts, 0);
    assert!(done.report.contains("no conflicts"), "{}", done.report);
}

/// A run that died among the files beside the blocks writes them anew; one of versions 1 and 2 is continued.
#[tokio::test]
async fn files_beside_the_blocks_belong_to_the_interrupted_run() {
    let mut archive = TestArchive::new();
    let traced: Rows = vec![(
        TenantId::default(),
        labels(&[("__name__", "m"), ("job", "a")]),
        exemplar(10 * WINDOW, 1.0, &[]),
    )];
    archive.flush(&rows(10..11)).await;
    let broken = archive.flush(&traced).await;
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let output = tempfile::tempdir().unwrap();
    let exemplars = archive.file(&broken, FileKind::Exemplars);
    let bytes = fs::read(&exemplars).unwrap();
    fs::remove_file(&exemplars).unwrap();
    let run = || export(&archive, Vec::new(), arguments("x", &[]), range, output.path());
    assert!(run().await.is_err());
    let state_path = output.path().join(STATE_FILE);
    let state = fs::read_to_string(&state_path).unwrap();
    assert!(state.contains("\"exemplars.json\""), "{state}");
    fs::write(output.path().join("exemplars.json.tmp"), "half").unwrap();
    fs::write(output.path().join("exemplars.json"), "old").unwrap();
    // Not named in the state, so not ours.
    let foreign = output.path().join("metadata.json");
    fs::write(&foreign, "foreign").unwrap();
    assert!(run().await.err().unwrap().to_string().contains("`metadata.json`"));
    fs::remove_file(foreign).unwrap();
    fs::write(&exemplars, bytes).unwrap();
    let done = run().await.unwrap();
    assert_eq!((done.summary.kept, done.summary.exemplars), (1, 1));
    assert!(
        done.table.contains("floats") && done.table.contains("histograms"),
        "{}",
        done.table
    );
    let left = names(output.path());
    assert_eq!((left.len(), left[1].as_str()), (2, "exemplars.json"));

    // The block of the run above, as versions 1 (not begun yet) and 2 remember it.
    let block = done.summary.blocks[0].clone();
    let start = block.min_time.div_euclid(WINDOW) * WINDOW;
    let finished = serde_json::json!({start.to_string(): {"ulid": block.ulid.to_string(), "finished": true}});
    for (version, blocks, kept) in [(1, serde_json::json!({}), 0), (2, finished, 1)] {
        let old = tempfile::tempdir().unwrap();
        let state = serde_json::json!({
            "version": version, "tenant": "anonymous", "from": "x", "match": [], "head_url": [],
            "start_ms": 0, "end_ms": 100 * WINDOW, "root": 0, "blocks": blocks,
        });
        fs::write(old.path().join(STATE_FILE), state.to_string()).unwrap();
        if kept > 0 {
            let name = block.ulid.to_string();
            fs::rename(output.path().join(&name), old.path().join(&name)).unwrap();
        }
        let done = export(&archive, Vec::new(), arguments("x", &[]), range, old.path())
            .await
            .unwrap();
        assert_eq!((done.summary.blocks.len(), done.summary.kept), (1, kept));
    }
}
