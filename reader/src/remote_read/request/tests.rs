//! The meaning of a request, from its decoded form.

use emberkeep_proto::read::ReadQuery;

use super::*;

fn queries(accepted: &[i32], queries: Vec<ReadQuery>) -> Result<ReadQueries, ReaderError> {
    let message = ReadRequest {
        queries,
        accepted_response_types: accepted.to_vec(),
    };
    ReadQueries::decode(message, &TenantId::default(), ReplicaLabels::default())
}

#[test]
fn both_ends_belong_to_the_range() {
    let query = ReadQuery {
        start_ms: 5,
        end_ms: 5,
        matchers: Vec::new(),
        hints: None,
    };
    let asked = queries(&[], vec![query]).expect("a valid request");
    assert_eq!(asked.queries[0].range, TimeRange { start: 5, end: 6 });
    assert_eq!(asked.answer, ReadResponseType::Samples);
}

#[test]
fn a_range_that_ends_before_it_starts_selects_nothing() {
    let query = ReadQuery {
        start_ms: 9,
        end_ms: 5,
        matchers: Vec::new(),
        hints: None,
    };
    assert!(
        queries(&[1], vec![query]).expect("a valid request").queries[0]
            .range
            .is_empty()
    );
}

#[test]
fn a_bad_pattern_says_which_and_why() {
    let matcher = wire::ReadMatcher {
        op: wire::MatchOp::NotRegex,
        name: "job".to_owned(),
        value: "a(".to_owned(),
    };
    let query = ReadQuery {
        start_ms: 0,
        end_ms: 5,
        matchers: vec![matcher],
        hints: None,
    };
    let error = queries(&[1], vec![query]).expect_err("the pattern is no pattern");
    assert!(
        matches!(&error, ReaderError::Bad(text) if text.contains("job") && text.contains("a(")),
        "{error}"
    );
}
