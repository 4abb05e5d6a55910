//! HA pairs: the merge of replicas against the rule written down once more, and as clients see it.

use std::collections::{BTreeMap, BTreeSet};

use emberkeep_model::{Labels, SeriesRuns, TenantId, TimeRange};
use emberkeep_reader::{Query, ReaderSettings, ReplicaLabels, Selection, SeriesReader};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::answers::{SAMPLED, STREAMED, decode_sampled, decode_streamed, query};
use crate::histograms;
use crate::model::{naive, naive_exemplars};
use crate::support::{
    Row, Rows, Series, TestArchive, TestHead, client, exemplar, histogram, labels, runtime, sample, serve,
};

fn names(names: &[&str]) -> ReplicaLabels {
    ReplicaLabels::new(names.iter().map(ToString::to_string)).unwrap()
}

fn without(labels: &Labels, names: &ReplicaLabels) -> Labels {
    Labels::from_pairs(labels.iter().filter(|(name, _)| !names.has(name))).unwrap()
}

/// The rule, over whole series: stay with a replica; another one takes over when the next sample is more than two intervals
/// away.
fn choose(replicas: &[BTreeMap<i64, (usize, bool)>]) -> Vec<(usize, i64)> {
    let (mut given, mut present): (Vec<(usize, i64)>, usize) = (Vec::new(), 0);
    loop {
        let last = given.last().map(|&(_, at)| at);
        let after = |replica: usize, bound: Option<i64>| {
            replicas[replica]
                .keys()
                .copied()
                .find(|&at| bound.is_none_or(|bound| at > bound))
        };
        let all = 0..replicas.len();
        let limit = last.map(|last| {
            let neighbours = all.clone().flat_map(|replica| {
                let next = after(replica, Some(last));
                let times: Vec<i64> = replicas[replica].keys().copied().collect();
                let at = next.and_then(|next| times.iter().position(|&time| time == next));
                let back = at.and_then(|at| Some(times[at] - times[at.checked_sub(1)?]));
                let ahead = at.and_then(|at| Some(times.get(at + 1)? - times[at]));
                back.into_iter().chain(ahead)
            });
            last + 2 * neighbours.min().unwrap_or(5_000)
        });
        let stays = after(present, last).filter(|&next| limit.is_some_and(|limit| next <= limit));
        let candidates = all.filter_map(|replica| {
            let bound = if replica == present { last } else { limit };
            Some((after(replica, bound)?, replica != present, replica))
        });
        match (stays, candidates.min()) {
            (Some(at), _) => given.push((present, at)),
            (None, Some((at, _, replica))) => {
                present = replica;
                given.push((present, at));
            }
            (None, None) => return given,
        }
    }
}

/// What must be answered, in order.
fn merged(raw: Series, names: &ReplicaLabels) -> Vec<(Labels, SeriesRuns)> {
    let mut groups: BTreeMap<Labels, BTreeMap<Vec<String>, SeriesRuns>> = BTreeMap::new();
    for (labels, runs) in raw {
        let replica = labels.iter().filter(|(name, _)| names.has(name));
        // Replicas are in the order of their values, an absent label being an empty one; here there is one label at most.
        let replica: Vec<String> = replica.map(|(_, value)| value.to_owned()).collect();
        groups.entry(without(&labels, names)).or_default().insert(replica, runs);
    }
    let merge = |replicas: Vec<SeriesRuns>| {
        let mut out = SeriesRuns::default();
        let times = |runs: &SeriesRuns| {
            let floats = runs
                .samples
                .timestamps
                .iter()
                .enumerate()
                .map(|(i, &t)| (t, (i, false)));
            let histograms = runs
                .histograms
                .timestamps()
                .iter()
                .enumerate()
                .map(|(i, &t)| (t, (i, true)));
            floats.chain(histograms).collect::<BTreeMap<_, _>>()
        };
        let lines: Vec<_> = replicas.iter().map(times).collect();
        for (replica, at) in choose(&lines) {
            match lines[replica][&at] {
                (i, false) => out.samples.push(replicas[replica].samples.sample(i)),
                (i, true) => out.histograms.push_row(replicas[replica].histograms.row(i)),
            }
        }
        let exemplars: BTreeSet<_> = replicas
            .iter()
            .flat_map(|runs| runs.exemplars.as_slice().to_vec())
            .collect();
        out.exemplars = exemplars.into_iter().collect();
        out
    };
    groups
        .into_iter()
        .map(|(labels, replicas)| (labels, merge(replicas.into_values().collect())))
        .collect()
}

