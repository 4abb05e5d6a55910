//! The cases of the receiver part of Prometheus' compliance suite for remote write 2.0, sent by us.
//!
//! The suite itself is on no package registry. Its expectations are kept and made stricter: where it accepts a 400 in place of a success,
//! or counts that are only small enough, we want 204 and the true counts.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;
use v2::histogram::{Count, ZeroCount};
use v2::metadata::MetricType;

use crate::process::Emberkeep;
use crate::requests::{Requests, now_ms};
use crate::wire::{self, V1_TYPE, V2_TYPE};

const HOUR: i64 = 3_600_000;
const STALE: u64 = 0x7ff0_0000_0000_0002;
const NAN: u64 = 0x7ff8_0000_0000_0001;

type Pairs = Vec<(&'static str, &'static str)>;

/// One series of a request; offsets are milliseconds before now.
#[derive(Clone, Default)]
struct Series {
    labels: Pairs,
    sample: Option<f64>,
    sample_age: i64,
    histogram: Option<v2::Histogram>,
    exemplars: Vec<(Pairs, f64, i64)>,
    metadata: Option<(MetricType, &'static str, &'static str)>,
    created: bool,
}

impl Series {
    fn sample(labels: &[(&'static str, &'static str)], value: f64) -> Self {
        Self {
            labels: labels.to_vec(),
            sample: Some(value),
            ..Self::default()
        }
    }

    fn histogram(labels: &[(&'static str, &'static str)], histogram: v2::Histogram) -> Self {
        Self {
            labels: labels.to_vec(),
            histogram: Some(histogram),
            ..Self::default()
        }
    }

    fn exemplar(mut self, labels: &[(&'static str, &'static str)], value: f64) -> Self {
        self.exemplars.push((labels.to_vec(), value, self.sample_age));
        self
    }

    fn metadata(mut self, metric_type: MetricType, help: &'static str, unit: &'static str) -> Self {
        self.metadata = Some((metric_type, help, unit));
        self
    }

    fn aged(mut self, age: i64) -> Self {
        self.sample_age = age;
        self
    }

    fn created(mut self) -> Self {
        self.created = true;
        self
    }
}

/// What an answer must be.
#[derive(Clone, Copy)]
struct Expected {
    status: u16,
    samples: usize,
    histograms: usize,
    exemplars: usize,
}

fn body(series: &[Series], now: i64) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    for one in series {
        let mut message = v2::TimeSeries {
            labels_refs: request.refs(&one.labels),
            ..Default::default()
        };
        if let Some(value) = one.sample {
            message.samples.push(v2::Sample {
                value,
                timestamp: now - one.sample_age,
                start_timestamp: 0,
            });
        }
        if let Some(histogram) = &one.histogram {
            message.histograms.push(v2::Histogram {
                timestamp: now - one.sample_age,
                ..histogram.clone()
            });
        }
        for (labels, value, age) in &one.exemplars {
            message.exemplars.push(v2::Exemplar {
                labels_refs: request.refs(labels),
                value: *value,
                timestamp: now - age,
            });
        }
        if let Some((metric_type, help, unit)) = one.metadata {
            message.metadata = Some(v2::Metadata {
                r#type: metric_type.into(),
                help_ref: request.symbol(help),
                unit_ref: request.symbol(unit),
            });
        }
        // Field 6 was the start timestamp of a series in drafts; the suite still sends it, and it must be skipped.
        let mut unknown = Vec::new();
        if one.created {
            unknown.push(0x30);
            prost::encoding::encode_varint((now - HOUR) as u64, &mut unknown);
        }
        request.push(&message, &unknown);
    }
    request.body()
}

/// Histograms of the suite: parts that can be switched on.
fn histogram(sum: f64, positive: bool, negative: bool, zero: bool) -> v2::Histogram {
    let span = |offset, length| v2::BucketSpan { offset, length };
    let mut histogram = v2::Histogram {
        sum,
        ..Default::default()
    };
    let mut count = 0;
    if positive {
        histogram.positive_spans = vec![span(0, 3), span(2, 2)];
        histogram.positive_deltas = vec![1, 2, 1, 3, 1];
        count += 23;
    }
    if negative {
        histogram.negative_spans = vec![span(0, 2)];
        histogram.negative_deltas = vec![1, 1];
        count += 3;
    }
    if zero {
        histogram.zero_count = Some(ZeroCount::ZeroCountInt(1));
        count += 1;
    }
    histogram.count = Some(Count::CountInt(count));
    histogram
}

