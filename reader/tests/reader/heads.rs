//! The head of a receiver elsewhere: what it sends is checked, and nothing short of a whole answer is taken.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use emberkeep_model::head::{HeadKinds, HeadQuery};
use emberkeep_model::{Counts, Histogram, MatchOp, Matcher, MetricType, TenantId, TimeRange};
use emberkeep_proto::head::{ANSWER_CONTENT_TYPE, HeadAnswerWriter, HeadExemplar, HeadHistogram, decode_request};
use emberkeep_proto::messages::head::{self as wire, HeadMetadata, HeadSeries};
use emberkeep_reader::{HeadSource, ReaderError, RemoteHead};

use crate::histograms;
use crate::support::{client, labels};

/// A receiver that answers each request with the same status, type and bytes.
async fn receiver(status: StatusCode, kind: &'static str, body: Vec<u8>) -> HeadSource {
    // Chooses the provider of TLS, as every test that makes a client.
    let _ = client();
    let answer = move |request: Bytes| {
        let body = body.clone();
        async move {
            let asked = decode_request(&request, 1 << 20).unwrap();
            assert_eq!((asked.tenant.as_str(), asked.start_ms, asked.end_ms), ("t", -5, 100));
            assert_eq!(asked.matchers.len(), 1);
            (status, [("Content-Type", kind)], body).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/base/api/v1/head/read", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    HeadSource::Remote(RemoteHead::new(&format!("http://{address}/base/")).unwrap())
}

fn query() -> HeadQuery {
    query_of(HeadKinds::Samples)
}

fn query_of(kinds: HeadKinds) -> HeadQuery {
    HeadQuery {
        kinds,
        tenant: TenantId::parse("t").unwrap(),
        range: TimeRange { start: -5, end: 100 },
        matchers: vec![Matcher::new("a", MatchOp::NotRegex, "b.*").unwrap()].into(),
    }
}

fn series(name: &str, timestamps: &[i64]) -> HeadSeries {
    HeadSeries {
        labels: labels(&[("__name__", name)]).as_bytes().to_vec(),
        timestamps: timestamps.to_vec(),
        value_bits: timestamps
            .iter()
            .map(|&timestamp| (timestamp as f64).to_bits())
            .collect(),
        ..HeadSeries::default()
    }
}

fn whole(all: Vec<HeadSeries>) -> Vec<u8> {
    whole_of(wire::HeadKinds::Samples, all)
}

fn whole_of(kinds: wire::HeadKinds, all: Vec<HeadSeries>) -> Vec<u8> {
    let (mut writer, mut body) = (HeadAnswerWriter::new(kinds), Vec::new());
    for series in all {
        writer.series(series, &mut body);
    }
    writer.end("r9".to_owned(), 3, 17, &mut body);
    body
}

#[tokio::test]
async fn a_whole_answer_is_taken() {
    let body = whole(vec![series("a", &[1, 2]), series("b", &[3])]);
    let answer = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, body)
        .await
        .read(query())
        .await
        .unwrap();
    assert_eq!(
        (
            answer.position.receiver.as_str(),
            answer.position.epoch,
            answer.position.committed
        ),
        ("r9", 3, 17)
    );
    let found: Vec<_> = answer.series.iter().collect();
    assert_eq!(found.len(), 2);
    assert_eq!(
        (
            found[0].runs.samples.timestamps.as_slice(),
            found[1].runs.samples.values.as_slice()
        ),
        (&[1, 2][..], &[3.0][..])
    );
}

#[tokio::test]
async fn every_kind_comes_back_as_it_was() {
    let (first, second) = (histograms::sort(9), histograms::sort(4));
    let mut mixed = series("a", &[1, 5]);
    for (timestamp, start_timestamp, histogram) in [(2, 0, &first), (7, 3, &second)] {
        mixed.push_histogram(HeadHistogram {
            timestamp,
            start_timestamp,
            canonical: &histogram.to_canonical(),
        });
    }
    let source = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, whole(vec![mixed])).await;
    let runs = source.read(query()).await.unwrap().series.iter().next().unwrap().runs;
    assert_eq!(runs.samples.timestamps, [1, 5]);
    let rows: Vec<_> = runs
        .histograms
        .iter()
        .map(|row| (row.timestamp, row.start_timestamp, row.canonical.to_vec()))
        .collect();
    assert_eq!(rows, [(2, 0, first.to_canonical()), (7, 3, second.to_canonical())]);

    let mut traced = series("a", &[]);
    let trace = labels(&[("trace_id", "x")]);
    traced.push_exemplar(HeadExemplar {
        timestamp: 4,
        value_bits: (-0.0_f64).to_bits(),
        labels: trace.as_bytes(),
    });
    let body = whole_of(wire::HeadKinds::Exemplars, vec![traced]);
    let source = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, body).await;
    let answer = source.read(query_of(HeadKinds::Exemplars)).await.unwrap();
    let first = answer.series.iter().next().unwrap();
    let exemplar = &first.runs.exemplars.as_slice()[0];
    assert_eq!(
        (exemplar.timestamp, exemplar.value.to_bits(), &exemplar.labels),
        (4, 1 << 63, &trace)
    );

    let (mut writer, mut body) = (HeadAnswerWriter::new(wire::HeadKinds::Metadata), Vec::new());
    let of_series = labels(&[("__name__", "up"), ("job", "x")]);
    for (family, series) in [("requests", None), ("up", Some(of_series.as_bytes().to_vec()))] {
        let metadata = HeadMetadata {
            family: family.to_owned(),
            series,
            metric_type: 2,
            unit: "seconds".to_owned(),
            help: "Help.".to_owned(),
            first_seen_ms: -1,
            last_seen_ms: 9,
        };
        writer.metadata(metadata, &mut body);
    }
    writer.end("r9".to_owned(), 3, 17, &mut body);
    let source = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, body).await;
    let found = source.read(query_of(HeadKinds::Metadata)).await.unwrap().metadata;
    assert_eq!((found[0].family.as_str(), &found[0].series), ("requests", &None));
    assert_eq!((found[1].family.as_str(), &found[1].series), ("up", &Some(of_series)));
    assert_eq!(found[0].seen.metadata.metric_type, MetricType::Gauge);
    assert_eq!((found[1].seen.first_seen, found[1].seen.last_seen), (-1, 9));
}

