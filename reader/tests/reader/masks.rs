//! Masks: what is deleted and not rewritten yet is not shown, whatever it lies in.

use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Catalog, Change, Mask, MatcherText, Ulid, apply, fold, fresh_nonce};
use emberkeep_model::{Labels, MatchOp, Matcher, MetricType, SeriesRuns, TenantId, TimeRange, matches_all};
use emberkeep_reader::{FamilyFilter, Query, ReaderSettings, Scan, Selection};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::histograms;
use crate::model::{naive, naive_exemplars};
use crate::support::{Row, Rows, Series, TestArchive, TestHead, exemplar, histogram, labels, runtime, sample, seen};

/// A deletion as a test says it.
#[derive(Debug, Clone)]
struct Deletion {
    tenant: &'static str,
    matchers: Vec<(&'static str, MatchOp, &'static str)>,
    from: i64,
    to: i64,
}

impl Deletion {
    fn matchers(&self) -> Vec<Matcher> {
        let matchers = self.matchers.iter();
        matchers
            .map(|&(name, op, value)| Matcher::new(name, op, value).unwrap())
            .collect()
    }

    fn mask(&self) -> Mask {
        Mask {
            id: Ulid::generate().to_string(),
            number: 0,
            tenant: self.tenant.to_owned(),
            matchers: self.matchers().iter().map(MatcherText::from).collect(),
            from: self.from,
            to: self.to,
            reason: "a test".to_owned(),
            who: "nobody".to_owned(),
            created_at: 0,
        }
    }

    /// Whether a row that was received is deleted.
    fn hides(&self, tenant: &TenantId, labels: &Labels, row: &Row) -> bool {
        let at = match row {
            Row::Float(sample) => sample.timestamp,
            Row::Histogram(at, ..) => *at,
            Row::Exemplar(exemplar) => exemplar.timestamp,
            Row::Metadata(_) | Row::Family(_) => return false,
        };
        let range = TimeRange {
            start: self.from,
            end: self.to,
        };
        tenant.as_str() == self.tenant && range.contains(at) && matches_all(&self.matchers(), labels)
    }
}

/// Folds what is committed and sets masks in the next root.
async fn delete(archive: &TestArchive, masks: Vec<Mask>) -> Catalog {
    let catalog = Catalog::new(Arc::clone(&archive.store));
    fold(&*archive.store, &catalog, &fresh_nonce(), 1).await.unwrap();
    let change = |_: &emberkeep_archive::Live| {
        Ok::<_, ArchiveError>(Some(Change {
            masks: masks.clone(),
            ..Change::default()
        }))
    };
    apply(&catalog, &fresh_nonce(), 2, change).await.unwrap();
    catalog
}

fn rows() -> impl Strategy<Value = Rows> {
    let row = prop_oneof![
        3 => (0..30i64, 0..2i64).prop_map(|(at, value)| sample(at, value as f64)),
        2 => (0..30i64).prop_map(|at| histogram(at, histograms::counter(at))),
        2 => (0..30i64, 0..2i64).prop_map(|(at, value)| exemplar(at, value as f64, &[])),
    ];
    prop::collection::vec((0..2usize, 0..4usize, row), 1..50).prop_map(|rows| {
        let made = rows.into_iter().map(|(tenant, series, row)| {
            let tenant = TenantId::parse(["anonymous", "other"][tenant]).unwrap();
            let labels = match series {
                0 => labels(&[("__name__", "a")]),
                1 => labels(&[("__name__", "a"), ("job", "x")]),
                2 => labels(&[("__name__", "b"), ("job", "x")]),
                _ => labels(&[("__name__", "b"), ("job", "y")]),
            };
            (tenant, labels, row)
        });
        made.collect()
    })
}

fn deletion() -> impl Strategy<Value = Deletion> {
    let matcher = prop_oneof![
        Just(("job", MatchOp::Equal, "x")),
        Just(("job", MatchOp::Equal, "")),
        Just(("job", MatchOp::Regex, "x|y")),
        Just(("__name__", MatchOp::Equal, "a")),
        Just(("__name__", MatchOp::NotEqual, "a")),
    ];
    let matchers = prop::collection::vec(matcher, 0..3);
    let tenant = prop::sample::select(vec!["anonymous", "other"]);
    (tenant, matchers, 0..30i64, 1..40i64).prop_map(|(tenant, matchers, from, length)| Deletion {
        tenant,
        matchers,
        from,
        to: from + length,
    })
}

async fn collect(mut scan: Scan) -> Series {
    let mut found = Series::new();
    while let Some(series) = scan.next().await.unwrap() {
        assert!(series.runs.is_settled() && !series.runs.is_empty());
        found.insert(series.labels, series.runs);
    }
    found
}

