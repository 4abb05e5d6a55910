//! What the read side takes from the network: remote read requests, head reads in both directions, frames.

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::{Histogram, Labels};
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::frame::FrameReader;
use emberkeep_proto::head::{
    HeadAnswerReader, HeadAnswerWriter, HeadContent, HeadExemplar, HeadHistogram, decode_request, encode_request,
};
use emberkeep_proto::messages::head::head_matcher::MatchOp;
use emberkeep_proto::messages::head::{HeadKinds, HeadMatcher, HeadMetadata, HeadReadRequest, HeadSeries};
use emberkeep_proto::messages::prometheus as v1;
use emberkeep_proto::read::ReadRequest;
use emberkeep_proto::{WireError, snappy};
use prost::Message;

use crate::material::{compressed, histograms, labels, nothing};
use crate::writing::said;

/// Unpacks the block, so that what is mutated is the message.
fn unpacked(body: &[u8]) -> Input {
    let mut plain = Vec::new();
    snappy::decompress_capped(body, 1 << 20, &mut plain).unwrap();
    Input::of(plain)
}

/// A decoded request is bounded by its 10,000 entries, each of at most some hundred bytes, and the copies of its texts.
const REQUEST: Bound = Bound {
    per_byte: 200,
    flat: 64 << 10,
};

#[test]
fn read_request() {
    let target = Target {
        name: "read_request",
        rounds: 40_000,
        max_bytes: 8 << 10,
        bound: REQUEST,
        dictionary: &[],
        outcomes: 40,
    };
    let matcher = |r#type, name: &str, value: &str| v1::LabelMatcher {
        r#type,
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let query = v1::Query {
        start_timestamp_ms: 1_700_000_000_000,
        end_timestamp_ms: 1_700_000_300_000,
        matchers: vec![
            matcher(0, "__name__", "up"),
            matcher(2, "job", "a|b.*"),
            matcher(3, "x", ""),
        ],
        hints: Some(v1::ReadHints {
            step_ms: 15_000,
            func: "rate".to_owned(),
            start_ms: 1,
            end_ms: -2,
            grouping: vec!["job".to_owned(), "instance".to_owned()],
            by: true,
            range_ms: 300_000,
        }),
    };
    let request = v1::ReadRequest {
        queries: vec![query.clone(), v1::Query::default(), query],
        accepted_response_types: vec![1, 0, 7],
    };
    let seeds = vec![Input::of(request.encode_to_vec())];
    target.run(seeds, nothing, |input| {
        let block = snappy::compress(input.bytes());
        let request = ReadRequest::decode(&block, 1 << 20);
        said(request.map(|request| {
            let matchers: usize = request.queries.iter().map(|query| query.matchers.len()).sum();
            format!("{} queries, {matchers} matchers", request.queries.len())
        }))
    });
}

#[test]
fn head_request() {
    let target = Target {
        name: "head_request",
        rounds: 40_000,
        max_bytes: 8 << 10,
        bound: REQUEST,
        dictionary: &[],
        outcomes: 40,
    };
    let matcher = |op: MatchOp| HeadMatcher {
        name: "job".to_owned(),
        op: op.into(),
        value: "a.*".to_owned(),
    };
    let request = HeadReadRequest {
        tenant: "anonymous".to_owned(),
        start_ms: i64::MIN,
        end_ms: 1_700_000_000_000,
        matchers: vec![matcher(MatchOp::Equal), matcher(MatchOp::NotRegex)],
        kinds: HeadKinds::Exemplars.into(),
    };
    let seeds = vec![unpacked(&encode_request(&request))];
    target.run(seeds, nothing, |input| {
        let block = compressed(input.bytes());
        let request = decode_request(block.bytes(), 1 << 20);
        said(request.map(|request| format!("kinds {}, {} matchers", request.kinds, request.matchers.len())))
    });
}

fn head_series() -> HeadSeries {
    let mut series = HeadSeries {
        labels: labels(&[("__name__", "up")]).as_bytes().to_vec(),
        timestamps: vec![-5, 0, 1_700_000_000_000],
        value_bits: vec![0x7ff0_0000_0000_0002, 0, 1 << 63],
        start_timestamps: vec![0, 1, 2],
        ..HeadSeries::default()
    };
    for (timestamp, histogram) in (0..).zip(histograms()) {
        series.push_histogram(HeadHistogram {
            timestamp,
            start_timestamp: timestamp % 2,
            canonical: &histogram.to_canonical(),
        });
    }
    series
}

fn exemplar_series() -> HeadSeries {
    let mut series = HeadSeries {
        labels: labels(&[("__name__", "up")]).as_bytes().to_vec(),
        ..HeadSeries::default()
    };
    for timestamp in 0..3 {
        series.push_exemplar(HeadExemplar {
            timestamp,
            value_bits: 0x3ff0_0000_0000_0000,
            labels: labels(&[("trace_id", "abc")]).as_bytes(),
        });
    }
    series
}

