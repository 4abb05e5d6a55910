//! The k-way merge gives what the definition says, whatever is spread over whichever parts and head.

use std::sync::Arc;

use emberkeep_model::{MatchOp, Matcher, Run, STALE_MARKER_BITS, Sample, TenantId, TimeRange};
use emberkeep_reader::{Query, Reader, ReaderSettings, Selection};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{RECEIVER, Rows, Series, TestArchive, TestHead, all_bits, labels, naive};

const VALUES: [u64; 6] = [
    0,
    1 << 63,
    0x3ff0_0000_0000_0000,
    STALE_MARKER_BITS,
    0x7ff8_0000_0000_0001,
    0x4009_21fb_5444_2d18,
];

/// Rows of few series, times and values, so that duplicates and conflicts are common.
fn rows() -> impl Strategy<Value = Rows> {
    let row = (
        0..2usize,
        0..6usize,
        -20..20i64,
        0..VALUES.len(),
        prop_oneof![4 => Just(0i64), 1 => 1..3i64],
    );
    prop::collection::vec(row, 1..60).prop_map(|rows| {
        let made = rows
            .into_iter()
            .map(|(tenant, series, timestamp, value, start_timestamp)| {
                let tenant = TenantId::parse(["anonymous", "other"][tenant]).unwrap();
                let labels = match series {
                    0 => labels(&[("__name__", "a")]),
                    1 => labels(&[("__name__", "a"), ("job", "x")]),
                    2 => labels(&[("__name__", "a"), ("job", "y"), ("z", "1")]),
                    3 => labels(&[("__name__", "b"), ("job", "x")]),
                    4 => labels(&[("A", "1"), ("__name__", "a")]),
                    _ => labels(&[("job", "xy")]),
                };
                (
                    tenant,
                    labels,
                    Sample {
                        timestamp,
                        value: f64::from_bits(VALUES[value]),
                        start_timestamp,
                    },
                )
            });
        made.collect()
    })
}

fn matchers() -> impl Strategy<Value = Vec<(&'static str, MatchOp, &'static str)>> {
    let one = prop_oneof![
        Just(("job", MatchOp::Equal, "x")),
        Just(("job", MatchOp::Equal, "")),
        Just(("job", MatchOp::NotEqual, "x")),
        Just(("job", MatchOp::Regex, "x|y")),
        Just(("job", MatchOp::NotRegex, "x.*")),
        Just(("__name__", MatchOp::Equal, "a")),
        Just(("__name__", MatchOp::Regex, ".+")),
    ];
    prop::collection::vec(one, 0..3)
}

async fn collect(reader: &Reader, query: &Query) -> Series {
    let mut scan = reader.scan(query).await.unwrap();
    let mut found = Vec::new();
    while let Some(series) = scan.next().await.unwrap() {
        assert!(series.run.is_settled() && !series.run.is_empty());
        found.push((series.labels, series.run));
    }
    assert!(
        found.is_sorted_by(|a, b| a.0 < b.0),
        "series come in label order, each once"
    );
    found.into_iter().collect()
}

#[test]
fn any_rows_in_any_parts_are_what_the_definition_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let sources = prop::collection::vec(rows(), 1..5);
    let strategy = (sources, prop::option::of(rows()), matchers(), -25..25i64, 0..40i64);
    TestRunner::new(config)
        .run(&strategy, |(parts, head, matchers, start, length)| {
            let case = async {
                let mut archive = TestArchive::new();
                for rows in &parts {
                    archive.flush(rows).await;
                }
                let heads = head
                    .iter()
                    .map(|rows| TestHead::source(rows.clone(), archive.committed()));
                let reader = archive.reader(heads.collect(), ReaderSettings::default());
                let made = matchers
                    .iter()
                    .map(|&(name, op, value)| Matcher::new(name, op, value).unwrap());
                let matchers: Arc<[Matcher]> = made.collect();
                let query = Query {
                    tenant: TenantId::default(),
                    range: TimeRange {
                        start,
                        end: start + length,
                    },
                    selection: Selection::of(Arc::clone(&matchers)),
                };
                let everything: Rows = parts.iter().chain(&head).flatten().cloned().collect();
                let expected = naive(&everything, &query.tenant, query.range, &matchers);
                let found = collect(&reader, &query).await;
                prop_assert_eq!(all_bits(&found), all_bits(&expected));
                let starts = |series: &Series| -> Vec<Vec<i64>> {
                    series
                        .values()
                        .map(|run| run.iter().map(|sample| sample.start_timestamp).collect())
                        .collect()
                };
                prop_assert_eq!(starts(&found), starts(&expected));
                Ok::<(), TestCaseError>(())
            };
            runtime.block_on(case)
        })
        .unwrap();
}