async fn collect(mut series: SeriesReader) -> Vec<(Labels, SeriesRuns)> {
    let (mut found, mut piece) = (Vec::new(), SeriesRuns::default());
    while let Some(labels) = series.next_series().await.unwrap() {
        let mut runs = SeriesRuns::default();
        while series.next_piece(&mut piece).await.unwrap() {
            runs.append(&piece);
        }
        assert!(runs.is_settled() && !runs.is_empty());
        found.push((labels, runs));
    }
    found
}

/// Series whose order changes when their replica label is taken off: it stands before, between, behind the others.
fn series() -> impl Strategy<Value = Labels> {
    let value = |values: &'static [&'static str]| prop::sample::select(values.to_vec());
    let parts = (
        value(&["m", "n"]),
        value(&["", "1", "2"]),
        value(&["", "a", "b", "c"]),
        value(&["", "x"]),
    );
    parts.prop_map(|(name, before, replica, after)| {
        labels(&[
            ("__name__", name),
            ("job", before),
            ("replica", replica),
            ("zone", after),
        ])
    })
}

/// Scrapes in a rhythm with gaps and jitter, and samples anywhere.
fn times() -> impl Strategy<Value = Vec<i64>> {
    let rhythm = (
        0..60i64,
        prop::sample::select(vec![10i64, 15, 30]),
        prop::collection::vec((0..8u8, 0..3i64), 0..40),
    );
    let rhythm = rhythm.prop_map(|(offset, interval, scrapes)| {
        let times = scrapes.into_iter().enumerate().filter(|(_, (luck, _))| *luck > 0);
        times
            .map(|(i, (_, jitter))| offset + i as i64 * interval + jitter)
            .collect::<Vec<i64>>()
    });
    prop_oneof![3 => rhythm, 1 => prop::collection::vec(0..600i64, 0..12)]
}

fn rows() -> impl Strategy<Value = Rows> {
    let of_series = (series(), times(), 0..5u8).prop_map(|(labels, times, sort)| {
        let row = |at: i64| match sort {
            0 if at % 3 == 0 => histogram(at, histograms::counter(at)),
            1 => exemplar(at / 20, (at % 2) as f64, &[("trace_id", "t")]),
            _ => sample(at, at as f64 / 8.0),
        };
        times
            .into_iter()
            .map(|at| (TenantId::default(), labels.clone(), row(at)))
            .collect::<Rows>()
    });
    prop::collection::vec(of_series, 0..14).prop_map(|all| all.into_iter().flatten().collect())
}

#[test]
fn replicas_are_merged_as_the_rule_says() {
    let runtime = runtime();
    let config = Config {
        cases: 80,
        failure_persistence: None,
        ..Config::default()
    };
    let strategy = (
        prop::collection::vec(rows(), 1..4),
        prop::option::of(rows()),
        0..300i64,
        1..600i64,
    );
    TestRunner::new(config)
        .run(&strategy, |(parts, head, start, length)| {
            runtime.block_on(async {
                let mut archive = TestArchive::new();
                for rows in &parts {
                    archive.flush(rows).await;
                }
                let heads = head
                    .iter()
                    .map(|rows| TestHead::source(rows.clone(), archive.committed()));
                let reader = archive.reader(heads.collect(), ReaderSettings::default());
                let query = Query {
                    tenant: TenantId::default(),
                    range: TimeRange {
                        start,
                        end: start + length,
                    },
                    selection: Selection::all(),
                };
                let everything: Rows = parts.iter().chain(&head).flatten().cloned().collect();
                let names = names(&["replica"]);
                let raw = naive(&everything, &query.tenant, query.range, &[]);
                let found = collect(reader.read(&query, &names).await.unwrap()).await;
                prop_assert_eq!(found, merged(raw, &names));
                let raw = naive_exemplars(&everything, &query.tenant, query.range, &[]);
                let found = collect(reader.read_exemplars(&query, &names).await.unwrap()).await;
                prop_assert_eq!(found, merged(raw, &names));
                let mut listed = Vec::new();
                let mut series = reader.read(&query, &names).await.unwrap();
                while let Some(labels) = series.next_labels().await.unwrap() {
                    listed.push(labels);
                }
                prop_assert!(listed.is_sorted_by(|a, b| a < b));
                Ok(())
            })
        })
        .unwrap();
}

