//! What the seeds are made of: histograms of every shape, series, and whole requests.
//!
//! Small, because a mutation should hit something that matters; everything that a format can hold should be in one seed or another.

use emberkeep_fuzz::Input;
use emberkeep_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use emberkeep_model::{
    Counts, Exemplar, Histogram, Labels, Metadata, MetricType, ResetHint, STALE_MARKER_BITS, Sample, SeenMetadata,
    SeriesRuns, Span,
};
use emberkeep_proto::messages::prometheus as v1;
use emberkeep_proto::messages::write_v2 as v2;
use emberkeep_proto::snappy;

pub(crate) fn stale() -> f64 {
    f64::from_bits(STALE_MARKER_BITS)
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// Integer and float, gauge and counter, negative side, gaps, custom bounds, fine schema, stale.
pub(crate) fn histograms() -> Vec<Histogram> {
    let integer = Histogram {
        counts: Counts::Integer {
            count: 21,
            zero_count: 3,
            positive: vec![1, 2, 4],
            negative: vec![5, 6],
        },
        sum: 18.5,
        schema: 1,
        zero_threshold: 0.001,
        reset_hint: ResetHint::Unknown,
        positive_spans: vec![span(-2, 1), span(3, 2)],
        negative_spans: vec![span(0, 2)],
        custom_values: vec![],
    };
    let mut more = integer.clone();
    more.counts = Counts::Integer {
        count: 31,
        zero_count: 4,
        positive: vec![1, 6, 4],
        negative: vec![9, 7],
    };
    let mut float = integer.clone();
    float.counts = Counts::Float {
        count: 20.5,
        zero_count: 3.0,
        positive: vec![1.0, 2.5, 4.0],
        negative: vec![5.0, 5.0],
    };
    let gauge = Histogram {
        reset_hint: ResetHint::Gauge,
        ..float.clone()
    };
    let custom = Histogram {
        counts: Counts::Integer {
            count: 6,
            zero_count: 0,
            positive: vec![1, 2, 3],
            negative: vec![],
        },
        sum: -0.0,
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: vec![span(0, 2), span(1, 1)],
        custom_values: vec![-1.0, 0.1, 7.25],
        ..Histogram::default()
    };
    let fine = Histogram {
        counts: Counts::Integer {
            count: 64,
            zero_count: 0,
            positive: vec![1; 64],
            negative: vec![],
        },
        schema: 20,
        positive_spans: vec![span(-30, 60), span(0, 0), span(1 << 20, 4)],
        ..Histogram::default()
    };
    let end = Histogram {
        sum: stale(),
        ..Histogram::default()
    };
    vec![integer, more, float, gauge, custom, fine, end]
}

/// Floats, histograms, exemplars of one series, in time order from `start`.
pub(crate) fn runs(start: i64, samples: usize) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for i in 0..samples as i64 {
        let value = [i as f64 / 8.0, f64::NAN, 1e300 / 3.0, -0.0, stale()][(i % 5) as usize];
        runs.samples.push(Sample {
            timestamp: start + i * 15_000,
            value,
            start_timestamp: if i % 3 == 0 { start - 1 } else { 0 },
        });
    }
    let after = start + samples as i64 * 15_000;
    for (i, histogram) in (0..).zip(histograms()) {
        runs.histograms.push(after + i * 15_000, start * (i % 2), &histogram);
    }
    for (i, trace) in (0..).zip(["", "4bf92f3577b34da6a3ce929d0e0e4736"]) {
        runs.exemplars.push(Exemplar {
            timestamp: start + i,
            value: 0.25,
            labels: labels(&[("trace_id", trace)]),
        });
    }
    runs
}

pub(crate) fn seen_metadata() -> Vec<SeenMetadata> {
    let seen = |metric_type, unit: &str, help: &str| SeenMetadata {
        metadata: Metadata {
            metric_type,
            unit: unit.to_owned(),
            help: help.to_owned(),
        },
        first_seen: 1_700_000_000_000,
        last_seen: 1_700_000_300_000,
    };
    vec![
        seen(MetricType::Counter, "", "Requests."),
        seen(MetricType::Histogram, "seconds", "Time of a request, in µs."),
    ]
}

fn spans_v1(spans: &[Span]) -> Vec<v1::BucketSpan> {
    spans
        .iter()
        .map(|span| v1::BucketSpan {
            offset: span.offset,
            length: span.length,
        })
        .collect()
}

fn deltas(counts: &[i64]) -> Vec<i64> {
    let mut last = 0;
    let delta = |&count: &i64| count - std::mem::replace(&mut last, count);
    counts.iter().map(delta).collect()
}

