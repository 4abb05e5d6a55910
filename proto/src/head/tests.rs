//! Tests of head read: whole answers, cut answers, wrong ends.

use proptest::prelude::*;

use super::*;
use crate::messages::head::HeadMatcher;

fn any_series() -> impl Strategy<Value = HeadSeries> {
    let rows = proptest::collection::vec((any::<i64>(), any::<u64>(), any::<i64>()), 0..20);
    (proptest::collection::vec(any::<u8>(), 0..50), rows, any::<bool>()).prop_map(|(labels, rows, with_starts)| {
        HeadSeries {
            labels,
            timestamps: rows.iter().map(|row| row.0).collect(),
            value_bits: rows.iter().map(|row| row.1).collect(),
            start_timestamps: rows.iter().filter(|_| with_starts).map(|row| row.2).collect(),
        }
    })
}

fn answer(series: &[HeadSeries]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = HeadAnswerWriter::default();
    for series in series {
        writer.series(series.clone(), &mut out);
    }
    writer.end("r1".to_owned(), 3, 77, &mut out);
    out
}

/// Reads an answer that arrives in pieces of this size.
fn read(bytes: &[u8], piece: usize) -> Result<(Vec<HeadSeries>, HeadEnd), WireError> {
    let mut reader = HeadAnswerReader::new(1 << 20);
    let mut series = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        while let Some(one) = reader.next_series()? {
            series.push(one);
        }
    }
    Ok((series, reader.finish()?))
}

fn framed(content: Option<Frame>) -> Vec<u8> {
    let payload = HeadReadFrame { frame: content }.encode_to_vec();
    let mut out = Vec::new();
    frame::append_frame(&mut out, payload.len(), |out| out.extend_from_slice(&payload));
    out
}

#[test]
fn an_end_with_another_count_is_refused() {
    let wrong = framed(Some(Frame::End(HeadEnd {
        series: 1,
        ..HeadEnd::default()
    })));
    assert!(matches!(read(&wrong, 100), Err(WireError::Malformed { .. })));
}

#[test]
fn nothing_may_follow_the_end() {
    let whole = answer(&[]);
    let doubled = [whole.clone(), whole.clone()].concat();
    for piece in [1, whole.len(), doubled.len()] {
        assert!(matches!(read(&doubled, piece), Err(WireError::Malformed { offset, .. }) if offset == whole.len()));
    }
}

#[test]
fn columns_have_one_length() {
    for (timestamps, value_bits, start_timestamps) in [(vec![1], vec![], vec![]), (vec![1, 2], vec![1, 2], vec![1])] {
        let series = HeadSeries {
            labels: vec![],
            timestamps,
            value_bits,
            start_timestamps,
        };
        assert!(matches!(
            read(&framed(Some(Frame::Series(series))), 100),
            Err(WireError::Malformed { .. })
        ));
    }
}

#[test]
fn a_frame_of_unknown_content_is_refused_not_skipped() {
    assert!(matches!(read(&framed(None), 100), Err(WireError::Malformed { .. })));
}

#[test]
fn requests_come_back_and_unknown_comparisons_are_refused() {
    let matcher = |op| HeadMatcher {
        name: "job".to_owned(),
        op,
        value: "a|b".to_owned(),
    };
    let mut request = HeadReadRequest {
        tenant: "anonymous".to_owned(),
        start_ms: -5,
        end_ms: i64::MAX,
        matchers: (1..5).map(matcher).collect(),
    };
    assert_eq!(
        decode_request(&encode_request(&request), 1000).expect("our own request"),
        request
    );
    assert!(matches!(
        decode_request(&encode_request(&request), 10),
        Err(WireError::TooLarge { .. })
    ));
    for op in [0, 5, -1] {
        request.matchers = vec![matcher(op)];
        assert!(
            matches!(
                decode_request(&encode_request(&request), 1000),
                Err(WireError::Malformed { .. })
            ),
            "{op}"
        );
    }
    request.matchers = vec![HeadMatcher::default(); MAX_MATCHERS + 1];
    assert!(matches!(
        decode_request(&encode_request(&request), 1 << 20),
        Err(WireError::TooLarge { .. })
    ));
}

proptest! {
    #[test]
    fn an_answer_comes_back_however_it_is_cut(series in proptest::collection::vec(any_series(), 0..6), piece in 1..400usize) {
        let (read_series, end) = read(&answer(&series), piece).expect("our own answer");
        prop_assert_eq!(&read_series, &series);
        prop_assert_eq!(end, HeadEnd { receiver: "r1".to_owned(), epoch: 3, committed: 77, series: series.len() as u64 });
    }

    #[test]
    fn a_shorter_answer_is_an_error(series in proptest::collection::vec(any_series(), 0..4), cut in 0.0..1.0) {
        let whole = answer(&series);
        let cut = (whole.len() as f64 * cut) as usize;
        prop_assert!(read(&whole[..cut], 64).is_err());
    }

    #[test]
    fn random_payloads_do_not_panic(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut bytes = Vec::new();
        frame::append_frame(&mut bytes, payload.len(), |out| out.extend_from_slice(&payload));
        let _ = read(&bytes, 1000);
    }
}
