//! The k-way merge gives what the definition says, whatever is spread over whichever parts and head.

use std::sync::Arc;

use emberkeep_model::{
    Exemplar, HistogramRun, MatchOp, Matcher, MetricType, Run, STALE_MARKER_BITS, Sample, SeriesRuns, TenantId,
    TimeRange,
};
use emberkeep_reader::{FamilyFilter, Query, Reader, ReaderSettings, Scan, Selection};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::bits::{all_bits, starts};
use crate::histograms::{self, SORTS};
use crate::model::{naive, naive_exemplars};
use crate::support::{
    RECEIVER, Row, Rows, Series, TestArchive, TestHead, exemplar, float, floats, histogram, labels, sample, seen,
};

const VALUES: [u64; 6] = [
    0,
    1 << 63,
    0x3ff0_0000_0000_0000,
    STALE_MARKER_BITS,
    0x7ff8_0000_0000_0001,
    0x4009_21fb_5444_2d18,
];

/// One row of any kind; few values, so that duplicates and conflicts are common.
fn row() -> impl Strategy<Value = Row> {
    let start = || prop_oneof![4 => Just(0i64), 1 => 1..3i64];
    prop_oneof![
        3 => (-20..20i64, 0..VALUES.len(), start()).prop_map(|(timestamp, value, start_timestamp)| {
            Row::Float(Sample {
                timestamp,
                value: f64::from_bits(VALUES[value]),
                start_timestamp,
            })
        }),
        3 => (-20..20i64, 0..SORTS, start()).prop_map(|(timestamp, sort, start)| {
            Row::Histogram(timestamp, start, Arc::new(histograms::sort(sort)))
        }),
        2 => (-20..20i64, 0..VALUES.len(), 0..3usize).prop_map(|(timestamp, value, of)| {
            Row::Exemplar(Exemplar {
                timestamp,
                value: f64::from_bits(VALUES[value]),
                labels: [labels(&[]), labels(&[("trace_id", "a")]), labels(&[("trace_id", "b")])][of].clone(),
            })
        }),
        1 => (0..3i64).prop_map(|at| Row::Metadata(seen(MetricType::Counter, "help", at, at + 1))),
    ]
}

