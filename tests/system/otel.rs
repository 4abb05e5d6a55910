//! Requests in the shapes that the OpenTelemetry collector's exporter makes of its data: many samples of one series in a request, exemplars on
//! bucket series, native histograms with a zero threshold and no reset hint, stale markers with a count that is one, metadata in the same request.

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;
use serde_json::Value;

use crate::peers::get_json;
use crate::process::Emberkeep;
use crate::requests::Requests;
use crate::wire::{self, V1_TYPE, V2_TYPE};

const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Labels that the exporter makes of resource attributes; it sorts them by name, so that those in capitals come first.
const TARGET: [(&str, &str); 3] = [("instance", "i-1"), ("job", "shop/cart"), ("otel_scope_name", "http")];

fn labels(name: &str, more: &[(&str, &str)]) -> Vec<v1::Label> {
    let pairs = TARGET.iter().chain(more).copied().chain([("__name__", name)]);
    let mut labels: Vec<_> = pairs
        .map(|(name, value)| v1::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    labels
}

fn floats(name: &str, more: &[(&str, &str)], samples: &[(i64, f64)]) -> v1::TimeSeries {
    let samples = samples
        .iter()
        .map(|&(timestamp, value)| v1::Sample { value, timestamp });
    v1::TimeSeries {
        labels: labels(name, more),
        samples: samples.collect(),
        ..Default::default()
    }
}

fn exemplar(timestamp: i64, value: f64) -> v1::Exemplar {
    let pairs = [
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("span_id", "00f067aa0ba902b7"),
        ("http.target", "/cart"),
    ];
    let labels = pairs.map(|(name, value)| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    });
    v1::Exemplar {
        labels: labels.to_vec(),
        value,
        timestamp,
    }
}

/// An exponential histogram, as it becomes a native one: dense buckets with a gap of more than two, threshold 1e-128.
fn exponential(timestamp: i64, scale: i32) -> v1::Histogram {
    v1::Histogram {
        count: Some(v1::histogram::Count::CountInt(18)),
        sum: 41.5,
        schema: scale,
        zero_threshold: 1e-128,
        zero_count: Some(v1::histogram::ZeroCount::ZeroCountInt(2)),
        positive_spans: vec![
            v1::BucketSpan { offset: -3, length: 4 },
            v1::BucketSpan { offset: 5, length: 1 },
        ],
        positive_deltas: vec![1, 2, -3, 4, 3],
        negative_spans: vec![v1::BucketSpan { offset: 2, length: 1 }],
        negative_deltas: vec![1],
        timestamp,
        ..Default::default()
    }
}

/// A data point without a recorded value: the stale marker is in the sum, and in the count as an integer.
fn stale(timestamp: i64, scale: i32) -> v1::Histogram {
    v1::Histogram {
        count: Some(v1::histogram::Count::CountInt(STALE)),
        sum: f64::from_bits(STALE),
        zero_count: Some(v1::histogram::ZeroCount::ZeroCountInt(0)),
        positive_spans: vec![],
        positive_deltas: vec![],
        negative_spans: vec![],
        negative_deltas: vec![],
        ..exponential(timestamp, scale)
    }
}

fn request() -> v1::WriteRequest {
    let mut bucket = floats(
        "latency_seconds_bucket",
        &[("le", "0.25")],
        &[(9000, 4.0), (1000, 1.0), (5000, 3.0)],
    );
    bucket.exemplars = vec![exemplar(900, 0.2), exemplar(4900, 0.21)];
    let mut infinite = floats("latency_seconds_bucket", &[("le", "+Inf")], &[(1000, 2.0), (5000, 6.0)]);
    infinite.exemplars = vec![exemplar(4900, 7.5)];
    let native = v1::TimeSeries {
        labels: labels("payload_bytes", &[]),
        histograms: vec![exponential(1000, 3), exponential(5000, 8), stale(9000, 3)],
        exemplars: vec![exemplar(4800, 12.0)],
        ..Default::default()
    };
    let described = |family: &str, metric_type: v1::metric_metadata::MetricType, unit: &str| v1::MetricMetadata {
        r#type: metric_type.into(),
        metric_family_name: family.to_owned(),
        help: format!("Help of {family}."),
        unit: unit.to_owned(),
    };
    use v1::metric_metadata::MetricType::{Counter, Gauge, Histogram};
    v1::WriteRequest {
        timeseries: vec![
            bucket,
            infinite,
            floats("latency_seconds_sum", &[], &[(1000, 0.3), (5000, 9.1)]),
            floats(
                "latency_seconds_count",
                &[],
                &[(1000, 2.0), (5000, f64::from_bits(STALE))],
            ),
            floats("latency_seconds_created", &[], &[(5000, 0.5)]),
            native,
            floats(
                "target_info",
                &[("cloud.region", "eu"), ("großes Ω", "x")],
                &[(5000, 1.0)],
            ),
        ],
        metadata: vec![
            described("latency_seconds", Histogram, "s"),
            described("payload_bytes", Histogram, "By"),
            described("target_info", Gauge, ""),
            described("never_sent_total", Counter, ""),
        ],
    }
}

