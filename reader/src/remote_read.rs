//! `POST /api/v1/read`: Prometheus' remote read, both answers (`docs/http-reader.md`).
//!
//! Failures before the first byte are statuses with a text; afterwards the connection is aborted, because the protocol has no
//! error inside an answer. An answer must never end cleanly unless it is complete.

mod body;
mod budget;
mod frame;
mod missing;
pub(crate) mod point;
mod request;
mod sampled;
mod snappy_rope;
mod streamed;
pub(crate) mod wire;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use emberkeep_proto::content::ReadResponseType;
use emberkeep_service::duration;
use tokio::time::{Instant, sleep_until};

use self::body::BodySender;
use self::budget::Budget;
use self::missing::Missing;
use self::request::ReadQueries;
use self::sampled::SampledAnswer;
use crate::{Reader, ReaderError, api};

/// Answers a remote read.
pub(crate) async fn handle(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let response = match respond(&reader, request).await {
        Ok(response) => response,
        Err(error) => {
            let code = match &error {
                // Prometheus answers a passed limit of remote read with 400, and clients take it as their own doing.
                ReaderError::TooMuch(_) => StatusCode::BAD_REQUEST,
                other => api::status_of(other).0,
            };
            if code.is_server_error() {
                tracing::error!(error = error.told(), "remote read failed");
            }
            (code, format!("{}\n", error.told())).into_response()
        }
    };
    reader.metrics().request("read", response.status().as_u16());
    response
}

async fn respond(reader: &Arc<Reader>, request: Request) -> Result<Response, ReaderError> {
    let timeout = reader.settings().timeout;
    let deadline = Instant::now() + timeout;
    let asked = ReadQueries::of(request, &reader.settings().replica_labels).await?;
    let permit = reader.enter(deadline).await?;
    let too_late = move || {
        ReaderError::Unavailable(format!(
            "the answer took longer than {} (--read.timeout): narrow the query",
            duration::format(timeout)
        ))
    };
    if Instant::now() >= deadline {
        return Err(too_late());
    }
    let answer = asked.answer;
    let (mut sender, receiver) = body::channel(reader.metrics());
    let task_reader = Arc::clone(reader);
    let missing = Missing::default();
    let noted = missing.clone();
    // A task of its own, so that reading and sending overlap. It ends when the receiver is dropped with the connection, and when
    // its time is over, also while a client does not take what is there.
    tokio::spawn(async move {
        let running = task_reader.metrics().run();
        let abandoned = sender.abandoned();
        let answered = async {
            match asked.answer {
                ReadResponseType::StreamedXorChunks => write_streamed(&task_reader, &asked, &mut sender, &noted).await,
                ReadResponseType::Samples => write_sampled(&task_reader, &asked, &mut sender, &noted).await,
            }
        };
        let result = tokio::select! {
            result = answered => result,
            () = abandoned => Err(ReaderError::Gone),
            () = sleep_until(deadline) => Err(too_late()),
        };
        // The end may have to wait for a client that takes nothing; its place need not.
        drop((permit, running));
        sender.conclude(result).await;
    });
    let body = receiver.into_body().await?;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type()));
    if let Some(encoding) = answer.content_encoding() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.extend(missing.header());
    Ok(response)
}

async fn write_streamed(
    reader: &Reader,
    asked: &ReadQueries,
    body: &mut BodySender,
    missing: &Missing,
) -> Result<(), ReaderError> {
    let mut budget = Budget::streamed(reader.settings());
    for (index, query) in asked.queries.iter().enumerate() {
        budget.next_query();
        let mut scan = reader.read_as_of(query, &asked.replicas, asked.as_of).await?;
        missing.note(&scan);
        streamed::write(&mut scan, index as u64, &mut budget, reader.metrics(), body).await?;
        reader.tell_conflicts(query, &scan);
    }
    Ok(())
}

async fn write_sampled(
    reader: &Reader,
    asked: &ReadQueries,
    body: &mut BodySender,
    missing: &Missing,
) -> Result<(), ReaderError> {
    let mut answer = SampledAnswer::new(reader.settings());
    for query in &asked.queries {
        let mut scan = reader.read_as_of(query, &asked.replicas, asked.as_of).await?;
        missing.note(&scan);
        answer.add(&mut scan, reader.metrics()).await?;
        reader.tell_conflicts(query, &scan);
    }
    for piece in answer.finish()? {
        body.write_whole(piece).await?;
    }
    Ok(())
}
