//! Tests of remote read: requests in, frames and messages out, against prost.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::frame::FrameReader;
use crate::messages::prometheus as wire_messages;
use crate::{WireError, snappy};

type Pairs = Vec<(String, String)>;

fn any_pairs() -> impl Strategy<Value = Pairs> {
    proptest::collection::vec((".{0,8}", ".{0,200}"), 0..5)
}

fn as_strs(pairs: &Pairs) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn pairs_of(labels: Vec<wire_messages::Label>) -> Pairs {
    labels.into_iter().map(|label| (label.name, label.value)).collect()
}

fn body(request: &wire_messages::ReadRequest) -> Vec<u8> {
    snappy::compress(&request.encode_to_vec())
}

#[test]
fn frame_bytes_are_these() {
    let mut encoder = FrameEncoder::default();
    encoder.begin([("a", "b")].into_iter(), 0);
    encoder.chunk(1, 2, 1, &[0, 1]);
    let mut out = Vec::new();
    encoder.finish(&mut out);
    let payload = [
        10, 20, 10, 6, 10, 1, b'a', 18, 1, b'b', 18, 10, 8, 1, 16, 2, 24, 1, 34, 2, 0, 1,
    ];
    assert_eq!(out[0] as usize, payload.len());
    assert_eq!(out[5..], payload);
}

#[test]
fn a_read_request_becomes_plain_data() {
    let matcher = |r#type| wire_messages::LabelMatcher {
        r#type,
        name: "n".to_owned(),
        value: "v".to_owned(),
    };
    let hints = wire_messages::ReadHints {
        step_ms: 1,
        func: "series".to_owned(),
        start_ms: -2,
        end_ms: 3,
        grouping: vec!["g".to_owned()],
        by: true,
        range_ms: 4,
    };
    let query = wire_messages::Query {
        start_timestamp_ms: -10,
        end_timestamp_ms: 10,
        matchers: (0..4).map(matcher).collect(),
        hints: Some(hints),
    };
    let mut request = wire_messages::ReadRequest {
        queries: vec![query, wire_messages::Query::default()],
        accepted_response_types: vec![1, 0, 9],
    };
    let decoded = ReadRequest::decode(&body(&request), 1000).expect("well formed");
    assert_eq!(decoded.accepted_response_types, [1, 0, 9]);
    let [first, second] = decoded.queries.as_slice() else {
        panic!("two queries")
    };
    assert_eq!((first.start_ms, first.end_ms), (-10, 10));
    let ops: Vec<_> = first.matchers.iter().map(|matcher| matcher.op).collect();
    assert_eq!(
        ops,
        [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]
    );
    assert_eq!(
        (first.matchers[0].name.as_str(), first.matchers[0].value.as_str()),
        ("n", "v")
    );
    let expected = ReadHints {
        step_ms: 1,
        func: "series".to_owned(),
        start_ms: -2,
        end_ms: 3,
        grouping: vec!["g".to_owned()],
        by: true,
        range_ms: 4,
    };
    assert_eq!(first.hints, Some(expected));
    assert_eq!(
        second,
        &ReadQuery {
            start_ms: 0,
            end_ms: 0,
            matchers: vec![],
            hints: None
        }
    );

    request.queries[0].matchers[0].r#type = 4;
    assert!(matches!(
        ReadRequest::decode(&body(&request), 1000),
        Err(WireError::Malformed { .. })
    ));
}

#[test]
fn a_read_request_is_bounded_in_bytes_and_in_entries() {
    let queries = vec![wire_messages::Query::default(); 6_000];
    let mut request = wire_messages::ReadRequest {
        queries,
        ..Default::default()
    };
    assert!(ReadRequest::decode(&body(&request), 1 << 20).is_ok());
    assert!(matches!(
        ReadRequest::decode(&body(&request), 11_999),
        Err(WireError::TooLarge { limit: 11_999, .. })
    ));
    request.queries[0].matchers = vec![wire_messages::LabelMatcher::default(); 2_500];
    let hints = wire_messages::ReadHints {
        grouping: vec![String::new(); 2_500],
        ..Default::default()
    };
    request.queries[1].hints = Some(hints);
    assert!(matches!(
        ReadRequest::decode(&body(&request), 1 << 20),
        Err(WireError::TooLarge { limit: 10_000, .. })
    ));
    assert!(ReadRequest::decode(b"", 100).is_err());
    assert!(matches!(
        ReadRequest::decode(&snappy::compress(&[0xff]), 100),
        Err(WireError::Malformed { .. })
    ));
}

