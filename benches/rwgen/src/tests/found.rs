//! What `check` finds: a server answers remote reads from a store that the test may damage. Its chunks are made by the product's
//! encoder, an oracle for the decoder here.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use emberkeep_model::{Counts, HistogramRun, ResetHint, Run};
use emberkeep_tsdb::SeriesEncoder;
use prost::Message;

use super::messages::{Labels, all_sent, by_series, sent_in};
use super::server::{Call, Reply, serve};
use super::{encoded, recipe};
use crate::check::{Outcome, Question};
use crate::encode::Profile;
use crate::file::RequestFile;
use crate::histogram::{Histogram, Side, Span};
use crate::http::Url;
use crate::journal::Fate;
use crate::request::Protocol;
use crate::row::Value;

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start: i64,
    #[prost(int64, tag = "2")]
    end: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<Matcher>,
}

#[derive(Clone, PartialEq, Message)]
struct Matcher {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Frame {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    chunks: Vec<Chunk>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Chunk {
    #[prost(int32, tag = "3")]
    encoding: i32,
    #[prost(bytes, tag = "4")]
    data: Vec<u8>,
}

type Store = BTreeMap<Labels, BTreeMap<i64, Value>>;

fn chunks(rows: &BTreeMap<i64, Value>, (from, to): (i64, i64)) -> Vec<Chunk> {
    let (mut floats, mut histograms) = (Run::default(), HistogramRun::default());
    for (timestamp, value) in rows.range(from..=to) {
        match value {
            Value::Float(bits) => {
                floats.timestamps.push(*timestamp);
                floats.values.push(f64::from_bits(*bits));
            }
            Value::Histogram(histogram) => histograms.push(*timestamp, 0, &product(histogram)),
        }
    }
    let (mut encoder, mut chunks) = (SeriesEncoder::new(), Vec::new());
    let mut keep = |chunk: emberkeep_tsdb::EncodedChunk<'_>| {
        chunks.push(Chunk {
            encoding: chunk.encoding as i32,
            data: chunk.data.to_vec(),
        });
        Ok::<(), ()>(())
    };
    encoder.push(&floats, &histograms, &mut keep).unwrap();
    encoder.finish(&mut keep).unwrap();
    chunks
}

fn product(histogram: &Histogram) -> emberkeep_model::Histogram {
    let whole = |side: &Side| side.counts.iter().map(|count| count.cast_signed()).collect();
    let float = |side: &Side| side.counts.iter().map(|count| f64::from_bits(*count)).collect();
    let spans = |side: &Side| {
        let span = |span: &Span| emberkeep_model::Span {
            offset: span.offset,
            length: span.length,
        };
        side.spans.iter().map(span).collect()
    };
    let counts = if histogram.is_float {
        Counts::Float {
            count: f64::from_bits(histogram.count),
            zero_count: f64::from_bits(histogram.zero_count),
            positive: float(&histogram.positive),
            negative: float(&histogram.negative),
        }
    } else {
        Counts::Integer {
            count: histogram.count,
            zero_count: histogram.zero_count,
            positive: whole(&histogram.positive),
            negative: whole(&histogram.negative),
        }
    };
    emberkeep_model::Histogram {
        counts,
        sum: f64::from_bits(histogram.sum),
        schema: histogram.schema,
        zero_threshold: f64::from_bits(histogram.zero_threshold),
        reset_hint: if histogram.is_gauge {
            ResetHint::Gauge
        } else {
            ResetHint::Unknown
        },
        positive_spans: spans(&histogram.positive),
        negative_spans: spans(&histogram.negative),
        custom_values: histogram.custom.iter().map(|bound| f64::from_bits(*bound)).collect(),
    }
}

fn answer(store: &Store, call: &Call) -> Reply {
    #[expect(clippy::disallowed_methods, reason = "the body is our own")]
    let raw = snap::raw::Decoder::new()
        .decompress_vec(&call.body)
        .expect("a snappy block");
    let request = ReadRequest::decode(raw.as_slice()).expect("a read request");
    assert_eq!((request.queries.len(), &request.accepted[..]), (1, &[1][..]));
    let query = &request.queries[0];
    let fits = |labels: &Labels| {
        query.matchers.iter().all(|matcher| {
            let value = labels
                .iter()
                .find(|(name, _)| *name == matcher.name)
                .map_or("", |(_, value)| value);
            (matcher.kind == 0 && value == matcher.value) || (matcher.kind == 2 && matcher.value == ".+")
        })
    };
    let mut out = Vec::new();
    for (labels, rows) in store.iter().filter(|(labels, _)| fits(labels)) {
        let label = |(name, value): &(String, String)| Label {
            name: name.clone(),
            value: value.clone(),
        };
        let series = Series {
            labels: labels.iter().map(label).collect(),
            chunks: chunks(rows, (query.start, query.end)),
        };
        if series.chunks.is_empty() {
            continue;
        }
        let payload = Frame { series: vec![series] }.encode_to_vec();
        prost::encoding::encode_varint(payload.len() as u64, &mut out);
        out.extend_from_slice(&crc_fast::crc32_iscsi(&payload).to_be_bytes());
        out.extend_from_slice(&payload);
    }
    Reply::Answer(200, out)
}

/// A file of requests, and a server that has something stored.
struct Bench {
    _folder: tempfile::TempDir,
    path: PathBuf,
    file: RequestFile,
    store: Arc<Mutex<Store>>,
    url: Url,
}

impl Bench {
    fn new(profile: Profile, protocol: Protocol) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = encoded(&recipe(profile, protocol), folder.path(), "requests");
        let store = Arc::new(Mutex::new(by_series(&all_sent(&file))));
        let shared = Arc::clone(&store);
        let url = serve(move |call| answer(&shared.lock().unwrap(), &call));
        Self {
            _folder: folder,
            path,
            file,
            store,
            url,
        }
    }

