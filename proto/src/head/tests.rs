//! Tests of head read: whole answers, cut answers, wrong ends, and how it meets programs that know float samples alone.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frame;
use crate::messages::head::head_read_frame::Frame;
use crate::messages::head::{HeadEnd, HeadMatcher, HeadMetadata, HeadReadFrame, HeadSeries};

const LIMIT: usize = 1 << 20;

mod older;

type Histogram = (i64, i64, Vec<u8>);
type Exemplar = (i64, u64, Vec<u8>);

/// A time that is often 0, which is unset for a start.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

fn any_bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..len)
}

/// A series with rows of the kinds that are asked for together, as rows and as the message.
fn any_series(kinds: HeadKinds) -> impl Strategy<Value = (HeadSeries, Vec<Histogram>, Vec<Exemplar>)> {
    let most = |asked| if kinds == asked { 12 } else { 1 };
    let samples = vec((any_time(), any::<u64>(), any_time()), 0..most(HeadKinds::Samples));
    let histograms = vec((any_time(), any_time(), any_bytes(200)), 0..most(HeadKinds::Samples));
    let exemplars = vec((any_time(), any::<u64>(), any_bytes(30)), 0..most(HeadKinds::Exemplars));
    let rows = (samples, histograms, exemplars);
    (any_bytes(50), rows, any::<bool>()).prop_map(|(labels, (samples, histograms, exemplars), with_starts)| {
        let mut series = HeadSeries {
            labels,
            timestamps: samples.iter().map(|row| row.0).collect(),
            value_bits: samples.iter().map(|row| row.1).collect(),
            start_timestamps: samples.iter().filter(|_| with_starts).map(|row| row.2).collect(),
            ..HeadSeries::default()
        };
        for (timestamp, start_timestamp, canonical) in &histograms {
            series.push_histogram(HeadHistogram {
                timestamp: *timestamp,
                start_timestamp: *start_timestamp,
                canonical,
            });
        }
        for (timestamp, value_bits, labels) in &exemplars {
            series.push_exemplar(HeadExemplar {
                timestamp: *timestamp,
                value_bits: *value_bits,
                labels,
            });
        }
        (series, histograms, exemplars)
    })
}

fn any_metadata() -> impl Strategy<Value = HeadMetadata> {
    let texts = (".{0,6}", ".{0,6}", ".{0,6}");
    let seen = (any_time(), any_time());
    // Metadata of a series without labels is not metadata of a family.
    let series = proptest::option::of(any_bytes(20));
    (texts, series, any::<i32>(), seen).prop_map(|((family, unit, help), series, metric_type, seen)| HeadMetadata {
        family,
        series,
        metric_type,
        unit,
        help,
        first_seen_ms: seen.0,
        last_seen_ms: seen.1,
    })
}

/// A whole answer of content of these kinds.
fn any_answer() -> impl Strategy<Value = (HeadKinds, Vec<HeadContent>)> {
    let series = |kinds| any_series(kinds).prop_map(|(series, _, _)| HeadContent::Series(series));
    prop_oneof![
        vec(series(HeadKinds::Samples), 0..5).prop_map(|content| (HeadKinds::Samples, content)),
        vec(series(HeadKinds::Exemplars), 0..5).prop_map(|content| (HeadKinds::Exemplars, content)),
        vec(any_metadata().prop_map(HeadContent::Metadata), 0..5).prop_map(|content| (HeadKinds::Metadata, content)),
    ]
}

fn answer(kinds: HeadKinds, content: &[HeadContent]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = HeadAnswerWriter::new(kinds);
    for content in content {
        match content.clone() {
            HeadContent::Series(series) => writer.series(series, &mut out),
            HeadContent::Metadata(metadata) => writer.metadata(metadata, &mut out),
        }
    }
    writer.end("r1".to_owned(), 3, 77, &mut out);
    out
}

/// Reads an answer that arrives in pieces of this size.
fn read(asked: HeadKinds, bytes: &[u8], piece: usize) -> Result<(Vec<HeadContent>, HeadEnd), WireError> {
    let mut reader = HeadAnswerReader::new(LIMIT, asked);
    let mut content = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        while let Some(one) = reader.next_content()? {
            content.push(one);
        }
    }
    Ok((content, reader.finish()?))
}

