//! The JSON envelope of Prometheus' API, and the one place where errors become status codes.

use std::borrow::Borrow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use emberkeep_archive::ArchiveError;
use emberkeep_model::Labels;
use emberkeep_service::version::{REVISION, VERSION};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::{ReaderError, ReaderMetrics};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A label set, or a reference to one, as a JSON object.
pub(super) struct LabelSet<L>(pub(super) L);

impl<L: Borrow<Labels>> Serialize for LabelSet<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let labels = self.0.borrow();
        let mut map = serializer.serialize_map(Some(labels.len()))?;
        for (name, value) in labels.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// `/api/v1/status/buildinfo`; all fields that Prometheus has, because clients read them unasked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BuildInfo {
    application: &'static str,
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

impl Default for BuildInfo {
    fn default() -> Self {
        Self {
            application: "Emberkeep",
            version: VERSION,
            revision: REVISION,
            branch: "",
            build_user: "",
            build_date: "",
            go_version: "",
        }
    }
}

/// What a handler found.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) data: T,
    /// What the client should know about the data.
    pub(super) warnings: Vec<String>,
}

impl<T> Found<T> {
    /// All there is.
    pub(super) fn whole(data: T) -> Self {
        Self {
            data,
            warnings: Vec::new(),
        }
    }

    /// With a warning for each head that is missing in the data.
    pub(super) fn without(mut self, left_out: &[String]) -> Self {
        self.warnings.extend(left_out.iter().map(|head| missing_head(head)));
        self
    }

    /// The first entries: a limit cut off the rest.
    pub(super) fn truncated(data: T) -> Self {
        Self {
            data,
            warnings: vec!["results truncated due to limit".to_owned()],
        }
    }
}

/// What a client is told of a head that an answer was made without.
pub(super) fn missing_head(head: &str) -> String {
    format!("the head at {head} could not be asked; what only it holds is missing")
}

/// The answer of a handler: what it found, or why there is nothing.
pub(super) fn answer<T: Serialize>(
    metrics: &ReaderMetrics,
    handler: &'static str,
    result: Result<Found<T>, ReaderError>,
) -> Response {
    let result = result.map(|found| {
        let envelope = Envelope {
            status: "success",
            data: Some(found.data),
            error_type: None,
            error: None,
            warnings: found.warnings,
        };
        Some(bytes_of(&envelope))
    });
    answer_written(metrics, handler, result)
}

/// The answer of a handler that wrote the whole envelope itself, or has nothing to say.
pub(super) fn answer_written(
    metrics: &ReaderMetrics,
    handler: &'static str,
    result: Result<Option<Vec<u8>>, ReaderError>,
) -> Response {
    let (code, body) = match result {
        Ok(Some(body)) => (StatusCode::OK, body),
        Ok(None) => {
            metrics.request(handler, StatusCode::NO_CONTENT.as_u16());
            return StatusCode::NO_CONTENT.into_response();
        }
        Err(error) => {
            let (code, error_type) = status_of(&error);
            if code.is_server_error() {
                tracing::error!(handler, error = error.told(), "request failed");
            }
            let envelope = Envelope::<()> {
                status: "error",
                data: None,
                error_type: Some(error_type),
                error: Some(error.told()),
                warnings: Vec::new(),
            };
            (code, bytes_of(&envelope))
        }
    };
    metrics.request(handler, code.as_u16());
    let json = HeaderValue::from_static("application/json");
    (code, [(header::CONTENT_TYPE, json)], body).into_response()
}

fn bytes_of<T: Serialize>(envelope: &Envelope<T>) -> Vec<u8> {
    serde_json::to_vec(envelope).expect("texts, numbers and maps with text keys always become JSON")
}

/// The status code and Prometheus' error type of an error.
pub(crate) fn status_of(error: &ReaderError) -> (StatusCode, &'static str) {
    match error {
        ReaderError::Bad(_) => (StatusCode::BAD_REQUEST, "bad_data"),
        ReaderError::TooMuch(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        ReaderError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ReaderError::Archive(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        // Nothing is wrong with the archive or the request: another reader, or this one with the key, answers it.
        ReaderError::Archive(ArchiveError::Key { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ReaderError::Archive(_)
        | ReaderError::Inconsistent(_)
        | ReaderError::File { .. }
        | ReaderError::Output { .. }
        | ReaderError::Gone => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}
