//! The client against a small server with answers made by hand: what is whole is taken, what is not is an error of the right kind.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use emberkeep_model::{
    Counts, Histogram, Labels, MatchOp, Matcher, ResetHint, STALE_MARKER_BITS, Sample, SeriesRuns, Span, TimeRange,
};
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_proto::read::ReadRequest;
use emberkeep_proto::snappy;
use emberkeep_source::{Auth, Source, SourceConfig, SourceError};
use emberkeep_tsdb::{EncodedChunk, SeriesEncoder};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
const SAMPLES: &str = "application/x-protobuf";

/// How an answer ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Whole,
    /// The connection goes without the last chunk of HTTP.
    CutOff,
}

/// A server that gives every request the same answer, in these pieces.
struct Server {
    url: String,
    /// Head and body of the last request.
    asked: Arc<Mutex<(String, Vec<u8>)>>,
}

impl Server {
    async fn start(status: u16, kind: &'static str, pieces: Vec<Vec<u8>>, end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new((String::new(), Vec::new())));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                *kept.lock().unwrap() = request(&mut socket).await;
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                );
                socket.write_all(head.as_bytes()).await.unwrap();
                for piece in &pieces {
                    let size = format!("{:x}\r\n", piece.len());
                    socket.write_all(size.as_bytes()).await.unwrap();
                    socket.write_all(piece).await.unwrap();
                    socket.write_all(b"\r\n").await.unwrap();
                    socket.flush().await.unwrap();
                }
                if end == End::Whole {
                    socket.write_all(b"0\r\n\r\n").await.unwrap();
                }
            }
        });
        Self { url, asked }
    }

    fn source(&self) -> Source {
        Source::new(SourceConfig::new(&self.url)).unwrap()
    }

    /// The series of a remote read, or the first error.
    async fn read(&self, source: &Source, range: TimeRange) -> Result<Vec<(Labels, SeriesRuns)>, SourceError> {
        let mut stream = source.read(&[matcher()], range).await?;
        let (mut runs, mut all) = (SeriesRuns::default(), Vec::new());
        while let Some(labels) = stream.next(&mut runs).await? {
            all.push((labels, runs.clone()));
        }
        Ok(all)
    }
}

async fn request(socket: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        assert!(
            socket.read_buf(&mut bytes).await.unwrap() > 0,
            "a request ends with its body"
        );
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap().to_lowercase();
    let length = text.split("content-length: ").nth(1);
    let length: usize = length.map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    while bytes.len() < head + length {
        assert!(
            socket.read_buf(&mut bytes).await.unwrap() > 0,
            "a request ends with its body"
        );
    }
    (text, bytes[head..].to_vec())
}

fn matcher() -> Matcher {
    Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange { start, end }
}

fn floats(samples: impl IntoIterator<Item = (i64, f64)>) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for (timestamp, value) in samples {
        runs.samples.push(Sample {
            timestamp,
            value,
            start_timestamp: 0,
        });
    }
    runs
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count,
            zero_count: 0,
            positive: vec![count as i64],
            negative: vec![],
        },
        sum: 2.5,
        schema: 3,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: 2, length: 1 }],
        negative_spans: vec![],
        custom_values: vec![],
        reset_hint: ResetHint::Unknown,
    }
}

fn named(name: &str) -> Vec<wire::Label> {
    vec![wire::Label {
        name: "__name__".to_owned(),
        value: name.to_owned(),
    }]
}

/// One frame of a streamed answer.
fn frame(name: &str, runs: &SeriesRuns) -> Vec<u8> {
    let mut chunks = Vec::new();
    let mut push = |chunk: EncodedChunk<'_>| {
        chunks.push(wire::Chunk {
            min_time_ms: chunk.min_time,
            max_time_ms: chunk.max_time,
            r#type: chunk.encoding as i32,
            data: chunk.data.to_vec().into(),
        });
        Ok::<_, emberkeep_tsdb::TsdbError>(())
    };
    let mut encoder = SeriesEncoder::new();
    encoder.push(&runs.samples, &runs.histograms, &mut push).unwrap();
    encoder.finish(&mut push).unwrap();
    framed(chunks, name)
}

fn framed(chunks: Vec<wire::Chunk>, name: &str) -> Vec<u8> {
    let series = wire::ChunkedSeries {
        labels: named(name),
        chunks,
    };
    let message = wire::ChunkedReadResponse {
        chunked_series: vec![series],
        query_index: 0,
    };
    let payload = message.encode_to_vec();
    let mut out = Vec::new();
    prost::encoding::encode_varint(payload.len() as u64, &mut out);
    out.extend_from_slice(&crc_fast::crc32_iscsi(&payload).to_be_bytes());
    out.extend_from_slice(&payload);
    out
}