#[test]
fn what_is_deleted_is_as_if_it_had_never_been_received() {
    let runtime = runtime();
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let strategy = (
        prop::collection::vec(rows(), 1..4),
        prop::collection::vec(rows(), 0..2),
        rows(),
        prop::collection::vec(deletion(), 1..4),
        (0..30i64, 1..40i64),
    );
    TestRunner::new(config)
        .run(&strategy, |(before, after, head, deletions, (start, length))| {
            runtime.block_on(async {
                let mut archive = TestArchive::new();
                for rows in &before {
                    archive.flush(rows).await;
                }
                delete(&archive, deletions.iter().map(Deletion::mask).collect()).await;
                // Masks hold for what is committed later, too.
                for rows in &after {
                    archive.flush(rows).await;
                }
                let heads = vec![TestHead::source(head.clone(), archive.committed())];
                let reader = archive.reader(heads, ReaderSettings::default());
                let query = Query {
                    tenant: TenantId::default(),
                    range: TimeRange {
                        start,
                        end: start + length,
                    },
                    selection: Selection::all(),
                };
                let all = before.iter().chain(&after).chain([&head]).flatten();
                let is_left = |(tenant, labels, row): &&(TenantId, Labels, Row)| {
                    !deletions.iter().any(|deletion| deletion.hides(tenant, labels, row))
                };
                let left: Rows = all.filter(is_left).cloned().collect();
                let expected = naive(&left, &query.tenant, query.range, &[]);
                prop_assert_eq!(&collect(reader.scan(&query).await.unwrap()).await, &expected);
                let mut scan = reader.scan(&query).await.unwrap();
                let mut listed = Vec::new();
                while let Some(labels) = scan.next_labels().await.unwrap() {
                    listed.push(labels);
                }
                prop_assert!(expected.keys().all(|labels| listed.contains(labels)));
                let expected = naive_exemplars(&left, &query.tenant, query.range, &[]);
                prop_assert_eq!(collect(reader.exemplar_scan(&query).await.unwrap()).await, expected);
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn a_series_that_is_hidden_whole_is_not_listed_and_its_metadata_neither() {
    let (mut archive, tenant) = (TestArchive::new(), TenantId::default());
    let series = |name: &str, job: &str| labels(&[("__name__", name), ("job", job)]);
    let mut rows = Rows::new();
    for (name, job) in [("a", "x"), ("a", "y"), ("b", "x")] {
        rows.push((tenant.clone(), series(name, job), sample(10, 1.0)));
        rows.push((tenant.clone(), series(name, job), sample(20, 2.0)));
        let said = seen(MetricType::Gauge, &format!("of {name} {job}"), 10, 20);
        rows.push((tenant.clone(), series(name, job), Row::Metadata(said)));
    }
    rows.push((
        tenant.clone(),
        series("a", ""),
        Row::Family(seen(MetricType::Gauge, "family a", 10, 20)),
    ));
    rows.push((
        tenant.clone(),
        series("b", ""),
        Row::Family(seen(MetricType::Gauge, "family b", 10, 20)),
    ));
    archive.flush(&rows).await;
    let deletion = |matchers: Vec<(&'static str, MatchOp, &'static str)>, from, to| Deletion {
        tenant: "anonymous",
        matchers,
        from,
        to,
    };
    let masks = [
        deletion(
            vec![("__name__", MatchOp::Equal, "a"), ("job", MatchOp::Equal, "x")],
            0,
            100,
        ),
        deletion(vec![("__name__", MatchOp::Equal, "b")], i64::MIN, i64::MAX),
        // One row of it is left.
        deletion(vec![("job", MatchOp::Equal, "y")], 15, 100),
    ];
    delete(&archive, masks.iter().map(Deletion::mask).collect()).await;
    for heads in [vec![], vec![TestHead::source(rows, archive.committed())]] {
        let reader = archive.reader(heads, ReaderSettings::default());
        let query = Query {
            tenant: tenant.clone(),
            range: TimeRange::ALL,
            selection: Selection::all(),
        };
        let mut scan = reader.scan(&query).await.unwrap();
        assert_eq!(scan.next_labels().await.unwrap(), Some(series("a", "y")));
        let mut piece = SeriesRuns::default();
        assert!(scan.next_piece(&mut piece).await.unwrap());
        assert_eq!(piece.samples.timestamps, [10]);
        assert_eq!(scan.next_labels().await.unwrap(), None);
        let families = reader
            .metadata(&query, FamilyFilter::Accepted(&|_| true))
            .await
            .unwrap();
        let said: Vec<&str> = families
            .values()
            .flat_map(|said| said.keys())
            .map(|said| said.help.as_str())
            .collect();
        assert_eq!(said, ["family a", "of a y"]);
    }
}

#[tokio::test]
async fn a_part_that_was_written_under_a_mask_is_read_as_it_is() {
    let (mut archive, tenant) = (TestArchive::new(), TenantId::default());
    let series = labels(&[("__name__", "a")]);
    archive
        .flush(&vec![(tenant.clone(), series.clone(), sample(10, 1.0))])
        .await;
    let everything = Deletion {
        tenant: "anonymous",
        matchers: Vec::new(),
        from: 0,
        to: 100,
    };
    let catalog = delete(&archive, vec![everything.mask()]).await;
    let view = catalog.refresh().await.unwrap();
    assert_eq!(view.masks.len(), 1);
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = Query {
        tenant,
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    assert!(collect(reader.scan(&query).await.unwrap()).await.is_empty());
    // The same part as a merge under the mask would have left it.
    let number = view.masks[0].number;
    let change = |live: &emberkeep_archive::Live| {
        let mut change = Change::default();
        for part in live.parts() {
            let mut rewritten = part.as_ref().clone();
            rewritten.masks = number;
            change.removing(emberkeep_archive::Removal::Compacted, part.ulid);
            change.add.push(rewritten);
        }
        Ok::<_, ArchiveError>(Some(change))
    };
    apply(&catalog, &fresh_nonce(), 3, change).await.unwrap();
    assert_eq!(collect(reader.scan(&query).await.unwrap()).await.len(), 1);
}