proptest! {
    #[test]
    fn a_frame_is_what_prost_reads(
        labels in any_pairs(),
        query_index in any::<i64>(),
        chunks in proptest::collection::vec((any::<i64>(), any::<i64>(), 0..7u8, proptest::collection::vec(any::<u8>(), 0..200)), 0..4),
    ) {
        let mut encoder = FrameEncoder::default();
        encoder.begin([("given", "up")].into_iter(), 5);
        encoder.begin(as_strs(&labels), query_index);
        for (min, max, encoding, data) in &chunks {
            encoder.chunk(*min, *max, *encoding, data);
        }
        let len = encoder.len();
        let mut out = vec![1, 2, 3];
        encoder.finish(&mut out);
        prop_assert_eq!(out.len() - 3, len);

        let payloads: Vec<_> = FrameReader::new(&out[3..], len).collect::<Result<_, _>>().expect("our own frame");
        prop_assert_eq!(payloads.len(), 1);
        let response = wire_messages::ChunkedReadResponse::decode(payloads[0]).expect("well formed");
        prop_assert_eq!(response.query_index, query_index);
        let [series] = <[_; 1]>::try_from(response.chunked_series).expect("one series");
        prop_assert_eq!(pairs_of(series.labels), labels);
        let read: Vec<_> = series.chunks.into_iter().map(|c| (c.min_time_ms, c.max_time_ms, c.r#type as u8, c.data)).collect();
        prop_assert_eq!(read, chunks);
    }

    #[test]
    fn a_samples_answer_is_what_prost_reads(
        queries in proptest::collection::vec(
            proptest::collection::vec((any_pairs(), proptest::collection::vec((any::<i64>(), any::<u64>()), 0..5)), 0..3),
            0..3,
        ),
    ) {
        let mut encoder = SamplesEncoder::default();
        for query in &queries {
            for (labels, samples) in query {
                encoder.series(as_strs(labels), samples.iter().map(|(timestamp, bits)| (*timestamp, f64::from_bits(*bits))));
            }
            encoder.end_query();
        }
        let len = encoder.len();
        let message = encoder.finish();
        prop_assert_eq!(message.len(), len);
        let response = wire_messages::ReadResponse::decode(message.as_slice()).expect("well formed");
        let read_series = |series: wire_messages::TimeSeries| {
            let samples: Vec<_> = series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect();
            (pairs_of(series.labels), samples)
        };
        let read: Vec<Vec<_>> = response.results.into_iter().map(|result| result.timeseries.into_iter().map(read_series).collect()).collect();
        prop_assert_eq!(read, queries);
    }

    #[test]
    fn random_read_requests_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = ReadRequest::decode(&bytes, 1000);
        let _ = ReadRequest::decode(&snappy::compress(&bytes), 1000);
    }
}

#[test]
fn minus_zero_and_stale_markers_keep_their_bits() {
    let bits = [0x8000_0000_0000_0000, 0x7ff0_0000_0000_0002, 0x7ff8_0000_0000_0001, 0];
    let mut encoder = SamplesEncoder::default();
    encoder.series(std::iter::empty(), bits.iter().map(|bits| (0, f64::from_bits(*bits))));
    encoder.end_query();
    let response = wire_messages::ReadResponse::decode(encoder.finish().as_slice()).expect("well formed");
    let read: Vec<_> = response.results[0].timeseries[0]
        .samples
        .iter()
        .map(|sample| sample.value.to_bits())
        .collect();
    assert_eq!(read, bits);
}
