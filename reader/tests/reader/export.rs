//! Export to blocks: what lies in them is what lies in the archive, and an interrupted run is completed.

mod kinds;
mod scale;
mod targets;

use std::fs;
use std::path::Path;

use emberkeep_archive::FileKind;
use emberkeep_model::{STALE_MARKER_BITS, TenantId, TimeRange};
use emberkeep_reader::export::{
    Console, Export, ExportArguments, ExportOptions, ExportSummary, STATE_FILE, Target, TargetFacts, progress,
};
use emberkeep_reader::{HeadSource, ReaderError, Selection, Sources};
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockReader};

use crate::bits::all_observed;
use crate::histograms::{self, SORTS};
use crate::model::naive;
use crate::support::{Row, Rows, Series, TestArchive, TestHead, histogram, labels, sample};

const WINDOW: i64 = BLOCK_DURATION_MS;

fn rows(windows: std::ops::Range<i64>) -> Rows {
    let mut rows = Rows::new();
    for window in windows {
        for (series, job) in ["a", "b", "c"].iter().enumerate() {
            for i in 0..200 {
                let value = if i % 50 == 49 {
                    f64::from_bits(STALE_MARKER_BITS)
                } else {
                    i as f64 / 8.0
                };
                let timestamp = window * WINDOW + i * 30_000 + series as i64;
                let row = match (series, i % 20) {
                    (1, _) => histogram(timestamp, histograms::counter(i)),
                    (2, 0..10) => histogram(timestamp, histograms::sort(i as usize % SORTS)),
                    _ => sample(timestamp, value),
                };
                rows.push((TenantId::default(), labels(&[("__name__", "m"), ("job", job)]), row));
            }
        }
    }
    rows.push((
        TenantId::parse("other").unwrap(),
        labels(&[("__name__", "secret")]),
        sample(5 * WINDOW, 1.0),
    ));
    rows
}

fn time_of(row: &Row) -> i64 {
    match row {
        Row::Float(sample) => sample.timestamp,
        Row::Histogram(timestamp, ..) => *timestamp,
        Row::Exemplar(exemplar) => exemplar.timestamp,
        Row::Metadata(_) | Row::Family(_) => panic!("it has no time"),
    }
}

/// How many lines the table of kinds has for these samples, custom buckets included.
fn kinds(series: &Series) -> usize {
    let histograms = || {
        let rows = series.values().flat_map(|runs| runs.histograms.iter());
        rows.map(|row| row.histogram())
    };
    [
        series.values().any(|runs| !runs.samples.is_empty()),
        histograms().any(|histogram| !histogram.is_float()),
        histograms().any(|histogram| histogram.is_float()),
        histograms().any(|histogram| histogram.has_custom_buckets()),
    ]
    .into_iter()
    .filter(|&there| there)
    .count()
}

fn arguments(from: &str, matches: &[&str]) -> ExportArguments {
    ExportArguments {
        tenant: TenantId::default(),
        from: from.to_owned(),
        to: None,
        matches: matches.iter().map(|&text| text.to_owned()).collect(),
        heads: Vec::new(),
        block_duration: Some("2h".to_owned()),
        ..ExportArguments::default()
    }
}

struct Done {
    summary: ExportSummary,
    table: String,
    report: String,
}

async fn export(
    archive: &TestArchive,
    heads: Vec<HeadSource>,
    arguments: ExportArguments,
    range: TimeRange,
    output: &Path,
) -> Result<Done, ReaderError> {
    let export = plain(arguments, range, output);
    run(&Sources::new(archive.store.clone(), heads), export).await
}

/// An export into a directory of its own, one block after the other, so that names follow time.
fn plain(arguments: ExportArguments, range: TimeRange, output: &Path) -> Export {
    Export {
        selection: Selection::parse(&arguments.matches).unwrap(),
        arguments,
        range,
        output: output.to_owned(),
        now_ms: range.end,
        options: ExportOptions {
            parallel: 1,
            ..ExportOptions::default()
        },
        target: Target::default(),
        facts: TargetFacts::default(),
    }
}

async fn run(sources: &Sources, export: Export) -> Result<Done, ReaderError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        bar: progress(),
    };
    let summary = export.run(sources, &mut console).await?;
    Ok(Done {
        summary,
        table: String::from_utf8(out).unwrap(),
        report: String::from_utf8(err).unwrap(),
    })
}