    fn check(&self, fates: Option<Vec<Fate>>, reads: u64) -> Outcome {
        let path: &Path = &self.path;
        let question = Question {
            file: &self.file,
            requests: path,
            url: self.url.clone(),
            fates,
            metrics: ".+".to_owned(),
            reads: Some(reads),
        };
        question.check().unwrap()
    }

    /// Changes what is stored of the series with that number.
    fn damage(&self, series: usize, change: impl FnOnce(&mut BTreeMap<i64, Value>)) -> Labels {
        let mut store = self.store.lock().unwrap();
        let (labels, rows) = store.iter_mut().nth(series).unwrap();
        change(rows);
        labels.clone()
    }
}

#[test]
fn what_came_through_whole_is_equal() {
    for (profile, protocol) in [
        (Profile::Node, Protocol::V1),
        (Profile::Histograms, Protocol::V2),
        (Profile::Kubernetes, Protocol::V2),
    ] {
        let bench = Bench::new(profile, protocol);
        for reads in [1, 7] {
            let outcome = bench.check(None, reads);
            assert_eq!(
                (outcome.different, outcome.shown.len()),
                (0, 0),
                "{profile:?} {:?}",
                outcome.shown
            );
            assert_eq!(outcome.found, bench.file.summary.totals.rows);
            assert_eq!(
                (outcome.expected, outcome.series),
                (outcome.found, bench.file.summary.totals.series)
            );
        }
    }
}

#[test]
fn a_missing_an_extra_and_an_altered_sample_are_found_and_named() {
    for profile in [Profile::Busy, Profile::Histograms] {
        let bench = Bench::new(profile, Protocol::V1);
        let mut wanted = Vec::new();
        let mut first = 0;
        let labels = bench.damage(3, |rows| first = rows.pop_first().unwrap().0);
        wanted.push((labels, (1, 0, 0), first));
        let labels = bench.damage(40, |rows| {
            let (last, value) = rows.last_key_value().unwrap();
            first = last + 1;
            let value = value.clone();
            rows.insert(first, value);
        });
        wanted.push((labels, (0, 1, 0), first));
        let labels = bench.damage(77, |rows| {
            let (timestamp, value) = rows.iter_mut().rfind(|(_, value)| !value.is_stale()).unwrap();
            first = *timestamp;
            match value {
                // One bit.
                Value::Float(bits) => *bits ^= 1,
                Value::Histogram(histogram) => histogram.sum ^= 1,
            }
        });
        wanted.push((labels, (0, 0, 1), first));
        let outcome = bench.check(None, 2);
        assert_eq!(outcome.different, 3);
        for (labels, counts, first) in wanted {
            let shown = outcome.shown.iter().find(|shown| shown.labels == labels).unwrap();
            assert_eq!((shown.missing, shown.extra, shown.unequal), counts, "{shown}");
            assert_eq!(shown.first_ms, Some(first), "{shown}");
        }
    }
}

#[test]
fn a_series_too_few_or_too_many_is_a_difference() {
    let bench = Bench::new(Profile::Node, Protocol::V2);
    let (lost, rows) = bench.store.lock().unwrap().pop_first().unwrap();
    let outcome = bench.check(None, 1);
    assert_eq!((outcome.different, outcome.shown[0].missing), (1, rows.len() as u64));
    assert_eq!(outcome.shown[0].labels, lost);

    let mut stranger = lost.clone();
    stranger.push(("zone".to_owned(), "elsewhere".to_owned()));
    bench
        .store
        .lock()
        .unwrap()
        .extend([(lost, rows.clone()), (stranger.clone(), rows.clone())]);
    let outcome = bench.check(None, 3);
    assert_eq!((outcome.different, outcome.shown[0].extra), (1, rows.len() as u64));
    assert_eq!(outcome.shown[0].labels, stranger);
}