/// One counter of an HA pair, scraped each 15 s, the second replica 7 s later.
fn pair(times_of_a: impl Iterator<Item = i64>, times_of_b: impl Iterator<Item = i64>) -> Rows {
    let of = |replica: &'static str| labels(&[("__name__", "up"), ("job", "x"), ("replica", replica)]);
    let row = |replica, at: i64| (TenantId::default(), of(replica), sample(at, at as f64));
    let a = times_of_a.map(|at| row("a", at * 1_000));
    a.chain(times_of_b.map(|at| row("b", at * 1_000))).collect()
}

async fn times_of(rows: Rows) -> Vec<i64> {
    let mut archive = TestArchive::new();
    archive.flush(&rows).await;
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = Query {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let found = collect(reader.read(&query, &names(&["replica"])).await.unwrap()).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, labels(&[("__name__", "up"), ("job", "x")]));
    found[0].1.samples.timestamps.iter().map(|at| at / 1_000).collect()
}

#[tokio::test]
async fn the_rate_stays_and_a_gap_costs_at_most_three_intervals() {
    let every = |from: i64, to: i64| (from..to).filter(move |at| (at - from) % 15 == 0);
    // Both whole: one of them, from the first sample on.
    let both = times_of(pair(every(0, 3_000), every(7, 3_000))).await;
    assert_eq!(both, every(0, 3_000).collect::<Vec<_>>());
    // The first one is away for half an hour: the other takes over and keeps it.
    let a = every(0, 600).chain(every(2_400, 6_000));
    let found = times_of(pair(a, every(7, 6_000))).await;
    let expected: Vec<i64> = every(0, 600).chain(every(622, 6_000)).collect();
    assert_eq!(found, expected);
    // Both are away, and only the second one lives on after the first has come back for one sample.
    let a = every(0, 600).chain([7_200]);
    let b = every(7, 600).chain(every(7_207, 9_000));
    let found = times_of(pair(a, b)).await;
    let expected: Vec<i64> = every(0, 600).chain([7_200]).chain(every(7_237, 9_000)).collect();
    assert_eq!(found, expected);
}

/// A pair that answers remote read and the API, with the label configured.
async fn server(settings: ReaderSettings) -> (TestArchive, String) {
    let mut archive = TestArchive::new();
    let mut rows = pair((0..40).map(|i| i * 15), (0..40).map(|i| i * 15 + 7));
    for replica in ["a", "b"] {
        let series = labels(&[("__name__", "up"), ("job", "x"), ("replica", replica)]);
        rows.push((TenantId::default(), series, exemplar(1_000, 1.0, &[("trace_id", "t")])));
    }
    archive.flush(&rows).await;
    let head = pair((40..50).map(|i| i * 15), (40..50).map(|i| i * 15 + 7));
    let head = TestHead::source(head, archive.committed());
    let url = serve(archive.reader(vec![head], settings)).await;
    (archive, url)
}

