//! Remote read as a client: requests, and both answers decoded by other code than wrote them.

use emberkeep_model::{Counts, Histogram, Labels, ResetHint, SeriesRuns, Span};
use emberkeep_proto::frame::FrameReader;
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_proto::snappy;
use emberkeep_tsdb::{Encoding, chunk};
use prost::Message;
use reqwest::Response;

use crate::support::{Series, client, float};

pub(crate) const STREAMED: i32 = 1;
pub(crate) const SAMPLED: i32 = 0;

pub(crate) fn query(start: i64, end: i64, matchers: &[(i32, &str, &str)]) -> wire::Query {
    let matchers = matchers.iter().map(|&(r#type, name, value)| wire::LabelMatcher {
        r#type,
        name: name.to_owned(),
        value: value.to_owned(),
    });
    wire::Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: matchers.collect(),
        hints: None,
    }
}

pub(crate) async fn post(url: &str, queries: Vec<wire::Query>, accepted: &[i32]) -> Response {
    post_as(url, None, queries, accepted).await
}

pub(crate) async fn post_as(url: &str, tenant: Option<&str>, queries: Vec<wire::Query>, accepted: &[i32]) -> Response {
    let request = wire::ReadRequest {
        queries,
        accepted_response_types: accepted.to_vec(),
    };
    let mut post = client()
        .post(format!("{url}/api/v1/read"))
        .header("Content-Encoding", "snappy");
    if let Some(tenant) = tenant {
        post = post.header("X-Scope-OrgID", tenant);
    }
    post.body(snappy::compress(&request.encode_to_vec()))
        .send()
        .await
        .unwrap()
}

fn labels_of(pairs: &[wire::Label]) -> Labels {
    let sorted = pairs.is_sorted_by(|a, b| a.name < b.name);
    assert!(sorted, "labels are sorted by name");
    Labels::from_pairs(pairs.iter().map(|label| (label.name.as_str(), label.value.as_str()))).unwrap()
}

/// Decodes frames and checks the rules that Prometheus' client silently relies on.
pub(crate) fn decode_streamed(body: &[u8], queries: usize) -> Vec<Series> {
    let mut answers: Vec<Vec<(Labels, SeriesRuns)>> = vec![Vec::new(); queries];
    let mut last_query = 0;
    for payload in FrameReader::new(body, 50_000_000) {
        let frame = wire::ChunkedReadResponse::decode(payload.unwrap()).unwrap();
        let [series] = frame.chunked_series.as_slice() else {
            panic!("a frame holds exactly one series")
        };
        let index = usize::try_from(frame.query_index).unwrap();
        assert!(index >= last_query, "queries come one after another");
        last_query = index;
        assert!(!series.chunks.is_empty());
        let mut runs = SeriesRuns::default();
        let mut newest = i64::MIN;
        for chunk in &series.chunks {
            let (floats, histograms) = (runs.samples.len(), runs.histograms.len());
            let encoding = Encoding::from_byte(u8::try_from(chunk.r#type).unwrap()).unwrap();
            assert!(
                encoding <= Encoding::FloatHistogram,
                "older clients fail on {encoding:?}"
            );
            chunk::decode(encoding, &chunk.data, &mut runs.samples, &mut runs.histograms).unwrap();
            let times = [
                &runs.samples.timestamps[floats..],
                &runs.histograms.timestamps()[histograms..],
            ]
            .concat();
            assert!((1..=120).contains(&times.len()));
            assert_eq!(times[0], chunk.min_time_ms, "min_time is the first sample's");
            assert_eq!(
                *times.last().unwrap(),
                chunk.max_time_ms,
                "max_time is the last sample's"
            );
            assert!(chunk.min_time_ms > newest, "chunks rise and do not overlap");
            newest = chunk.max_time_ms;
        }
        assert!(runs.is_settled());
        answers[index].push((labels_of(&series.labels), runs));
    }
    answers
        .into_iter()
        .map(|series| {
            assert!(
                series.is_sorted_by(|a, b| a.0 < b.0),
                "frames are sorted by labels, each series once"
            );
            series.into_iter().collect()
        })
        .collect()
}

pub(crate) fn decode_sampled(body: &[u8]) -> Vec<Series> {
    let mut message = Vec::new();
    snappy::decompress_capped(body, 1 << 30, &mut message).unwrap();
    let response = wire::ReadResponse::decode(message.as_slice()).unwrap();
    let series_of = |result: wire::QueryResult| {
        let series = result.timeseries.into_iter().map(|series| {
            let mut runs = SeriesRuns {
                samples: series
                    .samples
                    .iter()
                    .map(|found| float(found.timestamp, found.value))
                    .collect(),
                ..SeriesRuns::default()
            };
            for found in &series.histograms {
                runs.histograms.push(found.timestamp, 0, &histogram_of(found));
            }
            assert!(series.exemplars.is_empty());
            assert!(runs.is_settled() && !runs.is_empty());
            (labels_of(&series.labels), runs)
        });
        series.collect()
    };
    response.results.into_iter().map(series_of).collect()
}

/// What Prometheus' client makes of a point (`prompb.Histogram.ToIntHistogram`, `ToFloatHistogram`).
fn histogram_of(message: &wire::Histogram) -> Histogram {
    use wire::histogram::{Count, ZeroCount};
    let spans = |spans: &[wire::BucketSpan]| -> Vec<Span> {
        let span = |span: &wire::BucketSpan| Span {
            offset: span.offset,
            length: span.length,
        };
        spans.iter().map(span).collect()
    };
    let absolute = |deltas: &[i64]| -> Vec<i64> {
        let sum = |sum: &mut i64, delta: &i64| {
            *sum += delta;
            Some(*sum)
        };
        deltas.iter().scan(0, sum).collect()
    };
    let counts = match (message.count.unwrap(), message.zero_count.unwrap()) {
        (Count::CountInt(count), ZeroCount::ZeroCountInt(zero_count)) => {
            assert!(message.positive_counts.is_empty() && message.negative_counts.is_empty());
            Counts::Integer {
                count,
                zero_count,
                positive: absolute(&message.positive_deltas),
                negative: absolute(&message.negative_deltas),
            }
        }
        (Count::CountFloat(count), ZeroCount::ZeroCountFloat(zero_count)) => {
            assert!(message.positive_deltas.is_empty() && message.negative_deltas.is_empty());
            Counts::Float {
                count,
                zero_count,
                positive: message.positive_counts.clone(),
                negative: message.negative_counts.clone(),
            }
        }
        other => panic!("two flavours: {other:?}"),
    };
    Histogram {
        counts,
        sum: message.sum,
        schema: message.schema,
        zero_threshold: message.zero_threshold,
        reset_hint: ResetHint::from_number(message.reset_hint),
        positive_spans: spans(&message.positive_spans),
        negative_spans: spans(&message.negative_spans),
        custom_values: message.custom_values.clone(),
    }
}
