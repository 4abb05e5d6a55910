//! `POST /api/v1/head/read`: the head over HTTP, for readers in another process (`docs/formats/head-read.md`).
//!
//! A stream of checked frames, one per series, and an end frame that carries the position and proves that nothing is missing.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::routing::post;
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadKinds, HeadQuery, HeadSeries};
use emberkeep_model::{MatchOp, Matcher, MetadataEntry, TenantId, TimeRange};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use emberkeep_proto::head::{ANSWER_CONTENT_TYPE, HeadAnswerWriter, HeadExemplar, HeadHistogram, decode_request};
use emberkeep_proto::messages::head::head_matcher::MatchOp as WireOp;
use emberkeep_proto::messages::head::{HeadKinds as WireKinds, HeadMetadata, HeadSeries as WireSeries};

use crate::head_read::ReceiverHead;

/// Most bytes of a decompressed request: a tenant, a range and matchers.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Answers in memory at the same time. Each may hold as many samples as the head gives in one; further readers wait.
const ANSWERS_MAX: usize = 2;

/// Frames are sent together up to here.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Clone)]
struct Endpoint {
    head: Arc<ReceiverHead>,
    answers: Arc<Semaphore>,
}

pub(crate) fn routes(head: Arc<ReceiverHead>) -> Router {
    let endpoint = Endpoint {
        head,
        answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
    };
    Router::new()
        .route("/api/v1/head/read", post(read))
        .with_state(endpoint)
}

async fn read(State(endpoint): State<Endpoint>, body: Bytes) -> Response<Body> {
    let Endpoint { head, answers } = endpoint;
    let query = match query(&body) {
        Ok(query) => query,
        Err(reason) => return text(StatusCode::BAD_REQUEST, reason),
    };
    let kinds = query.kinds;
    let Ok(permit) = answers.acquire_owned().await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping".to_owned());
    };
    match tokio::task::spawn_blocking(move || head.read(&query)).await {
        Ok(Ok(answer)) => stream(answer, kinds, permit),
        Ok(Err(error @ HeadError::Unavailable { .. })) => text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Ok(Err(error @ HeadError::TooLarge { .. })) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Err(failure) => {
            tracing::error!(%failure, "a head read failed inside");
            text(StatusCode::SERVICE_UNAVAILABLE, "internal error".to_owned())
        }
    }
}

fn query(body: &[u8]) -> Result<HeadQuery, String> {
    let request = decode_request(body, REQUEST_BYTES_MAX).map_err(|e| e.to_string())?;
    let kinds = match request.kinds() {
        WireKinds::Samples => HeadKinds::Samples,
        WireKinds::Exemplars => HeadKinds::Exemplars,
        WireKinds::Metadata => HeadKinds::Metadata,
    };
    let tenant = TenantId::parse(&request.tenant).map_err(|e| e.to_string())?;
    let matchers: Result<Arc<[Matcher]>, String> = request
        .matchers
        .into_iter()
        .map(|m| {
            let op = match m.op() {
                WireOp::Equal => MatchOp::Equal,
                WireOp::NotEqual => MatchOp::NotEqual,
                WireOp::Regex => MatchOp::Regex,
                WireOp::NotRegex => MatchOp::NotRegex,
                WireOp::Unspecified => return Err("a matcher has no comparison".to_owned()),
            };
            Matcher::new(m.name, op, m.value).map_err(|e| e.to_string())
        })
        .collect();
    Ok(HeadQuery {
        tenant,
        range: TimeRange {
            start: request.start_ms,
            end: request.end_ms,
        },
        matchers: matchers?,
        kinds,
    })
}

/// Some frames at a time are encoded, as fast as the client takes them.
fn stream(answer: HeadAnswer, kinds: HeadKinds, permit: OwnedSemaphorePermit) -> Response<Body> {
    let HeadAnswer {
        position,
        series,
        metadata,
    } = answer;
    let kinds = match kinds {
        HeadKinds::Samples => WireKinds::Samples,
        HeadKinds::Exemplars => WireKinds::Exemplars,
        HeadKinds::Metadata => WireKinds::Metadata,
    };
    let content = (series.cursor(), series, metadata.into_iter());
    let frames = futures::stream::unfold(
        Some((content, HeadAnswerWriter::new(kinds), position, permit)),
        async |state| {
            let ((mut cursor, series, mut metadata), mut writer, position, permit) = state?;
            let mut out = Vec::new();
            if let Some(next) = cursor.next(&series) {
                writer.series(wire_series(next), &mut out);
                while out.len() < CHUNK_BYTES
                    && let Some(next) = cursor.next(&series)
                {
                    writer.series(wire_series(next), &mut out);
                }
            } else if let Some(entry) = metadata.next() {
                writer.metadata(wire_metadata(entry), &mut out);
            } else {
                writer.end(position.receiver, position.epoch, position.committed, &mut out);
                return Some((Ok::<_, Infallible>(Bytes::from(out)), None));
            }
            Some((
                Ok(Bytes::from(out)),
                Some(((cursor, series, metadata), writer, position, permit)),
            ))
        },
    );
    Response::builder()
        .header(header::CONTENT_TYPE, ANSWER_CONTENT_TYPE)
        .body(Body::from_stream(frames))
        .expect("headers are fixed and valid")
}

fn wire_series(series: HeadSeries) -> WireSeries {
    let HeadSeries { labels, runs } = series;
    let mut wire = WireSeries {
        labels: labels.as_bytes().to_vec(),
        timestamps: runs.samples.timestamps,
        value_bits: runs.samples.values.iter().map(|value| value.to_bits()).collect(),
        start_timestamps: runs.samples.start_timestamps,
        ..WireSeries::default()
    };
    for row in runs.histograms.iter() {
        wire.push_histogram(HeadHistogram {
            timestamp: row.timestamp,
            start_timestamp: row.start_timestamp,
            canonical: row.canonical,
        });
    }
    for exemplar in runs.exemplars.as_slice() {
        wire.push_exemplar(HeadExemplar {
            timestamp: exemplar.timestamp,
            value_bits: exemplar.value.to_bits(),
            labels: exemplar.labels.as_bytes(),
        });
    }
    wire
}

fn wire_metadata(entry: MetadataEntry) -> HeadMetadata {
    let MetadataEntry { family, series, seen } = entry;
    HeadMetadata {
        family,
        series: series.map(|labels| labels.as_bytes().to_vec()),
        metric_type: seen.metadata.metric_type as i32,
        unit: seen.metadata.unit,
        help: seen.metadata.help,
        first_seen_ms: seen.first_seen,
        last_seen_ms: seen.last_seen,
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::from(text + "\n"))
        .expect("status is fixed and valid")
}