fn run_of(timestamps: impl Iterator<Item = i64>) -> Run {
    timestamps
        .map(|timestamp| Sample {
            timestamp,
            value: timestamp as f64 / 4.0,
            start_timestamp: 0,
        })
        .collect()
}

/// Series longer than any buffer: parts that follow one another, that interleave, and one that lies across all of them.
#[tokio::test]
async fn long_series_are_merged_in_pieces() {
    let mut archive = TestArchive::new();
    let name = labels(&[("__name__", "long")]);
    let after = labels(&[("__name__", "next")]);
    let count = 150_000;
    let runs = [
        run_of((0..count).map(|i| i * 2)),
        run_of((0..count).map(|i| i * 2 + 1)),
        run_of((0..count).map(|i| i + count)),
        run_of((0..1_000).map(|i| 10 * count + i)),
        run_of([0, 5 * count, 20 * count].into_iter()),
    ];
    let mut expected: Vec<i64> = runs.iter().flat_map(|run| run.timestamps.clone()).collect();
    expected.sort_unstable();
    expected.dedup();
    for run in runs {
        let tenant = TenantId::default();
        archive
            .flush_runs([
                (tenant.clone(), name.clone(), run),
                (tenant, after.clone(), run_of(0..3)),
            ])
            .await;
    }
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = Query {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let mut scan = reader.scan(&query).await.unwrap();
    assert_eq!(scan.next_series().await.unwrap(), Some(name));
    let (mut found, mut piece) = (Vec::new(), Run::default());
    while scan.next_piece(&mut piece).await.unwrap() {
        assert!(piece.len() < 200_000, "a piece has a bounded size, not {}", piece.len());
        assert!(piece.iter().all(|sample| sample.value == sample.timestamp as f64 / 4.0));
        found.extend_from_slice(&piece.timestamps);
    }
    assert_eq!(found, expected);
    let next = scan.next().await.unwrap().unwrap();
    assert_eq!((next.labels, next.run.timestamps), (after, vec![0, 1, 2]));
    assert!(scan.next().await.unwrap().is_none());
    assert_eq!(scan.conflicts(), 0);
}

#[tokio::test]
async fn a_series_may_be_left_in_the_middle() {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    for offset in 0..3 {
        let runs = ["a", "b", "c"].map(|name| {
            (
                tenant.clone(),
                labels(&[("__name__", name)]),
                run_of((0..50_000).map(|i| i * 3 + offset)),
            )
        });
        archive.flush_runs(runs).await;
    }
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = Query {
        tenant,
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let mut scan = reader.scan(&query).await.unwrap();
    let mut piece = Run::default();
    assert!(scan.next_series().await.unwrap().is_some());
    assert!(scan.next_piece(&mut piece).await.unwrap());
    assert_eq!(scan.next_labels().await.unwrap(), Some(labels(&[("__name__", "b")])));
    let last = scan.next().await.unwrap().unwrap();
    assert_eq!(last.labels, labels(&[("__name__", "c")]));
    assert_eq!(last.run.timestamps, (0..150_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn more_parts_than_the_limit_are_refused_before_any_is_opened() {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    for start in [0, 1_000, 2_000] {
        archive
            .flush_runs([(tenant.clone(), labels(&[("__name__", "a")]), run_of(start..start + 10))])
            .await;
    }
    let reader = archive.reader(
        Vec::new(),
        ReaderSettings {
            part_limit: 2,
            ..ReaderSettings::default()
        },
    );
    let mut query = Query {
        tenant,
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let error = reader.scan(&query).await.unwrap_err().to_string();
    assert!(
        error.contains("3 parts") && error.contains("--read.part-limit"),
        "{error}"
    );
    // Parts outside the range do not count.
    query.range = TimeRange { start: 0, end: 1_500 };
    assert_eq!(reader.scan(&query).await.unwrap().parts(), 2);
}

#[tokio::test]
async fn a_head_that_the_catalog_does_not_cover_is_not_ignored() {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    archive
        .flush_runs([(tenant.clone(), labels(&[("__name__", "a")]), run_of(0..10))])
        .await;
    let query = Query {
        tenant,
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let ahead = archive.reader(vec![TestHead::source(Rows::new(), 2)], ReaderSettings::default());
    let error = ahead.scan(&query).await.unwrap_err().to_string();
    assert!(error.contains("commit 2") && error.contains(RECEIVER), "{error}");
    let covered = archive.reader(vec![TestHead::source(Rows::new(), 1)], ReaderSettings::default());
    assert!(covered.scan(&query).await.is_ok());
}