/// Everything in a directory, by name.
fn names(output: &Path) -> Vec<String> {
    let entries = fs::read_dir(output).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All blocks of a directory, which must hold nothing else but the files beside them.
fn blocks(output: &Path) -> Series {
    let mut found = Series::new();
    let mut last_max = i64::MIN;
    for name in names(output) {
        if ["exemplars.json", "metadata.json"].contains(&name.as_str()) {
            continue;
        }
        let mut block = BlockReader::open(&output.join(&name)).unwrap();
        let meta = block.meta().clone();
        assert!(meta.min_time >= last_max, "blocks follow one another by name");
        assert_eq!(
            meta.min_time.div_euclid(WINDOW),
            (meta.max_time - 1).div_euclid(WINDOW),
            "aligned"
        );
        last_max = meta.max_time;
        block
            .verify(|labels, runs| found.entry(labels.clone()).or_default().append(runs))
            .unwrap();
    }
    found
}

#[tokio::test]
async fn blocks_hold_the_range_and_nothing_else() {
    let mut archive = TestArchive::new();
    let (first, second) = (rows(1_000..1_002), rows(1_001..1_004));
    // Years before everything else, in one part with the present: the windows between are not tried one by one.
    let late: Rows = vec![
        (
            TenantId::default(),
            labels(&[("__name__", "late")]),
            sample(-62_135_596_800_000, 1.0),
        ),
        (
            TenantId::default(),
            labels(&[("__name__", "late")]),
            sample(1_002 * WINDOW, 2.0),
        ),
    ];
    for rows in [&first, &second, &late] {
        archive.flush(rows).await;
    }
    let head: Rows = vec![(
        TenantId::default(),
        labels(&[("__name__", "m"), ("job", "a")]),
        sample(1_005 * WINDOW, 7.0),
    )];
    let everything: Rows = [first, second, late, head.clone()].concat();
    for (range, selectors) in [
        (
            TimeRange {
                start: i64::MIN,
                end: 2_000 * WINDOW,
            },
            &[][..],
        ),
        (
            TimeRange {
                start: 1_000 * WINDOW + 12_345,
                end: 1_002 * WINDOW + 60_000,
            },
            &["{job=\"a\"}"],
        ),
        (
            TimeRange {
                start: 0,
                end: 2_000 * WINDOW,
            },
            &["late", "m{job=~\"b|c\"}"],
        ),
    ] {
        let output = tempfile::tempdir().unwrap();
        let heads = vec![TestHead::source(head.clone(), archive.committed())];
        let done = export(&archive, heads, arguments("x", selectors), range, output.path())
            .await
            .unwrap();
        let selection = Selection::parse(selectors).unwrap();
        let mut expected = naive(&everything, &TenantId::default(), range, &[]);
        expected.retain(|labels, _| {
            selection.accepts(labels) && selection.common().iter().all(|m| m.matches_labels(labels))
        });
        assert_eq!(all_observed(&blocks(output.path())), all_observed(&expected));
        assert_eq!(
            done.table.lines().count(),
            // Both heads, an empty line between the tables, one line for each kind and one for all.
            1 + done.summary.blocks.len() + 2 + kinds(&expected) + 1,
            "{}",
            done.table
        );
        assert!(
            done.table
                .lines()
                .nth(1)
                .unwrap()
                .starts_with(&done.summary.blocks[0].ulid.to_string())
        );
        let samples: usize = expected.values().map(|runs| runs.len()).sum();
        let said = if samples == 1 { "sample" } else { "samples" };
        assert!(
            done.report.contains(&format!("with {samples} {said} of")),
            "{}",
            done.report
        );
        for said in ["no exemplars", "--storage.tsdb.retention.time=", "read_recent: true"] {
            assert!(done.report.contains(said), "{}", done.report);
        }
        // What is there now is a data directory and not an interrupted run.
        let again = export(&archive, Vec::new(), arguments("x", selectors), range, output.path()).await;
        assert!(matches!(again, Err(ReaderError::Output { .. })));
    }
}

#[tokio::test]
async fn nothing_to_export_is_no_block() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(10..11)).await;
    let output = tempfile::tempdir().unwrap();
    let range = TimeRange {
        start: 11 * WINDOW,
        end: 12 * WINDOW,
    };
    let done = export(&archive, Vec::new(), arguments("x", &[]), range, output.path())
        .await
        .unwrap();
    assert!(
        done.summary.blocks.is_empty() && done.report.contains("no samples"),
        "{}",
        done.report
    );
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 0);
    let empty = TestArchive::new();
    let error = export(&empty, Vec::new(), arguments("x", &[]), range, output.path())
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("nothing was ever committed"), "{error}");
}