async fn read(url: &str, parameters: &str, accepted: i32, matchers: &[(i32, &str, &str)]) -> Series {
    use emberkeep_proto::messages::prometheus as wire;
    use prost::Message;
    let request = wire::ReadRequest {
        queries: vec![query(0, 10_000_000, matchers)],
        accepted_response_types: vec![accepted],
    };
    let response = client()
        .post(format!("{url}/api/v1/read{parameters}"))
        .header("Content-Encoding", "snappy")
        .body(emberkeep_proto::snappy::compress(&request.encode_to_vec()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.bytes().await.unwrap();
    let mut answers = if accepted == STREAMED {
        decode_streamed(&body, 1)
    } else {
        decode_sampled(&body)
    };
    answers.remove(0)
}

fn configured() -> ReaderSettings {
    ReaderSettings {
        replica_labels: names(&["replica"]),
        ..ReaderSettings::default()
    }
}

#[tokio::test]
async fn remote_read_merges_when_configured_or_asked_and_never_else() {
    let (_archive, plain) = server(ReaderSettings::default()).await;
    let (_other, merging) = server(configured()).await;
    for accepted in [STREAMED, SAMPLED] {
        let raw = read(&plain, "", accepted, &[]).await;
        assert_eq!(raw.len(), 2);
        assert_eq!(
            read(&merging, "?dedup=false", accepted, &[]).await,
            raw,
            "both replicas exactly"
        );
        let merged = read(&merging, "", accepted, &[]).await;
        let (series, runs) = merged.first_key_value().unwrap();
        assert_eq!(
            (merged.len(), series),
            (1, &labels(&[("__name__", "up"), ("job", "x")]))
        );
        assert_eq!(runs.samples.len(), 50);
        assert_eq!(read(&plain, "?replica_label=replica", accepted, &[]).await, merged);
        // Matchers see the label that the answer is without.
        let of_b = read(&merging, "", accepted, &[(0, "replica", "b")]).await;
        assert_eq!(of_b.first_key_value().unwrap().1.samples.timestamps[0], 7_000);
    }
    let wrong = client()
        .post(format!("{plain}/api/v1/read?dedup=perhaps"))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_api_merges_too() {
    let (_archive, url) = server(configured()).await;
    let get = async |path: &str| -> Value {
        let text = client()
            .get(format!("{url}/api/v1/{path}"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["data"].take()
    };
    assert_eq!(get("series?match[]=up").await, json!([{"__name__": "up", "job": "x"}]));
    assert_eq!(get("series?match[]=up&dedup=false").await.as_array().unwrap().len(), 2);
    assert_eq!(get("labels").await, json!(["__name__", "job"]));
    assert_eq!(get("labels?dedup=0").await, json!(["__name__", "job", "replica"]));
    assert_eq!(get("label/replica/values").await, json!([]));
    assert_eq!(get("label/replica/values?dedup=false").await, json!(["a", "b"]));
    let exemplars = get("query_exemplars?query=up").await;
    assert_eq!(exemplars.as_array().unwrap().len(), 1);
    assert_eq!(exemplars[0]["exemplars"].as_array().unwrap().len(), 1, "{exemplars}");
    assert_eq!(
        get("status/cardinality?start=0").await["headStats"]["numSeries"],
        json!(2)
    );
}

#[tokio::test]
async fn too_many_replicas_are_refused() {
    let mut archive = TestArchive::new();
    let rows: Rows = (0..100)
        .map(|i| {
            let series = labels(&[("__name__", "up"), ("replica", &format!("r{i}"))]);
            (TenantId::default(), series, sample(1_000, 1.0))
        })
        .collect();
    archive.flush(&rows).await;
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = Query {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let error = reader.read(&query, &names(&["replica"])).await.unwrap_err().to_string();
    assert!(error.contains("`replica`") && error.contains("dedup=false"), "{error}");
}

/// Long series in pieces, to leave in the middle and to read whole.
#[tokio::test]
async fn long_series_of_replicas_come_in_pieces() {
    let mut archive = TestArchive::new();
    let run = |offset: i64| -> Vec<Row> { (0..60_000).map(|i| sample(i * 15_000 + offset, i as f64)).collect() };
    for (replica, offset) in [("a", 0), ("b", 7_000)] {
        for name in ["first", "second"] {
            let series = labels(&[("__name__", name), ("replica", replica)]);
            let rows: Rows = run(offset)
                .into_iter()
                .map(|row| (TenantId::default(), series.clone(), row))
                .collect();
            archive.flush(&rows).await;
        }
    }
    let reader = archive.reader(Vec::new(), ReaderSettings::default());
    let query = Query {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        selection: Selection::all(),
    };
    let mut series = reader.read(&query, &names(&["replica"])).await.unwrap();
    let mut piece = SeriesRuns::default();
    assert!(series.next_series().await.unwrap().is_some());
    assert!(series.next_piece(&mut piece).await.unwrap());
    assert!(piece.len() < 20_000, "{}", piece.len());
    assert_eq!(
        series.next_series().await.unwrap(),
        Some(labels(&[("__name__", "second")]))
    );
    let mut count = 0;
    while series.next_piece(&mut piece).await.unwrap() {
        assert!(
            piece.samples.timestamps.iter().all(|at| at % 15_000 == 0),
            "one replica alone"
        );
        count += piece.len();
    }
    assert_eq!(count, 60_000);
    assert_eq!(series.next_series().await.unwrap(), None);
}