#[test]
fn what_was_acknowledged_must_be_there_and_what_was_not_may_be() {
    let bench = Bench::new(Profile::Node, Protocol::V1);
    // Each connection got so far, has one request in doubt, and sent no more.
    let (mut fates, mut left) = (Vec::new(), [9, 4, 0]);
    for slot in &bench.file.slots {
        let left: &mut i32 = &mut left[slot.connection as usize];
        *left -= 1;
        fates.push(match *left {
            0.. => Fate::Acknowledged,
            -1 => Fate::Doubtful,
            _ => Fate::Unsent,
        });
    }
    let stored = |fates: &[Fate], wanted: &[Fate]| {
        let requests = (0..fates.len()).filter(|&request| wanted.contains(&fates[request]));
        by_series(
            &requests
                .flat_map(|request| sent_in(&bench.file, request))
                .collect::<Vec<_>>(),
        )
    };
    let doubtful = |store: &Store, less: &Store| {
        let rows = |store: &Store| store.values().map(BTreeMap::len).sum::<usize>();
        (rows(store) - rows(less)) as u64
    };
    let acknowledged = stored(&fates, &[Fate::Acknowledged]);
    let both = stored(&fates, &[Fate::Acknowledged, Fate::Doubtful]);
    assert!(doubtful(&both, &acknowledged) > 200, "the case is about something");

    // Nothing of what is in doubt, all of it, and some of it.
    let mut some = both.clone();
    let (number, dropped) = (&mut 0, &mut 0);
    for (labels, rows) in &mut some {
        rows.retain(|timestamp, _| {
            let is_doubtful = !acknowledged
                .get(labels)
                .is_some_and(|rows| rows.contains_key(timestamp));
            *number += u64::from(is_doubtful);
            let drop = is_doubtful && number.is_multiple_of(3);
            *dropped += u64::from(drop);
            !drop
        });
    }
    for store in [&acknowledged, &both, &some] {
        store.clone_into(&mut bench.store.lock().unwrap());
        let outcome = bench.check(Some(fates.clone()), 2);
        assert_eq!(outcome.different, 0, "{:?}", outcome.shown);
        assert_eq!(outcome.doubtful, doubtful(store, &acknowledged));
    }

    // Without what was acknowledged, or with what was never sent.
    let labels = bench.damage(0, |rows| rows.clear());
    let outcome = bench.check(Some(fates.clone()), 1);
    let lost = acknowledged.get(&labels).map_or(0, BTreeMap::len) as u64;
    assert!(
        lost == 0 || (outcome.different == 1 && outcome.shown[0].missing == lost),
        "{:?}",
        outcome.shown
    );
    let all = stored(&fates, &[Fate::Acknowledged, Fate::Doubtful, Fate::Unsent]);
    let unsent = doubtful(&all, &both);
    all.clone_into(&mut bench.store.lock().unwrap());
    let outcome = bench.check(Some(fates), 1);
    assert!(outcome.different > 0);
    assert_eq!(outcome.found, outcome.expected + unsent);
    assert_eq!(outcome.shown.len(), outcome.different.min(20) as usize);
}

#[test]
fn a_gap_in_what_was_acknowledged_is_an_error() {
    let bench = Bench::new(Profile::Busy, Protocol::V1);
    let mut fates = vec![Fate::Acknowledged; bench.file.slots.len()];
    fates[0] = Fate::Doubtful;
    let question = Question {
        file: &bench.file,
        requests: &bench.path,
        url: bench.url.clone(),
        fates: Some(fates),
        metrics: ".+".to_owned(),
        reads: None,
    };
    assert!(question.check().is_err());
}

#[test]
fn answers_that_are_damaged_or_refused_are_errors() {
    let bench = Bench::new(Profile::Busy, Protocol::V1);
    let store = bench.store.lock().unwrap().clone();
    let ask = |change: fn(Vec<u8>) -> Reply| {
        let store = store.clone();
        let url = serve(move |call| match answer(&store, &call) {
            Reply::Answer(_, body) => change(body),
            Reply::HangUp => Reply::HangUp,
        });
        let question = Question {
            file: &bench.file,
            requests: &bench.path,
            url,
            fates: None,
            metrics: ".+".to_owned(),
            reads: None,
        };
        format!("{:#}", question.check().expect_err("the answer is wrong"))
    };
    let flipped = ask(|mut body| {
        let middle = body.len() / 2;
        body[middle] ^= 1;
        Reply::Answer(200, body)
    });
    assert!(flipped.contains("checksum") || flipped.contains("frame"), "{flipped}");
    let short = ask(|body| Reply::Answer(200, body[..body.len() - 1].to_vec()));
    assert!(short.contains("inside a frame"), "{short}");
    let refused = ask(|_| Reply::Answer(422, b"too many series".to_vec()));
    assert!(
        refused.contains("422") && refused.contains("too many series"),
        "{refused}"
    );
}