#[tokio::test]
async fn an_interrupted_run_is_completed() {
    let mut archive = TestArchive::new();
    let all = rows(10..13);
    let in_window = |n: i64| -> Rows {
        all.iter()
            .filter(|(_, _, row)| time_of(row).div_euclid(WINDOW) == n)
            .cloned()
            .collect()
    };
    archive.flush(&in_window(10)).await;
    let broken = archive.flush(&in_window(11)).await;
    archive.flush(&in_window(12)).await;
    let output = tempfile::tempdir().unwrap();
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let samples = archive.file(&broken, FileKind::Samples);
    let bytes = fs::read(&samples).unwrap();
    fs::remove_file(&samples).unwrap();
    assert!(
        export(&archive, Vec::new(), arguments("-1h", &[]), range, output.path())
            .await
            .is_err()
    );

    // The first block is done, and the state says so. A kill would also have left the second half-made, or made and not read
    // back yet: both are done again.
    let state_path = output.path().join(STATE_FILE);
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&state_path).unwrap()).unwrap();
    let finished = state["blocks"][(10 * WINDOW).to_string()]["ulid"]
        .as_str()
        .unwrap()
        .to_owned();
    for (n, ulid, directory) in [
        (
            11,
            "01HF000000000000000000000A",
            "01HF000000000000000000000A.tmp-for-creation",
        ),
        (12, "01HF000000000000000000000B", "01HF000000000000000000000B"),
    ] {
        state["blocks"][(n * WINDOW).to_string()] = serde_json::json!({"ulid": ulid, "finished": false});
        fs::create_dir_all(output.path().join(directory).join("chunks")).unwrap();
    }
    fs::write(&state_path, state.to_string()).unwrap();
    fs::write(&samples, bytes).unwrap();

    let other = export(&archive, Vec::new(), arguments("-2h", &[]), range, output.path())
        .await
        .err()
        .unwrap();
    assert!(other.to_string().contains("--from was `-1h`"), "{other}");
    let other = export(&archive, Vec::new(), arguments("-1h", &["m"]), range, output.path())
        .await
        .err()
        .unwrap();
    assert!(other.to_string().contains("--match"), "{other}");

    // The same words mean another time by now; the range is the one that the export began with.
    let later = TimeRange {
        start: 11 * WINDOW,
        end: 200 * WINDOW,
    };
    let done = export(&archive, Vec::new(), arguments("-1h", &[]), later, output.path())
        .await
        .unwrap();
    assert_eq!((done.summary.kept, done.summary.blocks.len()), (1, 3));
    assert_eq!(done.summary.blocks[0].ulid.to_string(), finished);
    assert_eq!(
        done.table.lines().count(),
        4 + 2 + kinds(&naive(&all, &TenantId::default(), range, &[])) + 1
    );
    assert_eq!(
        all_observed(&blocks(output.path())),
        all_observed(&naive(&all, &TenantId::default(), range, &[]))
    );
}

#[tokio::test]
async fn foreign_directories_are_left_alone() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(10..11)).await;
    let range = TimeRange {
        start: 0,
        end: 100 * WINDOW,
    };
    let output = tempfile::tempdir().unwrap();
    fs::create_dir(output.path().join("wal")).unwrap();
    let error = export(&archive, Vec::new(), arguments("x", &[]), range, output.path())
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("`wal`"), "{error}");
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 1);
    // A state file of a later version, or none at all, is not guessed at.
    for content in ["{\"version\":4}", "{}", "nonsense"] {
        let output = tempfile::tempdir().unwrap();
        fs::write(output.path().join(STATE_FILE), content).unwrap();
        assert!(
            export(&archive, Vec::new(), arguments("x", &[]), range, output.path())
                .await
                .is_err(),
            "{content}"
        );
        assert_eq!(fs::read_to_string(output.path().join(STATE_FILE)).unwrap(), content);
    }
    let file = output.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(
        export(&archive, Vec::new(), arguments("x", &[]), range, &file)
            .await
            .is_err()
    );
}
