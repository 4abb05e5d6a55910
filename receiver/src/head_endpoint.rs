//! `POST /api/v1/head/read`: the head over HTTP, for readers in another process (`docs/formats/head-read.md`).
//!
//! A stream of checked frames, one per series, and an end frame that carries the position and proves that nothing is missing.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::routing::post;
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadQuery};
use emberkeep_model::{MatchOp, Matcher, TenantId, TimeRange};
use emberkeep_proto::head as wire;

use crate::head_read::ReceiverHead;

pub(crate) fn routes(head: Arc<ReceiverHead>) -> Router {
    Router::new().route("/api/v1/head/read", post(read)).with_state(head)
}

async fn read(State(head): State<Arc<ReceiverHead>>, body: Bytes) -> Response<Body> {
    let query = match query(&body) {
        Ok(query) => query,
        Err(reason) => return text(StatusCode::BAD_REQUEST, reason),
    };
    match tokio::task::spawn_blocking(move || head.read(&query)).await {
        Ok(Ok(answer)) => stream(answer),
        Ok(Err(error @ HeadError::Unavailable { .. })) => text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Ok(Err(error @ HeadError::TooLarge { .. })) => text(StatusCode::BAD_REQUEST, error.to_string()),
        Err(failure) => {
            tracing::error!(%failure, "a head read failed inside");
            text(StatusCode::SERVICE_UNAVAILABLE, "internal error".to_owned())
        }
    }
}

fn query(body: &[u8]) -> Result<HeadQuery, String> {
    let request = wire::decode_request(body).map_err(|e| e.to_string())?;
    let tenant = TenantId::parse(&request.tenant).map_err(|e| e.to_string())?;
    let matchers: Result<Arc<[Matcher]>, String> = request
        .matchers
        .into_iter()
        .map(|m| {
            let op = match wire::MatchOp::try_from(m.op).map_err(|_| format!("unknown matcher type {}", m.op))? {
                wire::MatchOp::Equal => MatchOp::Equal,
                wire::MatchOp::NotEqual => MatchOp::NotEqual,
                wire::MatchOp::Regex => MatchOp::Regex,
                wire::MatchOp::NotRegex => MatchOp::NotRegex,
            };
            Matcher::new(m.name, op, m.value).map_err(|e| e.to_string())
        })
        .collect();
    Ok(HeadQuery { tenant, range: TimeRange { start: request.start_ms, end: request.end_ms }, matchers: matchers? })
}

/// One frame at a time is encoded, as fast as the client takes them.
fn stream(answer: HeadAnswer) -> Response<Body> {
    let HeadAnswer { position, series } = answer;
    let end = wire::end_frame(&position.receiver, position.epoch, position.committed, series.len() as u64);
    let frames = series
        .into_iter()
        .map(|series| {
            let run = &series.samples;
            wire::series_frame(series.labels.as_bytes(), &run.timestamps, &run.values, &run.start_timestamps)
        })
        .chain([end]);
    let body = futures::stream::iter(frames.map(|frame| Ok::<_, std::convert::Infallible>(Bytes::from(frame))));
    Response::builder()
        .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
        .body(Body::from_stream(body))
        .expect("headers are fixed and valid")
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    Response::builder().status(status).body(Body::from(text + "\n")).expect("status is fixed and valid")
}