fn histogram_v1(histogram: &Histogram, timestamp: i64) -> v1::Histogram {
    let mut message = v1::Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans_v1(&histogram.negative_spans),
        positive_spans: spans_v1(&histogram.positive_spans),
        reset_hint: histogram.reset_hint as i32,
        timestamp,
        custom_values: histogram.custom_values.clone(),
        ..Default::default()
    };
    match &histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            message.count = Some(v1::histogram::Count::CountInt(*count));
            message.zero_count = Some(v1::histogram::ZeroCount::ZeroCountInt(*zero_count));
            message.positive_deltas = deltas(positive);
            message.negative_deltas = deltas(negative);
        }
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            message.count = Some(v1::histogram::Count::CountFloat(*count));
            message.zero_count = Some(v1::histogram::ZeroCount::ZeroCountFloat(*zero_count));
            message.positive_counts = positive.clone();
            message.negative_counts = negative.clone();
        }
    }
    message
}

fn label_v1(name: &str, value: &str) -> v1::Label {
    v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// A request of version 1.0 with everything that it can hold.
pub(crate) fn write_request_v1() -> v1::WriteRequest {
    let timestamp = 1_700_000_000_123;
    let floats = v1::TimeSeries {
        labels: vec![
            label_v1("__name__", "http_requests_total"),
            label_v1("code", "200"),
            label_v1("метод", "GET 🔥"),
        ],
        samples: vec![
            v1::Sample { value: 1.5, timestamp },
            v1::Sample {
                value: stale(),
                timestamp: -1,
            },
        ],
        exemplars: vec![
            v1::Exemplar {
                labels: vec![label_v1("trace_id", "abc")],
                value: 0.5,
                timestamp,
            },
            v1::Exemplar {
                labels: vec![],
                value: -1.0,
                timestamp: 0,
            },
        ],
        histograms: vec![],
    };
    let histograms = v1::TimeSeries {
        labels: vec![label_v1("__name__", "latency"), label_v1("empty", "")],
        histograms: histograms().iter().map(|h| histogram_v1(h, timestamp)).collect(),
        ..Default::default()
    };
    v1::WriteRequest {
        timeseries: vec![floats, histograms, v1::TimeSeries::default()],
        metadata: vec![v1::MetricMetadata {
            r#type: 1,
            metric_family_name: "http_requests_total".to_owned(),
            help: "Requests.".to_owned(),
            unit: "seconds".to_owned(),
        }],
    }
}

fn histogram_v2(histogram: &Histogram, timestamp: i64) -> v2::Histogram {
    let v1 = histogram_v1(histogram, timestamp);
    let spans = |spans: Vec<v1::BucketSpan>| {
        let span = |span: v1::BucketSpan| v2::BucketSpan {
            offset: span.offset,
            length: span.length,
        };
        spans.into_iter().map(span).collect()
    };
    let mut message = v2::Histogram {
        sum: v1.sum,
        schema: v1.schema,
        zero_threshold: v1.zero_threshold,
        negative_spans: spans(v1.negative_spans),
        negative_deltas: v1.negative_deltas,
        negative_counts: v1.negative_counts,
        positive_spans: spans(v1.positive_spans),
        positive_deltas: v1.positive_deltas,
        positive_counts: v1.positive_counts,
        reset_hint: v1.reset_hint,
        timestamp,
        custom_values: v1.custom_values,
        start_timestamp: timestamp - 60_000,
        ..Default::default()
    };
    match histogram.counts {
        Counts::Integer { count, zero_count, .. } => {
            message.count = Some(v2::histogram::Count::CountInt(count));
            message.zero_count = Some(v2::histogram::ZeroCount::ZeroCountInt(zero_count));
        }
        Counts::Float { count, zero_count, .. } => {
            message.count = Some(v2::histogram::Count::CountFloat(count));
            message.zero_count = Some(v2::histogram::ZeroCount::ZeroCountFloat(zero_count));
        }
    }
    message
}

/// A request of version 2.0 with everything that it can hold.
pub(crate) fn write_request_v2() -> v2::Request {
    let timestamp = 1_700_000_000_123;
    let symbols = [
        "", "__name__", "up", "job", "ü🔥", "trace_id", "abc", "Help.", "seconds", "latency",
    ];
    let metadata = |r#type| v2::Metadata {
        r#type,
        help_ref: 7,
        unit_ref: 8,
    };
    let floats = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![
            v2::Sample {
                value: 1.5,
                timestamp,
                start_timestamp: timestamp - 1,
            },
            v2::Sample {
                value: stale(),
                timestamp: -1,
                start_timestamp: 0,
            },
        ],
        exemplars: vec![v2::Exemplar {
            labels_refs: vec![5, 6],
            value: 0.5,
            timestamp,
        }],
        metadata: Some(metadata(2)),
        ..Default::default()
    };
    let histograms = v2::TimeSeries {
        labels_refs: vec![1, 9],
        histograms: histograms().iter().map(|h| histogram_v2(h, timestamp)).collect(),
        metadata: Some(metadata(3)),
        ..Default::default()
    };
    v2::Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![floats, histograms, v2::TimeSeries::default()],
    }
}

/// Puts a plain body into a snappy block, as a sender does.
pub(crate) fn compressed(body: &[u8]) -> Input {
    Input::of(snappy::compress(body))
}

/// No checksum in the format.
pub(crate) fn nothing(_: &mut Input) {}
