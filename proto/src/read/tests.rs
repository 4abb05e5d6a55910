//! Tests of read requests: plain data, bounds, and damage.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::messages::prometheus as wire_messages;
use crate::{WireError, snappy};

fn body(request: &wire_messages::ReadRequest) -> Vec<u8> {
    snappy::compress(&request.encode_to_vec())
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
    fn random_read_requests_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = ReadRequest::decode(&bytes, 1000);
        let _ = ReadRequest::decode(&snappy::compress(&bytes), 1000);
    }
}