fn framed(content: Option<Frame>) -> Vec<u8> {
    let payload = HeadReadFrame { frame: content }.encode_to_vec();
    let mut out = Vec::new();
    frame::append_frame(&mut out, payload.len(), |out| out.extend_from_slice(&payload));
    out
}

/// A series with one row of each kind that is chosen.
fn one_row(sample: bool, histogram: bool, exemplar: bool) -> HeadSeries {
    let mut series = HeadSeries::default();
    if sample {
        (series.timestamps, series.value_bits) = (vec![1], vec![2]);
    }
    if histogram {
        series.push_histogram(HeadHistogram {
            timestamp: 3,
            start_timestamp: 0,
            canonical: b"h",
        });
    }
    if exemplar {
        series.push_exemplar(HeadExemplar {
            timestamp: 4,
            value_bits: 5,
            labels: b"",
        });
    }
    series
}

fn is_malformed<T>(result: &Result<T, WireError>) -> bool {
    matches!(result, Err(WireError::Malformed { .. }))
}

#[test]
fn an_end_with_other_counts_is_refused() {
    let series = framed(Some(Frame::Series(HeadSeries::default())));
    let metadata = framed(Some(Frame::Metadata(HeadMetadata::default())));
    for (kinds, frames, good) in [
        (HeadKinds::Samples, vec![], (0, 0)),
        (HeadKinds::Samples, vec![&series], (1, 0)),
        (
            HeadKinds::Samples,
            vec![&series, &framed(Some(Frame::MixedSeries(one_row(true, true, false))))],
            (2, 0),
        ),
        (HeadKinds::Metadata, vec![&metadata, &metadata, &metadata], (0, 3)),
    ] {
        let whole = frames.into_iter().flatten().copied().collect::<Vec<u8>>();
        for counts in [
            good,
            (good.0 + 1, good.1),
            (good.0, good.1 + 1),
            (good.1, good.0),
            (u64::MAX, 0),
        ] {
            let end = framed(Some(Frame::End(HeadEnd {
                series: counts.0,
                metadata: counts.1,
                kinds: kinds.into(),
                ..HeadEnd::default()
            })));
            let result = read(kinds, &[&whole[..], &end].concat(), 100);
            assert!(
                if counts == good {
                    result.is_ok()
                } else {
                    is_malformed(&result)
                },
                "{counts:?}"
            );
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let whole = answer(HeadKinds::Samples, &[]);
    let doubled = [whole.clone(), whole.clone()].concat();
    for piece in [1, whole.len(), doubled.len()] {
        let result = read(HeadKinds::Samples, &doubled, piece);
        assert!(matches!(result, Err(WireError::Malformed { offset, .. }) if offset == whole.len()));
    }
}

#[test]
fn columns_that_do_not_fit_each_other_are_refused() {
    /// One change to the columns of a series.
    type Change = fn(&mut HeadSeries);
    let all = one_row(true, true, true);
    let changes: [Change; 15] = [
        |s| s.value_bits.clear(),
        |s| s.timestamps.clear(),
        |s| s.timestamps.push(9),
        |s| s.start_timestamps = vec![1, 2],
        |s| s.histogram_timestamps.clear(),
        |s| s.histogram_timestamps.push(9),
        |s| s.histogram_start_timestamps = vec![1, 2],
        |s| s.histogram_lengths.push(0),
        |s| s.histogram_lengths[0] = u32::MAX,
        |s| s.histogram_bodies.clear(),
        |s| s.histogram_bodies.push(1),
        |s| s.exemplar_timestamps.clear(),
        |s| s.exemplar_value_bits.push(9),
        |s| s.exemplar_label_lengths[0] = 1,
        |s| s.exemplar_labels.push(1),
    ];
    assert!(all.is_consistent());
    for (i, change) in changes.iter().enumerate() {
        let mut series = all.clone();
        change(&mut series);
        let frame = framed(Some(Frame::MixedSeries(series)));
        for asked in [HeadKinds::Samples, HeadKinds::Exemplars] {
            assert!(is_malformed(&read(asked, &frame, 100)), "change {i}");
        }
    }
    // Lengths whose sum fits 32 bits only when it wraps.
    let mut series = one_row(false, true, false);
    series.histogram_timestamps = vec![1, 2];
    series.histogram_lengths = vec![u32::MAX, 2];
    assert!(is_malformed(&read(
        HeadKinds::Samples,
        &framed(Some(Frame::MixedSeries(series))),
        100
    )));
}

#[test]
fn content_that_was_not_asked_for_is_refused() {
    let series = |sample, histogram, exemplar| HeadContent::Series(one_row(sample, histogram, exemplar));
    let metadata = || HeadContent::Metadata(HeadMetadata::default());
    let (samples, exemplars) = (HeadKinds::Samples, HeadKinds::Exemplars);
    for (asked, content, good) in [
        (samples, series(true, true, false), true),
        (samples, series(false, true, false), true),
        (samples, series(false, false, true), false),
        (samples, series(true, true, true), false),
        (samples, metadata(), false),
        (exemplars, series(false, false, true), true),
        (exemplars, series(true, false, true), false),
        (exemplars, series(true, false, false), false),
        (exemplars, series(false, true, false), false),
        (exemplars, metadata(), false),
        (HeadKinds::Metadata, metadata(), true),
        (HeadKinds::Metadata, series(true, false, false), false),
        (HeadKinds::Metadata, series(false, false, false), false),
    ] {
        let result = read(asked, &answer(asked, std::slice::from_ref(&content)), 100);
        match result {
            Ok((found, _)) => assert!(good && found == [content]),
            Err(error) => assert!(
                !good && matches!(error, WireError::HeadKinds { .. }),
                "{asked:?}: {error}"
            ),
        }
    }
}

#[test]
fn an_answer_about_other_kinds_is_refused_even_when_it_is_empty() {
    let all = [HeadKinds::Samples, HeadKinds::Exemplars, HeadKinds::Metadata];
    for asked in all {
        for answered in all {
            let result = read(asked, &answer(answered, &[]), 100);
            assert_eq!(result.is_ok(), asked == answered);
            assert!(result.is_ok() || matches!(result, Err(WireError::HeadKinds { .. })));
        }
        let unknown = HeadEnd {
            kinds: 9,
            ..HeadEnd::default()
        };
        let result = read(asked, &framed(Some(Frame::End(unknown))), 100);
        assert!(matches!(result, Err(WireError::HeadKinds { .. })));
    }
}

#[test]
fn a_frame_of_unknown_content_is_refused_not_skipped() {
    // Nothing, and a message in each of the fields that are kept free.
    for payload in [
        &[][..],
        &[5 << 3 | 2, 0],
        &[6 << 3 | 2, 0],
        &[7 << 3 | 2, 0],
        &[8 << 3 | 2, 0],
    ] {
        let mut out = Vec::new();
        frame::append_frame(&mut out, payload.len(), |out| out.extend_from_slice(payload));
        assert!(is_malformed(&read(HeadKinds::Samples, &out, 100)), "{payload:x?}");
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_there() {
    let frame = framed(Some(Frame::MixedSeries(one_row(true, true, false))));
    let payload = frame.len() - 5;
    let mut reader = HeadAnswerReader::new(payload, HeadKinds::Samples);
    reader.push(&frame);
    assert!(matches!(reader.next_content(), Ok(Some(HeadContent::Series(_)))));
    let mut reader = HeadAnswerReader::new(payload - 1, HeadKinds::Samples);
    reader.push(&frame[..1]);
    assert!(matches!(reader.next_content(), Err(WireError::TooLarge { declared, .. }) if declared == payload as u64));
}

#[test]
fn requests_come_back_and_what_is_unknown_in_them_is_refused() {
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
        kinds: 0,
    };
    for kinds in 0..3 {
        request.kinds = kinds;
        assert_eq!(
            decode_request(&encode_request(&request), 1000).expect("our own request"),
            request
        );
    }
    for kinds in [3, -1, i32::MAX] {
        request.kinds = kinds;
        assert!(
            is_malformed(&decode_request(&encode_request(&request), 1000)),
            "{kinds}"
        );
    }
    request.kinds = 0;
    assert!(matches!(
        decode_request(&encode_request(&request), 10),
        Err(WireError::TooLarge { .. })
    ));
    for op in [0, 5, -1] {
        request.matchers = vec![matcher(op)];
        assert!(is_malformed(&decode_request(&encode_request(&request), 1000)), "{op}");
    }
    request.matchers = vec![HeadMatcher::default(); MAX_MATCHERS + 1];
    assert!(matches!(
        decode_request(&encode_request(&request), 1 << 20),
        Err(WireError::TooLarge { .. })
    ));
}

proptest! {
    #[test]
    fn an_answer_comes_back_however_it_is_cut((kinds, content) in any_answer(), piece in 1..400usize) {
        let (found, end) = read(kinds, &answer(kinds, &content), piece).expect("our own answer");
        prop_assert_eq!(&found, &content);
        let (series, metadata) = match kinds {
            HeadKinds::Metadata => (0, content.len() as u64),
            _ => (content.len() as u64, 0),
        };
        let expected = HeadEnd { receiver: "r1".to_owned(), epoch: 3, committed: 77, series, metadata, kinds: kinds.into() };
        prop_assert_eq!(end, expected);
    }

    #[test]
    fn the_rows_of_a_series_come_back(
        (series, histograms, exemplars) in prop_oneof![any_series(HeadKinds::Samples), any_series(HeadKinds::Exemplars)]
    ) {
        prop_assert!(series.is_consistent());
        let series = HeadSeries::decode(series.encode_to_vec().as_slice()).expect("our own series");
        let found: Vec<Histogram> =
            series.histograms().map(|h| (h.timestamp, h.start_timestamp, h.canonical.to_vec())).collect();
        prop_assert_eq!(&found, &histograms);
        let found: Vec<Exemplar> = series.exemplars().map(|e| (e.timestamp, e.value_bits, e.labels.to_vec())).collect();
        prop_assert_eq!(&found, &exemplars);
        let has_starts = histograms.iter().any(|histogram| histogram.1 != 0);
        prop_assert_eq!(has_starts, !series.histogram_start_timestamps.is_empty());
    }

    #[test]
    fn a_shorter_answer_is_an_error((kinds, content) in any_answer(), cut in 0.0..1.0) {
        let whole = answer(kinds, &content);
        let cut = (whole.len() as f64 * cut) as usize;
        prop_assert!(read(kinds, &whole[..cut], 64).is_err());
    }

    #[test]
    fn a_missing_frame_is_an_error((kinds, content) in any_answer(), lost in any::<proptest::sample::Index>()) {
        let whole = answer(kinds, &content);
        let mut frames = Vec::new();
        let mut rest = whole.as_slice();
        while let Some((_, used)) = frame::split_frame(rest, 0, LIMIT).expect("our own frames") {
            let (one, after) = rest.split_at(used);
            frames.push(one);
            rest = after;
        }
        prop_assert_eq!(frames.len(), content.len() + 1);
        frames.remove(lost.index(frames.len()));
        prop_assert!(is_malformed(&read(kinds, &frames.concat(), 64)));
    }

    #[test]
    fn random_payloads_do_not_panic(payload in vec(any::<u8>(), 0..100), kinds in 0..3i32) {
        let mut bytes = Vec::new();
        frame::append_frame(&mut bytes, payload.len(), |out| out.extend_from_slice(&payload));
        let _ = read(HeadKinds::try_from(kinds).expect("one of three"), &bytes, 1000);
    }

    #[test]
    fn damaged_messages_do_not_panic_when_their_rows_are_walked(
        (series, _, _) in any_series(HeadKinds::Samples), at in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut payload = HeadReadFrame { frame: Some(Frame::MixedSeries(series)) }.encode_to_vec();
        *at.get_mut(&mut payload) = byte;
        let mut bytes = Vec::new();
        frame::append_frame(&mut bytes, payload.len(), |out| out.extend_from_slice(&payload));
        let mut reader = HeadAnswerReader::new(LIMIT, HeadKinds::Samples);
        reader.push(&bytes);
        if let Ok(Some(HeadContent::Series(series))) = reader.next_content() {
            prop_assert_eq!(series.histograms().count(), series.histogram_timestamps.len());
            prop_assert_eq!(series.exemplars().count(), series.exemplar_timestamps.len());
        }
        if let Ok(HeadReadFrame { frame: Some(Frame::MixedSeries(unchecked)) }) = HeadReadFrame::decode(payload.as_slice()) {
            prop_assert!(unchecked.histograms().count() <= unchecked.histogram_timestamps.len());
        }
    }
}