fn custom_buckets(sum: f64) -> v2::Histogram {
    v2::Histogram {
        schema: -53,
        sum,
        count: Some(Count::CountInt(30)),
        positive_spans: vec![v2::BucketSpan { offset: 0, length: 6 }],
        positive_deltas: vec![2, 1, 2, 3, -1, -2],
        custom_values: vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
        ..Default::default()
    }
}

fn written(samples: usize, histograms: usize, exemplars: usize) -> Expected {
    Expected {
        status: 204,
        samples,
        histograms,
        exemplars,
    }
}

fn refused(samples: usize) -> Expected {
    Expected {
        status: 400,
        ..written(samples, 0, 0)
    }
}

fn cases() -> Vec<(String, Vec<Series>, Expected)> {
    let mut cases = Vec::new();
    let mut case = |name: &str, series: Vec<Series>, expected| cases.push((name.to_owned(), series, expected));
    const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "testjob"), ("instance", "localhost:9090")];
    const NAMELESS: &[(&str, &str)] = &[("job", "testjob"), ("instance", "localhost:9090")];

    for value in [
        1.0,
        f64::from_bits(STALE),
        f64::from_bits(NAN),
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let good: [&[(&str, &str)]; 5] = [
            &[("__name__", "up")],
            UP,
            &[
                ("__name__", "up"),
                ("job", "test\njob\n"),
                ("instance", "localhost:9090"),
            ],
            &[
                ("__name__", "resource.cpu.usage"),
                ("job.name", "testjob"),
                ("instance.name", "x"),
            ],
            &[
                ("job name", "testjob"),
                ("instance name", "x"),
                ("__name__", "resource cpu usage"),
            ],
        ];
        for labels in good {
            case(
                &format!("{labels:?} {value}"),
                vec![Series::sample(labels, value)],
                written(1, 0, 0),
            );
        }
        case(
            &format!("nameless {value}"),
            vec![Series::sample(NAMELESS, value)],
            refused(0),
        );
        case(
            &format!("no labels {value}"),
            vec![Series::sample(&[], value)],
            refused(0),
        );
        let four = |first: &[(&'static str, &'static str)]| {
            let others = ["localhost:9091", "localhost:9092", "localhost:9093"];
            let others = others.map(|i| Series::sample(&[("__name__", "up"), ("instance", i)], value));
            [vec![Series::sample(first, value)], others.to_vec()].concat()
        };
        case(&format!("four {value}"), four(UP), written(4, 0, 0));
        case(&format!("one of four is bad {value}"), four(NAMELESS), refused(3));
        let bad = ["a", "b", "c", "d"].map(|i| Series::sample(&[("instance", i)], value));
        case(&format!("four bad {value}"), bad.to_vec(), refused(0));
    }
    let total: &[(&str, &str)] = &[("__name__", "http_requests_total"), ("job", "api")];
    case(
        "created",
        vec![Series::sample(total, 100.0).created()],
        written(1, 0, 0),
    );

    let exemplars: [&[(&str, &str)]; 6] = [
        &[("trace_id", "abc123def456")],
        &[("trace_id", "xyz789"), ("span_id", "span123")],
        &[("user_id", "user123")],
        &[("trace_id", "trace456"), ("user", "admin"), ("endpoint", "/login")],
        &[],
        &[("trace_id", "trace-with-dashes_and_underscores.123")],
    ];
    for labels in exemplars {
        let series = Series::sample(&[("__name__", "with_exemplar")], 1.0).exemplar(labels, 1.0);
        case(&format!("exemplar {labels:?}"), vec![series], written(1, 0, 1));
    }
    let region: &[(&str, &str)] = &[("__name__", "unicode_test"), ("region", "🌍")];
    let unicode = Series::sample(region, 100.0).exemplar(&[("trace_id", "unicode_trace_测试")], 100.0);
    case("unicode exemplar", vec![unicode], written(1, 0, 1));
    let trace: &[(&str, &str)] = &[("trace_id", "t")];
    let created = Series::sample(total, 250.0).created().exemplar(trace, 250.0);
    case("exemplar and created", vec![created], written(1, 0, 1));
    let three = ["a", "b", "c"].map(|m| Series::sample(&[("__name__", m)], 0.1).exemplar(trace, 0.1));
    case("three exemplars", three.to_vec(), written(3, 0, 3));
    let ages = [HOUR, 60_000, 0].map(|age| {
        let series = Series::sample(&[("__name__", "latency_hist")], 0.05).aged(age);
        series.exemplar(trace, 0.05)
    });
    case(
        "exemplars of one series at three times",
        ages.to_vec(),
        written(3, 0, 3),
    );
    case(
        "exemplar without name",
        vec![Series::sample(NAMELESS, 1.0).exemplar(trace, 1.0)],
        refused(0),
    );
    let empty = Series::sample(&[("__name__", "")], 1.0);
    case(
        "exemplar with empty name",
        vec![empty.clone().exemplar(trace, 1.0)],
        refused(0),
    );
    for value in [
        0.0,
        -123.456,
        1e10,
        1e-10,
        f64::from_bits(NAN),
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let series = Series::sample(&[("__name__", "test_metric")], value).exemplar(trace, value);
        case(&format!("exemplar of {value}"), vec![series], written(1, 0, 1));
    }

    let name: &[(&str, &str)] = &[("__name__", "test_histogram")];
    let histograms = [
        ("basic", histogram(1.0, true, true, true)),
        ("custom", custom_buckets(1.0)),
        ("positive", histogram(1.0, true, false, true)),
        ("negative", histogram(1.0, false, true, false)),
        ("zero", histogram(1.0, false, false, true)),
        ("empty", histogram(0.0, false, false, false)),
    ];
    for (kind, one) in histograms {
        case(kind, vec![Series::histogram(name, one.clone())], written(0, 1, 0));
        let series = Series::histogram(name, one)
            .metadata(MetricType::Histogram, "Help", "seconds")
            .created();
        case(
            &format!("{kind} with all"),
            vec![series.exemplar(trace, 1.0)],
            written(0, 1, 1),
        );
    }
    let bad = v2::Histogram {
        count: Some(Count::CountInt(99)),
        ..histogram(1.0, true, false, false)
    };
    case("bad count", vec![Series::histogram(name, bad)], refused(0));

    for metric_type in [
        MetricType::Unspecified,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Summary,
        MetricType::Info,
        MetricType::Stateset,
        MetricType::Gaugehistogram,
    ] {
        let help = "Help with\nnewlines and \"quotes\"";
        let series = Series::sample(&[("__name__", "described")], 1.0).metadata(metric_type, help, "bytes/sec");
        case(&format!("{metric_type:?}"), vec![series], written(1, 0, 0));
    }
    let nothing = Series::sample(total, 1.0).metadata(MetricType::Counter, "", "");
    case(
        "metadata without help and unit",
        vec![nothing.created()],
        written(1, 0, 0),
    );
    let nameless = Series::sample(NAMELESS, 1.0).metadata(MetricType::Counter, "Help", "unit");
    case("metadata without name", vec![nameless], refused(0));
    case(
        "metadata with empty name",
        vec![empty.metadata(MetricType::Gauge, "Help", "unit")],
        refused(0),
    );

    let only = Series {
        labels: vec![("__name__", "orphan_metric")],
        ..Default::default()
    };
    let orphan = only.clone().metadata(MetricType::Counter, "Orphaned", "count");
    case("metadata alone", vec![orphan], written(0, 0, 0));
    case("exemplar alone", vec![only.exemplar(trace, 42.0)], written(0, 0, 1));
    let old = Series::sample(&[("__name__", "old_metric")], 1.0).aged(HOUR);
    let new = Series::sample(&[("__name__", "new_metric")], 2.0);
    case("old and new", vec![old.exemplar(trace, 1.0), new], written(2, 0, 1));

    let names: Vec<&'static str> = (0..50).map(|i| &*format!("family_{i}").leak()).collect();
    let many = |n: &&'static str| Series {
        labels: vec![("series", n), ("__name__", n)],
        ..Default::default()
    };
    let with_all = |series: Series| {
        series
            .metadata(MetricType::Counter, "Help", "count")
            .exemplar(trace, 5.0)
    };
    let samples = names.iter().map(|n| Series {
        sample: Some(1.0),
        ..with_all(many(n))
    });
    case("fifty samples", samples.collect(), written(50, 0, 50));
    let histograms = names.iter().map(|n| Series {
        histogram: Some(histogram(1.0, true, n.len() % 2 == 0, true)),
        ..with_all(many(n))
    });
    case("fifty histograms", histograms.collect(), written(0, 50, 50));
    cases
}

