//! The JSON envelope of Prometheus' API, and the one place where errors become status codes.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use emberkeep_model::Labels;
use emberkeep_service::version::{REVISION, VERSION};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::{ReaderError, ReaderMetrics};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'static str>,
}

/// A label set as a JSON object.
pub(super) struct LabelSet<'a>(pub(super) &'a Labels);

impl Serialize for LabelSet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
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

/// The answer of a handler: its data and whether a limit cut it short, or why there is none.
pub(super) fn answer<T: Serialize>(
    metrics: &ReaderMetrics,
    handler: &'static str,
    result: Result<(T, bool), &ReaderError>,
) -> Response {
    let (code, body) = match result {
        Ok((data, truncated)) => {
            let warnings = if truncated {
                vec!["results truncated due to limit"]
            } else {
                Vec::new()
            };
            let envelope = Envelope {
                status: "success",
                data: Some(data),
                error_type: None,
                error: None,
                warnings,
            };
            (StatusCode::OK, serde_json::to_vec(&envelope))
        }
        Err(error) => {
            let (code, error_type) = status_of(error);
            if code.is_server_error() {
                tracing::error!(handler, error = %error, "request failed");
            }
            let envelope = Envelope::<()> {
                status: "error",
                data: None,
                error_type: Some(error_type),
                error: Some(Cow::Owned(error.to_string())),
                warnings: Vec::new(),
            };
            (code, serde_json::to_vec(&envelope))
        }
    };
    metrics.request(handler, code.as_u16());
    let json = HeaderValue::from_static("application/json");
    let body = body.expect("texts and maps with text keys always become JSON");
    (code, [(header::CONTENT_TYPE, json)], body).into_response()
}

/// The status code and Prometheus' error type of an error.
pub(crate) fn status_of(error: &ReaderError) -> (StatusCode, &'static str) {
    match error {
        ReaderError::Bad(_) => (StatusCode::BAD_REQUEST, "bad_data"),
        ReaderError::TooMuch(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        ReaderError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ReaderError::Archive(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ReaderError::Archive(_)
        | ReaderError::Inconsistent(_)
        | ReaderError::File { .. }
        | ReaderError::Output { .. }
        | ReaderError::Gone => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}