/// Rows of few series, in no order.
fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec((0..2usize, 0..6usize, row()), 1..60).prop_map(|rows| {
        let made = rows.into_iter().map(|(tenant, series, row)| {
            let tenant = TenantId::parse(["anonymous", "other"][tenant]).unwrap();
            let labels = match series {
                0 => labels(&[("__name__", "a")]),
                1 => labels(&[("__name__", "a"), ("job", "x")]),
                2 => labels(&[("__name__", "a"), ("job", "y"), ("z", "1")]),
                3 => labels(&[("__name__", "b"), ("job", "x")]),
                4 => labels(&[("A", "1"), ("__name__", "a")]),
                _ => labels(&[("job", "xy")]),
            };
            (tenant, labels, row)
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

async fn collect(mut scan: Scan) -> Series {
    let mut found = Vec::new();
    while let Some(series) = scan.next().await.unwrap() {
        assert!(series.runs.is_settled() && !series.runs.is_empty());
        found.push((series.labels, series.runs));
    }
    assert!(
        found.is_sorted_by(|a, b| a.0 < b.0),
        "series come in label order, each once"
    );
    found.into_iter().collect()
}

async fn labels_of(mut scan: Scan) -> Vec<emberkeep_model::Labels> {
    let mut found = Vec::new();
    while let Some(labels) = scan.next_labels().await.unwrap() {
        found.push(labels);
    }
    found
}

fn everything(tenant: TenantId) -> Query {
    Query {
        tenant,
        range: TimeRange::ALL,
        selection: Selection::all(),
    }
}

/// All kinds of one case against the definition.
async fn check(reader: &Reader, query: &Query, rows: &Rows, matchers: &[Matcher]) -> Result<(), TestCaseError> {
    let expected = naive(rows, &query.tenant, query.range, matchers);
    let found = collect(reader.scan(query).await.unwrap()).await;
    prop_assert_eq!(all_bits(&found), all_bits(&expected));
    prop_assert_eq!(starts(&found), starts(&expected));
    prop_assert!(found.values().all(|runs| runs.exemplars.is_empty()));

    let exemplars = collect(reader.exemplar_scan(query).await.unwrap()).await;
    prop_assert_eq!(exemplars, naive_exemplars(rows, &query.tenant, query.range, matchers));

    // Over all time a series is listed just when it has a sample.
    let all = Query {
        range: TimeRange::ALL,
        ..query.clone()
    };
    let listed = labels_of(reader.scan(&all).await.unwrap()).await;
    let expected = naive(rows, &query.tenant, TimeRange::ALL, matchers);
    prop_assert_eq!(listed, expected.into_keys().collect::<Vec<_>>());
    Ok(())
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
                check(&reader, &query, &everything, &matchers).await
            };
            runtime.block_on(case)
        })
        .unwrap();
}

fn run_of(timestamps: impl Iterator<Item = i64>) -> SeriesRuns {
    floats(
        timestamps
            .map(|timestamp| float(timestamp, timestamp as f64 / 4.0))
            .collect(),
    )
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
    let mut expected: Vec<i64> = runs.iter().flat_map(|runs| runs.samples.timestamps.clone()).collect();
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
    let query = everything(TenantId::default());
    let mut scan = reader.scan(&query).await.unwrap();
    assert_eq!(scan.next_series().await.unwrap(), Some(name));
    let (mut found, mut piece) = (Vec::new(), SeriesRuns::default());
    while scan.next_piece(&mut piece).await.unwrap() {
        assert!(piece.len() < 200_000, "a piece has a bounded size, not {}", piece.len());
        let samples = &piece.samples;
        assert!(
            samples
                .iter()
                .all(|sample| sample.value == sample.timestamp as f64 / 4.0)
        );
        found.extend_from_slice(&samples.timestamps);
    }
    assert_eq!(found, expected);
    let next = scan.next().await.unwrap().unwrap();
    assert_eq!((next.labels, next.runs.samples.timestamps), (after, vec![0, 1, 2]));
    assert!(scan.next().await.unwrap().is_none());
    assert_eq!(scan.conflicts().rows, 0);
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
    let query = everything(tenant);
    let mut scan = reader.scan(&query).await.unwrap();
    let mut piece = SeriesRuns::default();
    assert!(scan.next_series().await.unwrap().is_some());
    assert!(scan.next_piece(&mut piece).await.unwrap());
    assert_eq!(scan.next_labels().await.unwrap(), Some(labels(&[("__name__", "b")])));
    let last = scan.next().await.unwrap().unwrap();
    assert_eq!(last.labels, labels(&[("__name__", "c")]));
    assert_eq!(last.runs.samples.timestamps, (0..150_000).collect::<Vec<i64>>());
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
    let mut query = everything(tenant);
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
    let query = everything(tenant);
    let ahead = archive.reader(vec![TestHead::source(Rows::new(), 2)], ReaderSettings::default());
    let error = ahead.scan(&query).await.unwrap_err().to_string();
    assert!(error.contains("commit 2") && error.contains(RECEIVER), "{error}");
    let covered = archive.reader(vec![TestHead::source(Rows::new(), 1)], ReaderSettings::default());
    assert!(covered.scan(&query).await.is_ok());
}

/// Histograms of which a few fill a piece, beside floats of the same series that lie between them, in sources that interleave.
#[tokio::test]
async fn large_histograms_come_in_pieces_together_with_floats() {
    let mut archive = TestArchive::new();
    let name = labels(&[("__name__", "mixed")]);
    let wide = |n: i64| {
        let mut histogram = histograms::counter(n);
        histogram.positive_spans = vec![emberkeep_model::Span {
            offset: 0,
            length: 2_000,
        }];
        histogram.counts = emberkeep_model::Counts::Float {
            count: 1.0,
            zero_count: 0.0,
            positive: (0..2_000).map(|bucket| (bucket * n) as f64 / 7.0).collect(),
            negative: vec![0.5],
        };
        histogram
    };
    let mut expected = SeriesRuns::default();
    for offset in 0..3 {
        let mut runs = SeriesRuns::default();
        for i in 0..150 {
            let at = i * 3 + offset;
            runs.histograms.push(at * 10, 0, &wide(at));
            runs.samples.push(float(at * 10 + 5, at as f64));
        }
        expected.append(&runs);
        archive.flush_runs([(TenantId::default(), name.clone(), runs)]).await;
    }
    expected.settle();
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let mut scan = reader.scan(&everything(TenantId::default())).await.unwrap();
    assert_eq!(scan.next_series().await.unwrap(), Some(name));
    let (mut found, mut piece, mut pieces) = (SeriesRuns::default(), SeriesRuns::default(), 0);
    let mut newest = i64::MIN;
    while scan.next_piece(&mut piece).await.unwrap() {
        let bytes: usize = piece.histograms.iter().map(|row| row.canonical.len()).sum();
        assert!(bytes < 8 << 20, "{bytes} bytes in a piece");
        let (first, last) = piece.time_span().unwrap();
        assert!(first > newest, "pieces rise over both kinds");
        newest = last;
        found.append(&piece);
        pieces += 1;
    }
    assert!(pieces > 4, "{pieces}");
    assert_eq!(found, expected);
    assert_eq!(scan.conflicts().rows, 0);
}

/// More exemplars of one timestamp than any buffer holds, in several sources: each comes once.
#[tokio::test]
async fn exemplars_that_share_a_timestamp_are_one_set() {
    let mut archive = TestArchive::new();
    let name = labels(&[("__name__", "traced")]);
    let trace = |n: i32| {
        Row::Exemplar(Exemplar {
            timestamp: 1_000,
            value: 1.0,
            labels: labels(&[("trace_id", &format!("{n:0200}"))]),
        })
    };
    for (from, to) in [(0, 9_000), (4_000, 12_000)] {
        let mut rows: Rows = (from..to)
            .map(|n| (TenantId::default(), name.clone(), trace(n)))
            .collect();
        rows.push((
            TenantId::default(),
            name.clone(),
            exemplar(2_000 + i64::from(from), 2.0, &[]),
        ));
        archive.flush(&rows).await;
    }
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = everything(TenantId::default());
    let mut scan = reader.exemplar_scan(&query).await.unwrap();
    let series = scan.next().await.unwrap().unwrap();
    assert_eq!(series.runs.exemplars.len(), 12_002);
    assert!(series.runs.exemplars.is_settled());
    // It is no series of remote read.
    assert!(
        reader
            .scan(&query)
            .await
            .unwrap()
            .next_labels()
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_conflict_between_kinds_is_counted() {
    let mut archive = TestArchive::new();
    let name = labels(&[("__name__", "a")]);
    let of = |row| vec![(TenantId::default(), name.clone(), row)];
    archive.flush(&of(histogram(5, histograms::counter(1)))).await;
    archive.flush(&of(sample(5, f64::from_bits(STALE_MARKER_BITS)))).await;
    archive.flush(&of(sample(5, 1.0))).await;
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let mut scan = reader.scan(&everything(TenantId::default())).await.unwrap();
    let series = scan.next().await.unwrap().unwrap();
    let expected: Run = [float(5, 1.0)].into_iter().collect();
    assert_eq!(
        (series.runs.samples, series.runs.histograms),
        (expected, HistogramRun::default())
    );
    assert!(scan.next().await.unwrap().is_none());
    assert_eq!(
        (scan.conflicts().rows, scan.conflicts().example.as_ref()),
        (2, Some(&name))
    );
}

#[tokio::test]
async fn metadata_of_families_and_series_is_united() {
    let mut archive = TestArchive::new();
    let (tenant, other) = (TenantId::default(), TenantId::parse("other").unwrap());
    let up = labels(&[("__name__", "up"), ("job", "a")]);
    let family = labels(&[("__name__", "requests")]);
    let counter = |first, last| seen(MetricType::Counter, "Requests.", first, last);
    let first: Rows = vec![
        (tenant.clone(), up.clone(), sample(1_000, 1.0)),
        (
            tenant.clone(),
            up.clone(),
            Row::Metadata(seen(MetricType::Gauge, "Up.", 10, 20)),
        ),
        (tenant.clone(), family.clone(), Row::Family(counter(10, 20))),
        (
            other.clone(),
            family.clone(),
            Row::Family(seen(MetricType::Info, "secret", 10, 20)),
        ),
    ];
    let second: Rows = vec![
        (tenant.clone(), up.clone(), sample(2_000, 1.0)),
        (
            tenant.clone(),
            labels(&[("__name__", "up"), ("job", "b")]),
            Row::Metadata(seen(MetricType::Gauge, "Up.", 5, 7)),
        ),
        (tenant.clone(), family.clone(), Row::Family(counter(30, 40))),
    ];
    archive.flush(&first).await;
    archive.flush(&second).await;
    let head: Rows = vec![(
        tenant.clone(),
        family,
        Row::Family(seen(MetricType::Counter, "Other words.", 50, 60)),
    )];
    let reader = archive.reader(
        vec![TestHead::source(head, archive.committed())],
        ReaderSettings::default(),
    );
    let families = reader
        .metadata(&everything(tenant.clone()), FamilyFilter::Accepted(&|_| true))
        .await
        .unwrap();
    let shown: Vec<(&str, &str, i64, i64)> = families
        .iter()
        .flat_map(|(family, variants)| {
            variants
                .iter()
                .map(move |(metadata, seen)| (family.as_str(), metadata.help.as_str(), seen.first, seen.last))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("requests", "Other words.", 50, 60),
            ("requests", "Requests.", 10, 40),
            ("up", "Up.", 5, 20)
        ]
    );
    let families = reader
        .metadata(&everything(tenant), FamilyFilter::Named("up"))
        .await
        .unwrap();
    assert_eq!(families.keys().collect::<Vec<_>>(), ["up"]);
}

/// Exemplars and their parts have times of their own: one of 1970 must not draw a part into every query of old samples.
#[tokio::test]
async fn an_old_exemplar_is_found_and_opens_its_part_for_nobody_else() {
    const NEW: i64 = 1_700_000_000_000;
    let (mut archive, tenant) = (TestArchive::new(), TenantId::default());
    let series = labels(&[("__name__", "up")]);
    for (at, exemplar_at) in [(NEW, 0), (NEW + 60_000, NEW + 60_000)] {
        let rows = vec![
            (tenant.clone(), series.clone(), sample(at, 1.0)),
            (tenant.clone(), series.clone(), exemplar(exemplar_at, 2.0, &[])),
        ];
        archive.flush(&rows).await;
    }
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = |start, end| Query {
        tenant: tenant.clone(),
        range: TimeRange { start, end },
        selection: Selection::all(),
    };
    for (range, of_samples, of_exemplars) in [
        (query(-1_000, 1_000), 0, 1),
        (query(NEW - 1_000, NEW + 1_000), 1, 0),
        (query(0, NEW + 60_001), 2, 2),
    ] {
        assert_eq!(
            reader.scan(&range).await.unwrap().parts(),
            of_samples,
            "{:?}",
            range.range
        );
        let mut scan = reader.exemplar_scan(&range).await.unwrap();
        assert_eq!(scan.parts(), of_exemplars, "{:?}", range.range);
        let found = scan.next().await.unwrap();
        assert_eq!(found.map_or(0, |found| found.runs.exemplars.len()), of_exemplars);
    }
}