#[tokio::test]
async fn frames_of_one_series_are_put_together_and_cut_to_the_range() {
    let stale = f64::from_bits(STALE_MARKER_BITS);
    let mut with_histograms = floats([]);
    with_histograms.histograms.push(40, 0, &histogram(7));
    let stream = [
        frame("a", &floats((0..300).map(|t| (t, t as f64)))),
        frame("a", &floats([(300, -0.0), (301, stale)])),
        frame("b", &with_histograms),
        frame("c", &floats([(500, 1.0)])),
    ]
    .concat();
    for size in [1, 7, 4096] {
        let pieces = stream.chunks(size).map(<[u8]>::to_vec).collect();
        let server = Server::start(200, STREAMED, pieces, End::Whole).await;
        let source = server.source();
        let series = server.read(&source, range(10, 302)).await.unwrap();
        let names: Vec<_> = series
            .iter()
            .map(|(labels, _)| labels.metric_name().to_owned())
            .collect();
        assert_eq!(names, ["a", "b"], "what has nothing in the range is no series");
        assert_eq!(series[0].1.samples.timestamps, (10..302).collect::<Vec<i64>>());
        let bits: Vec<u64> = series[0].1.samples.values[290..].iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [(-0.0_f64).to_bits(), STALE_MARKER_BITS]);
        assert_eq!(series[1].1.histograms.row(0).histogram(), histogram(7));

        let (head, body) = server.asked.lock().unwrap().clone();
        assert!(head.starts_with("post /prefix/api/v1/read http/1.1"), "{head}");
        let request = ReadRequest::decode(&body, 1 << 20).unwrap();
        assert_eq!(request.accepted_response_types, [1, 0]);
        assert_eq!((request.queries[0].start_ms, request.queries[0].end_ms), (10, 301));
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_read_as_well() {
    let wire_histogram = wire::Histogram {
        count: Some(wire::histogram::Count::CountInt(7)),
        zero_count: Some(wire::histogram::ZeroCount::ZeroCountInt(0)),
        sum: 2.5,
        schema: 3,
        zero_threshold: 0.001,
        positive_spans: vec![wire::BucketSpan { offset: 2, length: 1 }],
        positive_deltas: vec![7],
        timestamp: 40,
        ..Default::default()
    };
    let series = |name: &str, samples: Vec<wire::Sample>, histograms| wire::TimeSeries {
        labels: named(name),
        samples,
        histograms,
        exemplars: vec![],
    };
    let sample = |timestamp, value| wire::Sample { timestamp, value };
    let answer = |histogram| wire::ReadResponse {
        results: vec![wire::QueryResult {
            // Not in order: such servers do not sort by the labels that they add.
            timeseries: vec![
                series("b", vec![], vec![histogram]),
                series("a", vec![sample(1, 1.0), sample(2, f64::NAN)], vec![]),
            ],
        }],
    };
    let body = snappy::compress(&answer(wire_histogram.clone()).encode_to_vec());
    let server = Server::start(200, SAMPLES, vec![body], End::Whole).await;
    let series = server.read(&server.source(), range(0, 100)).await.unwrap();
    assert_eq!(series[0].0.metric_name(), "a");
    assert_eq!(series[0].1.samples.timestamps, [1, 2]);
    assert_eq!(series[1].1.histograms.row(0).histogram(), histogram(7));

    let broken = wire::Histogram {
        positive_deltas: vec![8],
        ..wire_histogram
    };
    let body = snappy::compress(&answer(broken).encode_to_vec());
    let server = Server::start(200, SAMPLES, vec![body], End::Whole).await;
    let error = server.read(&server.source(), range(0, 100)).await.unwrap_err();
    assert!(matches!(error, SourceError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_was_cut_off_is_never_a_short_one() {
    let whole = [frame("a", &floats([(1, 1.0)])), frame("b", &floats([(1, 1.0)]))].concat();
    let first = frame("a", &floats([(1, 1.0)])).len();
    for (length, end, temporary) in [
        (whole.len(), End::CutOff, true),
        (first, End::CutOff, true),
        (first + 1, End::Whole, true),
        (whole.len() - 1, End::Whole, true),
    ] {
        let server = Server::start(200, STREAMED, vec![whole[..length].to_vec()], end).await;
        let error = server.read(&server.source(), range(0, 9)).await.unwrap_err();
        assert_eq!(error.is_temporary(), temporary, "{length}: {error}");
    }
}

#[tokio::test]
async fn damage_is_found_and_sizes_are_bounded() {
    let mut damaged = frame("a", &floats([(1, 1.0)]));
    *damaged.last_mut().unwrap() ^= 1;
    let unknown = framed(
        vec![wire::Chunk {
            min_time_ms: 1,
            max_time_ms: 1,
            r#type: 7,
            data: vec![0, 1, 2, 3].into(),
        }],
        "a",
    );
    let lies = framed(
        vec![wire::Chunk {
            min_time_ms: 1,
            max_time_ms: 1,
            r#type: 1,
            data: vec![0xff, 0xff, 2, 3].into(),
        }],
        "a",
    );
    for body in [damaged, unknown, lies] {
        let server = Server::start(200, STREAMED, vec![body], End::Whole).await;
        let error = server.read(&server.source(), range(0, 9)).await.unwrap_err();
        assert!(matches!(error, SourceError::Answer { .. }), "{error}");
    }
    let big = vec![0xff, 0xff, 0xff, 0xff, 0x7f];
    for (kind, body) in [(STREAMED, big), (SAMPLES, vec![0; 2000])] {
        let server = Server::start(200, kind, vec![body], End::CutOff).await;
        let config = SourceConfig {
            answer_bytes_max: 1000,
            ..SourceConfig::new(&server.url)
        };
        let error = server
            .read(&Source::new(config).unwrap(), range(0, 9))
            .await
            .unwrap_err();
        assert!(error.is_too_much(), "{error}");
    }
}

#[tokio::test]
async fn refusals_say_what_the_caller_can_do() {
    for (status, body, expected) in [
        (503, "starting", "temporary"),
        (429, "slow down", "temporary"),
        (400, "exceeded sample limit (5)", "too much"),
        (400, "bad matcher", "refused"),
        (404, "no such page", "refused"),
        (401, "who are you", "refused"),
    ] {
        let server = Server::start(status, "text/plain", vec![body.into()], End::Whole).await;
        let error = server.source().read(&[], range(0, 9)).await.unwrap_err();
        let found = match &error {
            SourceError::Refused { .. } => "refused",
            error if error.is_temporary() => "temporary",
            error if error.is_too_much() => "too much",
            _ => "another",
        };
        assert_eq!(found, expected, "{error}");
        let text = error.to_string();
        assert!(text.contains(body) && text.contains("/prefix/api/v1/read"), "{text}");
    }
    let server = Server::start(200, "text/html", vec!["<html>".into()], End::Whole).await;
    let error = server.source().read(&[], range(0, 9)).await.unwrap_err();
    assert!(matches!(error, SourceError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn the_caller_says_who_it_is() {
    let body = r#"{"status":"success","data":{"version":"3.14.0","revision":"x","goVersion":"y"}}"#;
    let server = Server::start(200, "application/json", vec![body.into()], End::Whole).await;
    let with_user = server.url.replace("http://", "http://me:geheim@");
    for (config, expected) in [
        (
            SourceConfig {
                auth: Auth::Bearer("Token".to_owned()),
                headers: vec![("X-Scope-OrgID".to_owned(), "team".to_owned())],
                ..SourceConfig::new(&server.url)
            },
            "authorization: bearer token",
        ),
        (SourceConfig::new(&with_user), "authorization: basic bwu6z2vozwlt"),
    ] {
        let source = Source::new(config).unwrap();
        assert!(!source.url().contains("geheim"));
        assert_eq!(source.build_info().await.unwrap().release(), Some((3, 14)));
        let head = server.asked.lock().unwrap().0.clone();
        assert!(head.contains(expected), "{head}");
    }
    let head = server.asked.lock().unwrap().0.clone();
    assert!(head.contains("get /prefix/api/v1/status/buildinfo"), "{head}");
}

#[test]
fn configurations_that_cannot_be_used_are_refused_without_their_secrets() {
    for url in ["prometheus:9090", "ftp://prometheus", "http://me:geheim@", "not a url"] {
        let error = Source::new(SourceConfig::new(url)).unwrap_err();
        assert!(matches!(error, SourceError::Config { .. }), "{error}");
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
    let missing = SourceConfig {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..SourceConfig::new("https://prometheus")
    };
    assert!(
        Source::new(missing)
            .unwrap_err()
            .to_string()
            .contains("/nowhere/ca.pem")
    );
}
