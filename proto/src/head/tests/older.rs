//! Tests of head read between this version and programs that know float samples alone.
//!
//! Their messages are written down here by hand, with the fields of that time: made from the present schema they would prove nothing.

use prost::Message;

use super::*;

/// `HeadReadRequest` of that time.
#[derive(Clone, PartialEq, Message)]
struct OldRequest {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(sint64, tag = "2")]
    start_ms: i64,
    #[prost(sint64, tag = "3")]
    end_ms: i64,
}

/// `HeadReadFrame` of that time.
#[derive(Clone, PartialEq, Message)]
struct OldFrame {
    #[prost(oneof = "OldContent", tags = "1, 2")]
    frame: Option<OldContent>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OldContent {
    #[prost(message, tag = "1")]
    Series(OldSeries),
    #[prost(message, tag = "2")]
    End(OldEnd),
}

/// `HeadSeries` of that time.
#[derive(Clone, PartialEq, Message)]
struct OldSeries {
    #[prost(bytes = "vec", tag = "1")]
    labels: Vec<u8>,
    #[prost(sint64, repeated, tag = "2")]
    timestamps: Vec<i64>,
    #[prost(fixed64, repeated, tag = "3")]
    value_bits: Vec<u64>,
    #[prost(sint64, repeated, tag = "4")]
    start_timestamps: Vec<i64>,
}

/// `HeadEnd` of that time.
#[derive(Clone, PartialEq, Message)]
struct OldEnd {
    #[prost(string, tag = "1")]
    receiver: String,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    committed: u64,
    #[prost(uint64, tag = "4")]
    series: u64,
}

/// What an old receiver answered, whatever it was asked: it does not know the field.
fn old_answer(series: &[OldSeries]) -> Vec<u8> {
    let end = OldEnd {
        receiver: "r1".to_owned(),
        epoch: 3,
        committed: 77,
        series: series.len() as u64,
    };
    let content = series.iter().cloned().map(OldContent::Series);
    let mut out = Vec::new();
    for content in content.chain([OldContent::End(end)]) {
        let payload = OldFrame { frame: Some(content) }.encode_to_vec();
        frame::append_frame(&mut out, payload.len(), |out| out.extend_from_slice(&payload));
    }
    out
}

fn old_series() -> OldSeries {
    OldSeries {
        labels: b"\x08__name__\x02up".to_vec(),
        timestamps: vec![-1, 5],
        value_bits: vec![0x7ff0_0000_0000_0002, 1 << 63],
        start_timestamps: vec![0, 3],
    }
}

/// What an old reader made of each frame.
fn read_as_old(bytes: &[u8]) -> Vec<Option<OldContent>> {
    frame::FrameReader::new(bytes, LIMIT)
        .map(|payload| {
            let payload = payload.expect("whole frames");
            OldFrame::decode(payload)
                .expect("protobuf skips what it does not know")
                .frame
        })
        .collect()
}

#[test]
fn an_old_answer_of_samples_is_read() {
    let OldSeries {
        labels,
        timestamps,
        value_bits,
        start_timestamps,
    } = old_series();
    let expected = HeadSeries {
        labels,
        timestamps,
        value_bits,
        start_timestamps,
        ..HeadSeries::default()
    };
    let (content, end) =
        read(HeadKinds::Samples, &old_answer(&[old_series(), old_series()]), 7).expect("a whole answer");
    assert_eq!(
        content,
        [HeadContent::Series(expected.clone()), HeadContent::Series(expected)]
    );
    assert_eq!(
        (end.receiver.as_str(), end.epoch, end.committed, end.series),
        ("r1", 3, 77, 2)
    );
    assert_eq!(end.metadata, 0);
}

#[test]
fn an_old_answer_to_a_question_about_other_kinds_is_refused() {
    for asked in [HeadKinds::Exemplars, HeadKinds::Metadata] {
        for series in [vec![], vec![old_series()]] {
            let result = read(asked, &old_answer(&series), 100);
            assert!(matches!(result, Err(WireError::HeadKinds { .. })), "{asked:?}");
        }
    }
}

#[test]
fn an_old_reader_reads_plain_series_and_finds_nothing_in_any_other_frame() {
    let plain = one_row(true, false, false);
    let content = [plain, one_row(true, true, false), one_row(false, true, false)].map(HeadContent::Series);
    let frames = read_as_old(&answer(HeadKinds::Samples, &content));
    let [plain, mixed, histograms, end] = frames.as_slice() else {
        panic!("four frames: {frames:?}");
    };
    assert!(matches!(plain, Some(OldContent::Series(series)) if series.timestamps == [1] && series.value_bits == [2]));
    // A frame without content is what that reader refuses.
    assert_eq!((mixed, histograms), (&None, &None));
    assert!(matches!(end, Some(OldContent::End(end)) if end.series == 3));

    let exemplars = answer(
        HeadKinds::Exemplars,
        &[HeadContent::Series(one_row(false, false, true))],
    );
    assert_eq!(read_as_old(&exemplars)[0], None);
    let metadata = answer(HeadKinds::Metadata, &[HeadContent::Metadata(HeadMetadata::default())]);
    assert_eq!(read_as_old(&metadata)[0], None);
}

#[test]
fn rows_that_an_old_reader_would_pass_over_are_refused_in_its_frame() {
    for series in [one_row(true, true, false), one_row(true, false, true)] {
        for asked in [HeadKinds::Samples, HeadKinds::Exemplars] {
            let frame = framed(Some(Frame::Series(series.clone())));
            assert!(is_malformed(&read(asked, &frame, 100)), "{asked:?}");
        }
    }
}

#[test]
fn an_old_request_asks_for_samples() {
    let request = OldRequest {
        tenant: "anonymous".to_owned(),
        start_ms: -1,
        end_ms: 9,
    };
    let found = decode_request(&snappy::compress(&request.encode_to_vec()), 1000).expect("nothing unknown in it");
    assert_eq!(found.kinds(), HeadKinds::Samples);
    assert_eq!(
        (found.tenant.as_str(), found.start_ms, found.end_ms),
        ("anonymous", -1, 9)
    );
}