/// A receiver of the version before answers any question with floats: taken for exemplars, they would be an empty answer.
#[tokio::test]
async fn what_was_not_asked_for_is_not_an_answer() {
    for asked in [HeadKinds::Exemplars, HeadKinds::Metadata] {
        for body in [whole(vec![series("a", &[1])]), whole(Vec::new())] {
            let source = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, body).await;
            let error = source.read(query_of(asked)).await.unwrap_err();
            assert!(matches!(error, ReaderError::Unavailable(_)), "{error}");
        }
    }
}

/// A histogram and a float of one time are settled by the receiver; canonical bytes are nothing else, and mean a valid one.
#[tokio::test]
async fn histograms_are_checked() {
    let with = |timestamp, canonical: &[u8]| {
        let mut series = series("a", &[1]);
        series.push_histogram(HeadHistogram {
            timestamp,
            start_timestamp: 0,
            canonical,
        });
        whole(vec![series])
    };
    let good = histograms::counter(1).to_canonical();
    // Well formed, and not valid: a count below its buckets, a schema that nobody has, spans that overlap.
    let broken = |change: fn(&mut Histogram)| {
        let mut histogram = histograms::counter(1);
        change(&mut histogram);
        with(2, &histogram.to_canonical())
    };
    for body in [
        with(1, &good),
        with(2, &good[1..]),
        with(2, &[]),
        broken(|histogram| {
            if let Counts::Integer { count, .. } = &mut histogram.counts {
                *count = 0;
            }
        }),
        broken(|histogram| histogram.schema = 53),
        broken(|histogram| histogram.positive_spans[1].offset = -1),
    ] {
        let source = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, body).await;
        let error = source.read(query()).await.unwrap_err();
        assert!(matches!(error, ReaderError::Unavailable(_)), "{error}");
    }
    let source = receiver(StatusCode::OK, ANSWER_CONTENT_TYPE, with(2, &good)).await;
    assert!(source.read(query()).await.is_ok());
}

#[tokio::test]
async fn anything_else_is_unavailable() {
    let body = whole(vec![series("a", &[1, 2]), series("b", &[3])]);
    let mut flipped = body.clone();
    flipped[12] ^= 1;
    for (status, kind, body) in [
        (StatusCode::OK, ANSWER_CONTENT_TYPE, body[..body.len() - 1].to_vec()),
        (StatusCode::OK, ANSWER_CONTENT_TYPE, Vec::new()),
        (StatusCode::OK, ANSWER_CONTENT_TYPE, flipped),
        (StatusCode::OK, ANSWER_CONTENT_TYPE, whole(vec![series("a", &[2, 1])])),
        (StatusCode::OK, "text/html", body.clone()),
        (StatusCode::SERVICE_UNAVAILABLE, "text/plain", b"replaying".to_vec()),
        (StatusCode::NOT_FOUND, "text/plain", Vec::new()),
    ] {
        let error = receiver(status, kind, body).await.read(query()).await.unwrap_err();
        assert!(matches!(error, ReaderError::Unavailable(_)), "{error}");
    }
    let down = HeadSource::Remote(RemoteHead::new("http://127.0.0.1:1").unwrap());
    assert!(matches!(
        down.read(query()).await.unwrap_err(),
        ReaderError::Unavailable(_)
    ));
    assert!(RemoteHead::new("receiver:9201").is_err() && RemoteHead::new("ftp://x").is_err());
}
