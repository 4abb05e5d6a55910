//! The HTTP half of remote write: checks by header and size first, then ingest, then the answer (`docs/http-receiver.md`).
//!
//! Order of checks: method 405, content type 415, encoding 415, tenant 400, size 413, then what ingest says. Trouble of ours is always
//! 503 with `Retry-After`: senders drop what gets a 4xx, 429 included. The 2.0 headers stand on every 2.0 answer and on no 1.0 answer.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::post;
use emberkeep_model::TenantId;
use emberkeep_proto::content::{self, WriteProtocol};

use crate::batch::Counts;
use crate::ingest::{self, Ingest, IngestError, Sender};
use crate::metrics::AnswerLabels;

/// Seconds after which a sender that honours it comes again.
const RETRY_AFTER_SECONDS: &str = "5";
/// Senders read no more of an error.
const ERROR_BYTES_MAX: usize = 1024;

/// The write routes: Prometheus' own path, and those of Cortex and Thanos, so that an URL can be swapped.
pub(crate) fn routes(ingest: Arc<Ingest>) -> Router {
    ["/api/v1/write", "/api/v1/push", "/api/v1/receive"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, post(write)))
        .with_state(ingest)
}

/// An answer before it is a response.
struct Answer {
    status: StatusCode,
    text: String,
    written: Counts,
}

async fn write(State(ingest): State<Arc<Ingest>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let protocol = WriteProtocol::from_content_type(header(&parts.headers, header::CONTENT_TYPE));
    let answer = match &protocol {
        Err(error) => Answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()),
        Ok(protocol) => match read(&ingest, &parts.headers, body).await {
            Err(answer) => answer,
            Ok((tenant, body)) => {
                let agent = header(&parts.headers, header::USER_AGENT)
                    .unwrap_or_default()
                    .to_owned();
                let sender = Sender {
                    tenant,
                    protocol: *protocol,
                    agent,
                };
                answer(ingest.clone(), sender, body).await
            }
        },
    };
    let protocol = protocol.ok();
    let labels = AnswerLabels {
        protocol: protocol.map_or("unknown", |p| match p {
            WriteProtocol::V1 => "1.0",
            WriteProtocol::V2 => "2.0",
        }),
        code: answer.status.as_u16(),
    };
    ingest.metrics.requests.get_or_create(&labels).inc();
    answer.into_response(protocol)
}

/// Header checks and the body, at most as long as allowed.
async fn read(ingest: &Ingest, headers: &HeaderMap, body: Body) -> Result<(TenantId, ingest::Body), Answer> {
    content::check_content_encoding(header(headers, header::CONTENT_ENCODING))
        .map_err(|error| Answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()))?;
    let tenant = match header(headers, "x-scope-orgid") {
        None => TenantId::default(),
        Some(text) => TenantId::parse(text).map_err(|e| Answer::error(StatusCode::BAD_REQUEST, e.to_string()))?,
    };
    let limit = ingest.settings.body_bytes_max;
    let declared = header(headers, header::CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    let too_large = || {
        Answer::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes"),
        )
    };
    if declared.is_some_and(|len| len > limit) {
        return Err(too_large());
    }
    // Before the first byte is held; a body of unknown length may become as long as the limit.
    let permit = ingest
        .admit(declared.unwrap_or(limit))
        .map_err(|e| Answer::later(e.to_string()))?;
    let received = tokio::time::timeout(ingest.settings.body_timeout, axum::body::to_bytes(body, limit)).await;
    let bytes = match received {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) if declared.is_none() => return Err(too_large()),
        Ok(Err(error)) => {
            return Err(Answer::error(
                StatusCode::BAD_REQUEST,
                format!("the body broke off: {error}"),
            ));
        }
        Err(_) => return Err(Answer::later("the body did not arrive in time".to_owned())),
    };
    Ok((tenant, ingest::Body { bytes, permit }))
}

async fn answer(ingest: Arc<Ingest>, sender: Sender, body: ingest::Body) -> Answer {
    // A task of its own: a client that hangs up must not drop a request between its record and its head append.
    let task = tokio::spawn(async move { ingest.ingest(sender, body).await });
    match task.await {
        Ok(Ok(kept)) => match kept.refused {
            None => Answer {
                status: StatusCode::NO_CONTENT,
                text: String::new(),
                written: kept.counts,
            },
            Some(refused) => Answer {
                status: StatusCode::BAD_REQUEST,
                text: format!("{}; the rest is stored: {}", refused, stored(kept.counts)),
                written: kept.counts,
            },
        },
        Ok(Err(error)) => Answer::error(
            match error {
                IngestError::Malformed(_) => StatusCode::BAD_REQUEST,
                IngestError::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            error.to_string(),
        ),
        Err(panic) => {
            tracing::error!(%panic, "a write request failed inside");
            Answer::error(StatusCode::SERVICE_UNAVAILABLE, "internal error".to_owned())
        }
    }
}

impl Answer {
    fn error(status: StatusCode, text: String) -> Self {
        Self {
            status,
            text,
            written: Counts::default(),
        }
    }

    fn later(text: String) -> Self {
        Self::error(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn into_response(self, protocol: Option<WriteProtocol>) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response = response.header(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if protocol == Some(WriteProtocol::V2) {
            response = response
                .header("X-Prometheus-Remote-Write-Samples-Written", self.written.samples)
                .header("X-Prometheus-Remote-Write-Histograms-Written", self.written.histograms)
                .header("X-Prometheus-Remote-Write-Exemplars-Written", self.written.exemplars);
        }
        let mut text = self.text;
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX - 1));
        if !text.is_empty() {
            text.push('\n');
            response = response.header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        }
        response
            .body(Body::from(text))
            .expect("status and headers are fixed and valid")
    }
}

/// Counts as words, without the kinds of which there is nothing.
fn stored(counts: Counts) -> String {
    let kinds = [
        (counts.samples, "samples"),
        (counts.histograms, "histograms"),
        (counts.exemplars, "exemplars"),
        (counts.metadata, "metadata"),
    ];
    let named: Vec<String> = kinds
        .into_iter()
        .filter(|(n, kind)| *n > 0 || *kind == "samples")
        .map(|(n, kind)| format!("{n} {kind}"))
        .collect();
    named.join(", ")
}

fn header(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}