#[tokio::test]
async fn every_case_of_the_compliance_suite_is_answered_as_it_should_be() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &[])?;
    let client = wire::client();
    let url = server.url("/api/v1/write");
    let mut wrong = Vec::new();
    // Each case twice at different times, as the suite does.
    for (turn, now) in [now_ms()?, now_ms()? + 10].into_iter().enumerate() {
        for (number, (name, series, expected)) in cases().into_iter().enumerate() {
            let now = now + 20 * i64::try_from(number)?;
            let (status, headers, text) = wire::post(&client, &url, V2_TYPE, body(&series, now)?).await?;
            let count = |kind: &str| -> Result<usize> {
                let header = headers.get(format!("x-prometheus-remote-write-{kind}-written"));
                Ok(header.map_or(Ok("0"), |h| h.to_str())?.parse()?)
            };
            let counts = (count("samples")?, count("histograms")?, count("exemplars")?);
            let right = (expected.samples, expected.histograms, expected.exemplars);
            let has_text = text.is_empty() == (status == 204);
            if status != expected.status || counts != right || !has_text {
                wrong.push(format!(
                    "{name} ({turn}): {status} {counts:?} {text:?}, wanted {} {right:?}",
                    expected.status
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn malformed_requests_of_the_compliance_suite_are_refused() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &[])?;
    let client = wire::client();
    let url = server.url("/api/v1/write");
    let good = body(&[Series::sample(&[("__name__", "up")], 1.0)], now_ms()?)?;
    let mut corrupt = good.clone();
    corrupt[0] = b'0';
    let send = |content_type: &str, encoding: &str, body: Vec<u8>| {
        let request = client.post(&url).header("content-type", content_type);
        request.header("content-encoding", encoding).body(body).send()
    };
    for content_type in ["application/json", "image/png"] {
        ensure!(
            send(content_type, "snappy", corrupt.clone()).await?.status() == 415,
            "{content_type}"
        );
    }
    for encoding in ["gzip", "deflate", "zstd"] {
        ensure!(
            send(V2_TYPE, encoding, corrupt.clone()).await?.status() == 415,
            "{encoding}"
        );
    }
    ensure!(send(V2_TYPE, "snappy", corrupt).await?.status() == 400, "corrupt body");

    // 1.0 is accepted without its version header and without counts in the answer.
    let label = |name: &str, value: &str| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let request = v1::WriteRequest {
        timeseries: vec![v1::TimeSeries {
            labels: vec![label("job", "testjob"), label("__name__", "up")],
            samples: vec![v1::Sample {
                value: 1.0,
                timestamp: now_ms()?,
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut first = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
    let answer = send("application/x-protobuf", "snappy", first.clone()).await?;
    let has_counts = answer.headers().keys().any(|k| k.as_str().contains("written"));
    ensure!(answer.status() == 204 && !has_counts, "1.0: {answer:?}");
    first[0] = 0xff;
    ensure!(
        send(V1_TYPE, "snappy", first).await?.status() == 400,
        "corrupt 1.0 body"
    );
    Ok(())
}
