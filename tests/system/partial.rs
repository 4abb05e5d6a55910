//! Requests that are good and bad at once: the good part is stored and durable, the answer is 400 with the true counts, and its text names the first
//! bad series in at most 1 KiB.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;
use v2::histogram::Count;

use crate::process::{Emberkeep, eventually};
use crate::requests::Requests;
use crate::wire::{self, LabelSet, V1_TYPE, V2_TYPE};

fn sample(timestamp: i64) -> v2::Sample {
    v2::Sample {
        value: 1.0,
        timestamp,
        start_timestamp: 0,
    }
}

/// A request of one good series and one made by the caller.
fn with_good(bad: impl FnOnce(&mut Requests) -> v2::TimeSeries, timestamp: i64) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    let good = v2::TimeSeries {
        labels_refs: request.refs(&[("__name__", "good")]),
        samples: vec![sample(timestamp)],
        ..Default::default()
    };
    let bad = bad(&mut request);
    request.push(&bad, &[]);
    request.push(&good, &[]);
    request.body()
}

fn named(request: &mut Requests, more: &[u32]) -> v2::TimeSeries {
    let mut labels_refs = request.refs(&[("__name__", "bad"), ("job", "x")]);
    labels_refs.extend(more);
    v2::TimeSeries {
        labels_refs,
        samples: vec![sample(5)],
        ..Default::default()
    }
}

/// A name, a series, and what of it is stored: samples, histograms, exemplars.
type Case = (
    &'static str,
    Box<dyn FnOnce(&mut Requests) -> v2::TimeSeries>,
    [usize; 3],
);

/// What makes a series bad, and how many of its samples, histograms and exemplars are stored all the same.
fn bad_series() -> Vec<Case> {
    vec![
        ("odd references", Box::new(|r| named(r, &[1])), [0, 0, 0]),
        ("a reference out of range", Box::new(|r| named(r, &[1, 999])), [0, 0, 0]),
        (
            "the largest reference",
            Box::new(|r| named(r, &[u32::MAX, u32::MAX])),
            [0, 0, 0],
        ),
        (
            "no name",
            Box::new(|r| v2::TimeSeries {
                labels_refs: r.refs(&[("job", "x")]),
                samples: vec![sample(5)],
                ..Default::default()
            }),
            [0, 0, 0],
        ),
        (
            "a name twice",
            Box::new(|r| v2::TimeSeries {
                labels_refs: r.refs(&[("__name__", "bad"), ("a", "1"), ("a", "2")]),
                samples: vec![sample(5)],
                ..Default::default()
            }),
            [0, 0, 0],
        ),
        (
            "a label name that is empty",
            Box::new(|r| {
                let mut series = named(r, &[]);
                series.labels_refs.extend([0, 1]);
                series
            }),
            [0, 0, 0],
        ),
        (
            "nothing in it",
            Box::new(|r| v2::TimeSeries {
                labels_refs: r.refs(&[("__name__", "bad")]),
                ..Default::default()
            }),
            [0, 0, 0],
        ),
        (
            "a sample ahead of time beside a good one",
            Box::new(|r| {
                let mut series = named(r, &[]);
                series.samples.push(sample(i64::MAX));
                series
            }),
            [1, 0, 0],
        ),
        (
            "an exemplar with a bad reference beside a sample",
            Box::new(|r| {
                let mut series = named(r, &[]);
                series.exemplars.push(v2::Exemplar {
                    labels_refs: vec![1, 999],
                    value: 1.0,
                    timestamp: 5,
                });
                series
            }),
            [1, 0, 0],
        ),
        (
            "an exemplar of 129 characters beside one of 128",
            Box::new(|r| {
                let exemplar = |r: &mut Requests, length: usize| v2::Exemplar {
                    labels_refs: r.refs(&[("k".to_owned(), "☃".repeat(length - 1))]),
                    value: 1.0,
                    timestamp: 5,
                };
                let mut series = named(r, &[]);
                series.exemplars = vec![exemplar(r, 129), exemplar(r, 128)];
                series
            }),
            [1, 0, 1],
        ),
        (
            "a histogram whose buckets are not its count, beside a good one",
            Box::new(|r| {
                let histogram = |count, timestamp| v2::Histogram {
                    count: Some(Count::CountInt(count)),
                    positive_spans: vec![v2::BucketSpan { offset: 0, length: 2 }],
                    positive_deltas: vec![1, 1],
                    timestamp,
                    ..Default::default()
                };
                let mut series = named(r, &[]);
                series.histograms = vec![histogram(4, 6), histogram(3, 7)];
                series
            }),
            [1, 1, 0],
        ),
        (
            "metadata with a bad reference beside a sample",
            Box::new(|r| {
                let mut series = named(r, &[]);
                series.metadata = Some(v2::Metadata {
                    r#type: 1,
                    help_ref: 999,
                    unit_ref: 0,
                });
                series
            }),
            [1, 0, 0],
        ),
    ]
}