/// A whole answer of each kind.
fn head_answers() -> Vec<Input> {
    let answer = |kinds: HeadKinds, write: &dyn Fn(&mut HeadAnswerWriter, &mut Vec<u8>)| {
        let mut out = Vec::new();
        let mut writer = HeadAnswerWriter::new(kinds);
        write(&mut writer, &mut out);
        writer.end("receiver".to_owned(), 3, 77, &mut out);
        Input::of(out)
    };
    let plain = HeadSeries {
        labels: labels(&[("__name__", "a")]).as_bytes().to_vec(),
        timestamps: vec![1],
        value_bits: vec![1],
        ..HeadSeries::default()
    };
    let metadata = HeadMetadata {
        family: "up".to_owned(),
        series: Some(labels(&[("__name__", "up")]).as_bytes().to_vec()),
        metric_type: 2,
        unit: "s".to_owned(),
        help: "Help.".to_owned(),
        first_seen_ms: 1,
        last_seen_ms: 2,
    };
    vec![
        answer(HeadKinds::Samples, &|writer, out| {
            writer.series(plain.clone(), out);
            writer.series(head_series(), out);
        }),
        answer(HeadKinds::Exemplars, &|writer, out| {
            writer.series(exemplar_series(), out)
        }),
        answer(HeadKinds::Metadata, &|writer, out| {
            writer.metadata(metadata.clone(), out);
            writer.metadata(HeadMetadata::default(), out);
        }),
    ]
}

/// Puts the right checksum into each frame that is still whole.
fn repair_frames(input: &mut Input) {
    let Some(bytes) = input.files.first_mut() else { return };
    let mut at = 0;
    while at < bytes.len() {
        let (mut len, mut shift, mut from) = (0_usize, 0, at);
        while let Some(byte) = bytes.get(from).filter(|_| shift < 28) {
            from += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let payload = from + 4;
        let Some(content) = bytes.get(payload..payload + len) else {
            return;
        };
        let sum = crc_fast::crc32_iscsi(content);
        bytes[from..payload].copy_from_slice(&sum.to_be_bytes());
        at = payload + len;
    }
}

/// Takes an answer as it would arrive, in pieces, and checks what it holds as a reader does.
fn take_answer(bytes: &[u8], kinds: HeadKinds) -> Result<String, WireError> {
    let mut reader = HeadAnswerReader::new(64 << 10, kinds);
    let mut counts = [0_usize; 6];
    for piece in bytes.chunks(1000) {
        reader.push(piece);
        while let Some(content) = reader.next_content()? {
            match content {
                HeadContent::Metadata(metadata) => counts[0] += 1 + metadata.help.len(),
                HeadContent::Series(series) => {
                    counts[1] += usize::from(Labels::from_canonical(&series.labels).is_ok());
                    counts[2] += series.timestamps.len();
                    assert_eq!(series.histograms().count(), series.histogram_timestamps.len());
                    for histogram in series.histograms() {
                        counts[3] += 1 + usize::from(Histogram::from_canonical(histogram.canonical).is_ok());
                    }
                    assert_eq!(series.exemplars().count(), series.exemplar_timestamps.len());
                    for exemplar in series.exemplars() {
                        counts[4] += 1 + usize::from(Labels::from_canonical(exemplar.labels).is_ok());
                    }
                }
            }
        }
    }
    let end = reader.finish()?;
    counts[5] = end.committed as usize;
    Ok(format!("{counts:?}"))
}

/// A frame takes about eight times its bytes when decoded, and lists that grow have both their lengths at once.
#[test]
fn head_answer() {
    let target = Target {
        name: "head_answer",
        rounds: 40_000,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 40,
            flat: 32 << 10,
        },
        dictionary: &[],
        outcomes: 100,
    };
    target.run(head_answers(), repair_frames, |input| {
        let bytes = input.bytes();
        let kinds = [HeadKinds::Samples, HeadKinds::Exemplars, HeadKinds::Metadata];
        kinds.map(|kinds| said(take_answer(bytes, kinds))).join(" / ")
    });
}

/// Frames are split without copying.
#[test]
fn frames() {
    let target = Target {
        name: "frames",
        rounds: 60_000,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 0,
            flat: 4 << 10,
        },
        dictionary: &[],
        outcomes: 150,
    };
    target.run(head_answers(), repair_frames, |input| {
        let mut count = 0_usize;
        let frames = FrameReader::new(input.bytes(), 4 << 10);
        let failed = frames.inspect(|_| count += 1).find_map(Result::err);
        format!(
            "{count} frames, {}",
            failed.map_or(String::new(), |error| error.to_string())
        )
    });
}

#[test]
fn content_type() {
    let target = Target {
        name: "content_type",
        rounds: 30_000,
        max_bytes: 1000,
        bound: Bound {
            per_byte: 4,
            flat: 4 << 10,
        },
        dictionary: &[b"proto=", b"\"", b";", b" ", b"application/x-protobuf", b"\\"],
        outcomes: 4,
    };
    let seeds = [WriteProtocol::V1, WriteProtocol::V2].map(|protocol| Input::of(protocol.content_type()));
    target.run(seeds.to_vec(), nothing, |input| {
        let Ok(text) = std::str::from_utf8(input.bytes()) else {
            return "no text".to_owned();
        };
        let encoding = emberkeep_proto::content::check_content_encoding(Some(text)).is_ok();
        let protocol = WriteProtocol::from_content_type(Some(text));
        format!("{protocol:?} {encoding}", protocol = protocol.ok())
    });
}