/// The same data in a 2.0 request, series by series; metadata is with each series, and the buckets carry their start.
fn request_v2(of: &v1::WriteRequest) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    let pairs = |labels: &[v1::Label]| -> Vec<(String, String)> {
        labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect()
    };
    for series in &of.timeseries {
        let name = series.labels.iter().find(|l| l.name == "__name__").context("a name")?;
        let family = of
            .metadata
            .iter()
            .find(|m| name.value.starts_with(&m.metric_family_name));
        let mut message = v2::TimeSeries {
            labels_refs: request.refs(&pairs(&series.labels)),
            metadata: family.map(|m| v2::Metadata {
                r#type: m.r#type,
                help_ref: request.symbol(&m.help),
                unit_ref: request.symbol(&m.unit),
            }),
            ..Default::default()
        };
        for sample in &series.samples {
            message.samples.push(v2::Sample {
                value: sample.value,
                timestamp: sample.timestamp,
                start_timestamp: 500,
            });
        }
        for exemplar in &series.exemplars {
            message.exemplars.push(v2::Exemplar {
                labels_refs: request.refs(&pairs(&exemplar.labels)),
                value: exemplar.value,
                timestamp: exemplar.timestamp,
            });
        }
        for histogram in &series.histograms {
            // Both messages have the same fields under the same numbers; 2.0 adds one.
            let mut same = v2::Histogram::decode(&*histogram.encode_to_vec())?;
            same.start_timestamp = 500;
            message.histograms.push(same);
        }
        request.push(&message, &[]);
    }
    request.body()
}

/// Everything of the request is there: samples, histograms, exemplars and metadata.
async fn holds(client: &reqwest::Client, server: &Emberkeep, sent: &v1::WriteRequest, is_v2: bool) -> Result<()> {
    let found = wire::read_series(client, &server.url("/api/v1/read"), 0, 10_000, wire::everything()).await?;
    ensure!(found.len() == sent.timeseries.len(), "{} series", found.len());
    for series in &sent.timeseries {
        let other = found
            .iter()
            .find(|s| s.labels == series.labels)
            .with_context(|| format!("{series:?}"))?;
        let sorted = |samples: &[v1::Sample]| {
            let mut rows: Vec<_> = samples.iter().map(|s| (s.timestamp, s.value.to_bits())).collect();
            rows.sort_unstable();
            rows
        };
        ensure!(
            sorted(&series.samples) == sorted(&other.samples),
            "{series:?}\n{other:?}"
        );
        ensure!(
            series.histograms.len() == other.histograms.len(),
            "{series:?}\n{other:?}"
        );
        for (histogram, other) in series.histograms.iter().zip(&other.histograms) {
            let is_stale = histogram.sum.to_bits() == STALE;
            // NaN is not equal to itself, so stale markers are compared by what makes them one.
            let is_same = if is_stale {
                other.sum.to_bits() == STALE
            } else {
                histogram == other
            };
            ensure!(
                is_same && histogram.timestamp == other.timestamp,
                "{histogram:?}\n{other:?}"
            );
        }
    }
    // Chunks are not negotiated: those with start timestamps would break older readers.
    let frames = wire::read_frames(client, &server.url("/api/v1/read"), 0, 10_000, wire::everything()).await?;
    ensure!(frames.len() == sent.timeseries.len(), "{} frames", frames.len());
    let mut chunks = frames.iter().flat_map(|f| &f.chunks);
    ensure!(
        chunks.all(|c| (1..=3).contains(&c.r#type) && (1000..=9000).contains(&c.min_time_ms) && c.max_time_ms <= 9000),
        "{frames:?}"
    );
    let range = [("start", "0".to_owned()), ("end", "10".to_owned())];
    let query = [("query", "{job=\"shop/cart\"}".to_owned())];
    let parameters: Vec<_> = query.into_iter().chain(range).collect();
    let exemplars = get_json(client, server.port, "/api/v1/query_exemplars", &parameters).await?;
    let count = |name: &str| -> usize {
        let series = exemplars.as_array().into_iter().flatten();
        let of_name = series.filter(|s| s["seriesLabels"]["__name__"] == name);
        of_name.map(|s| s["exemplars"].as_array().map_or(0, Vec::len)).sum()
    };
    ensure!(
        count("latency_seconds_bucket") == 3 && count("payload_bytes") == 1,
        "{exemplars}"
    );
    ensure!(
        exemplars.to_string().contains("\"http.target\":\"/cart\""),
        "{exemplars}"
    );
    let metadata = get_json(client, server.port, "/api/v1/metadata", &[]).await?;
    let (name, unit) = if is_v2 {
        ("latency_seconds_bucket", "s")
    } else {
        ("latency_seconds", "s")
    };
    let expected: Value = serde_json::json!([{"type": "histogram", "help": "Help of latency_seconds.", "unit": unit}]);
    ensure!(metadata[name] == expected, "{metadata}");
    // A family without series has a place in 1.0 only.
    ensure!(metadata.get("never_sent_total").is_some() != is_v2, "{metadata}");
    Ok(())
}

#[tokio::test]
async fn what_the_opentelemetry_collector_sends_over_remote_write_1_is_kept() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let server = Emberkeep::start(scratch.path(), &[])?;
    let sent = request();
    let body = snap::raw::Encoder::new().compress_vec(&sent.encode_to_vec())?;
    let (status, _, text) = wire::post(&client, &server.url("/api/v1/write"), V1_TYPE, body).await?;
    ensure!(status == 204, "{status} {text}");
    holds(&client, &server, &sent, false).await
}

#[tokio::test]
async fn what_the_opentelemetry_collector_sends_over_remote_write_2_is_kept() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let server = Emberkeep::start(scratch.path(), &[])?;
    let sent = request();
    let body = request_v2(&sent)?;
    let (status, headers, text) = wire::post(&client, &server.url("/api/v1/write"), V2_TYPE, body).await?;
    ensure!(status == 204, "{status} {text}");
    for (kind, expected) in [("samples", "11"), ("histograms", "3"), ("exemplars", "4")] {
        let written = headers.get(format!("x-prometheus-remote-write-{kind}-written"));
        ensure!(written.is_some_and(|w| w == expected), "{kind}: {written:?}");
    }
    holds(&client, &server, &sent, true).await
}