#[tokio::test]
async fn the_good_part_of_a_request_is_durable_and_the_answer_says_what_is_not() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let mut server = Emberkeep::start(scratch.path(), &[])?;
    let url = server.url("/api/v1/write");
    let mut wrong = Vec::new();
    let mut good = 0_i64;
    for (what, bad, stored) in bad_series() {
        good += 1;
        let body = with_good(bad, 100 + good)?;
        let (status, headers, text) = wire::post(&client, &url, V2_TYPE, body).await?;
        let kinds = ["samples", "histograms", "exemplars"];
        let written = kinds.map(|kind| headers.get(format!("x-prometheus-remote-write-{kind}-written")));
        let written = written.map(|h| h.and_then(|h| h.to_str().ok()?.parse::<usize>().ok()));
        // One sample more: that of the good series.
        let expected = [stored[0] + 1, stored[1], stored[2]].map(Some);
        // A bad request says so; a reference of metadata alone costs no data.
        if status != 400 || written != expected || text.is_empty() || text.len() > 1024 {
            wrong.push(format!(
                "{what}: {status} {written:?}, expected 400 {expected:?}: {text:?}"
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Many bad series: the first is named, the number of all is told, and the text stays short.
    let mut request = Requests::new();
    for n in 0..5000 {
        let long = format!("value {n} {}", "x".repeat(300));
        let series = v2::TimeSeries {
            labels_refs: request.refs(&[("job".to_owned(), long)]),
            samples: vec![sample(n)],
            ..Default::default()
        };
        request.push(&series, &[]);
    }
    let (status, _, text) = wire::post(&client, &url, V2_TYPE, request.body()?).await?;
    ensure!(
        status == 400 && text.contains("value 0 ") && text.contains("5000") && text.len() <= 1024,
        "{status} {text}"
    );

    server = server.kill_and_restart()?;
    // It takes writes before it has replayed its log; until then a read gets 503.
    let url = server.url("/api/v1/read");
    let found = eventually(|| wire::read_samples(&client, &url, 0, 1000, wire::everything())).await?;
    let labels: LabelSet = vec![("__name__".to_owned(), "good".to_owned())];
    ensure!(found.get(&labels).is_some_and(|s| s.len() as i64 == good), "{found:?}");
    let bad: Vec<_> = found.keys().filter(|l| l[0].1 != "good").collect();
    ensure!(bad.len() == 1, "series that were refused are there: {bad:?}");
    Ok(())
}

#[tokio::test]
async fn remote_write_1_keeps_the_good_part_likewise_and_counts_nothing() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let mut server = Emberkeep::start(scratch.path(), &[])?;
    let label = |name: &str, value: &str| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = |labels: Vec<v1::Label>, timestamp: i64| v1::TimeSeries {
        labels,
        samples: vec![v1::Sample { value: 1.0, timestamp }],
        ..Default::default()
    };
    let bad = [
        vec![label("job", "no name")],
        vec![label("__name__", "twice"), label("a", "1"), label("a", "2")],
        vec![label("__name__", "empty"), label("", "1")],
    ];
    for (n, bad) in (1_i64..).zip(bad) {
        let good = series(vec![label("__name__", "good")], n);
        let request = v1::WriteRequest {
            timeseries: vec![series(bad, 9), good],
            ..Default::default()
        };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
        let (status, headers, text) = wire::post(&client, &server.url("/api/v1/write"), V1_TYPE, body).await?;
        let has_counts = headers.keys().any(|k| k.as_str().contains("written"));
        ensure!(
            status == 400 && !has_counts && !text.is_empty(),
            "{status} {headers:?} {text}"
        );
    }
    server = server.kill_and_restart()?;
    // It takes writes before it has replayed its log; until then a read gets 503.
    let url = server.url("/api/v1/read");
    let found = eventually(|| wire::read_samples(&client, &url, 0, 1000, wire::everything())).await?;
    ensure!(found.len() == 1 && found.values().all(|s| s.len() == 3), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_symbol_table_that_does_not_begin_with_the_empty_string_is_refused() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let server = Emberkeep::start(scratch.path(), &[])?;
    for symbols in [vec![], vec!["__name__", "up"]] {
        let request = v2::Request {
            symbols: symbols.into_iter().map(str::to_owned).collect(),
            timeseries: vec![v2::TimeSeries {
                labels_refs: vec![0, 1],
                samples: vec![sample(1)],
                ..Default::default()
            }],
        };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
        let (status, headers, text) = wire::post(&client, &server.url("/api/v1/write"), V2_TYPE, body).await?;
        let written = headers.get("x-prometheus-remote-write-samples-written");
        ensure!(
            status == 400 && written.is_some_and(|w| w == "0"),
            "{status} {headers:?} {text}"
        );
    }
    Ok(())
}
