//! The head of a receiver elsewhere: what it sends is checked, and nothing short of a whole answer is taken.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use emberkeep_model::head::HeadQuery;
use emberkeep_model::{MatchOp, Matcher, TenantId, TimeRange};
use emberkeep_proto::head::{ANSWER_CONTENT_TYPE, HeadAnswerWriter, decode_request};
use emberkeep_proto::messages::head::HeadSeries;
use emberkeep_reader::{HeadSource, ReaderError, RemoteHead};

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
    HeadQuery {
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
        start_timestamps: Vec::new(),
    }
}

fn whole(all: Vec<HeadSeries>) -> Vec<u8> {
    let (mut writer, mut body) = (HeadAnswerWriter::default(), Vec::new());
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
    assert_eq!(answer.series.len(), 2);
    assert_eq!(
        (
            answer.series[0].samples.timestamps.as_slice(),
            answer.series[1].samples.values.as_slice()
        ),
        (&[1, 2][..], &[3.0][..])
    );
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
