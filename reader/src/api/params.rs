//! The parameters of the API, in the query or in a form: `match[]`, `start`, `end`, `limit`, and what a route has of its own.

use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Query as UrlQuery, Request};
use axum::http::{Method, header};
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::time_expr;

use crate::scan::Query;
use crate::tenant::tenant_of;
use crate::{ReaderError, ReplicaLabels, Selection};

/// Largest form, as in Go's `ParseForm`.
const FORM_BYTES_MAX: usize = 10 << 20;

/// Whether a request must say which series it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchRule {
    Required,
    Optional,
}

/// What a request says, before it is known what it means.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) tenant: TenantId,
    pub(super) now_ms: i64,
    pairs: Vec<(String, String)>,
}

impl Form {
    pub(super) async fn of(request: Request) -> Result<Self, ReaderError> {
        Ok(Self {
            tenant: tenant_of(request.headers())?,
            pairs: pairs_of(request).await?,
            now_ms: SystemClock.now_ms(),
        })
    }

    /// The first value of a parameter; empty without one, as in Go.
    pub(super) fn first(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// A moment in milliseconds.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, ReaderError> {
        let text = self.first(name);
        if text.is_empty() {
            return Ok(None);
        }
        time_expr::parse(text, self.now_ms)
            .map(Some)
            .map_err(|error| ReaderError::Bad(format!("invalid parameter `{name}`: {error}")))
    }

    /// From `start` to `end`, both included; all of time without them.
    pub(super) fn range(&self) -> Result<TimeRange, ReaderError> {
        let start = self.time("start")?.unwrap_or(i64::MIN);
        Ok(TimeRange::from_inclusive(start, self.time("end")?.unwrap_or(i64::MAX)))
    }

    /// The labels in which replicas differ that are merged: as `configured` where the request does not say otherwise.
    pub(super) fn replicas(&self, configured: &ReplicaLabels) -> Result<ReplicaLabels, ReaderError> {
        let pairs = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        ReplicaLabels::requested(pairs, configured)
    }

    /// The series of any `match[]`.
    pub(super) fn selection(&self, rule: MatchRule) -> Result<Selection, ReaderError> {
        let selectors: Vec<&str> = self.all("match[]").collect();
        if selectors.is_empty() && rule == MatchRule::Required {
            return Err(ReaderError::Bad("no match[] parameter provided".to_owned()));
        }
        Selection::parse(&selectors).map_err(|error| ReaderError::Bad(format!("invalid parameter `match[]`: {error}")))
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Which series are asked for, and how many of the entries found.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) query: Query,
    /// The labels in which replicas differ that are merged.
    pub(super) replicas: ReplicaLabels,
    /// The most entries of the answer; none for no limit.
    pub(super) limit: Option<usize>,
}

impl Params {
    pub(super) fn of(form: Form, rule: MatchRule, configured: &ReplicaLabels) -> Result<Self, ReaderError> {
        let limit = match form.first("limit") {
            "" => None,
            text => Some(text.parse::<usize>().map_err(|_| {
                ReaderError::Bad(format!(
                    "invalid parameter `limit`: `{text}` is not a number of entries"
                ))
            })?),
        };
        Ok(Self {
            replicas: form.replicas(configured)?,
            query: Query {
                range: form.range()?,
                selection: form.selection(rule)?,
                tenant: form.tenant,
            },
            limit: limit.filter(|&limit| limit > 0),
        })
    }

    /// Whether so many entries are all that is wanted.
    pub(super) fn is_full(&self, entries: usize) -> bool {
        self.limit.is_some_and(|limit| entries >= limit)
    }
}

/// The pairs of the query and, for a POST, of the form, which counts first.
async fn pairs_of(request: Request) -> Result<Vec<(String, String)>, ReaderError> {
    let bad = |error: String| ReaderError::Bad(format!("error parsing form values: {error}"));
    let UrlQuery(from_url) =
        UrlQuery::<Vec<(String, String)>>::try_from_uri(request.uri()).map_err(|error| bad(error.body_text()))?;
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if request.method() != Method::POST || !is_form {
        return Ok(from_url);
    }
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, FORM_BYTES_MAX)
        .await
        .map_err(|error| bad(error.to_string()))?;
    let mut whole = Request::from_parts(head, bytes.into());
    // The bound is ours, and was kept above; the usual one is lower.
    DefaultBodyLimit::disable().apply(&mut whole);
    let axum::Form(mut pairs) = axum::Form::<Vec<(String, String)>>::from_request(whole, &())
        .await
        .map_err(|error| bad(error.to_string()))?;
    pairs.extend(from_url);
    Ok(pairs)
}
