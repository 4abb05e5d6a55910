//! The parameters of the metadata API: `match[]`, `start`, `end`, `limit`, in the query or in a form.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Query as UrlQuery, Request};
use axum::http::{Method, header};
use emberkeep_model::TimeRange;
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::time_expr;

use crate::scan::Query;
use crate::tenant::tenant_of;
use crate::{ReaderError, Selection};

/// Largest form, as in Go's `ParseForm`.
const FORM_BYTES_MAX: usize = 10 << 20;

/// Whether a request must say which series it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchRule {
    Required,
    Optional,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) query: Query,
    /// The most entries of the answer; none for no limit.
    pub(super) limit: Option<usize>,
}

impl Params {
    pub(super) async fn of(request: Request, rule: MatchRule) -> Result<Self, ReaderError> {
        let tenant = tenant_of(request.headers())?;
        let pairs = pairs_of(request).await?;
        let of = |name: &'static str| {
            pairs
                .iter()
                .filter(move |(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let selectors: Vec<&str> = of("match[]").collect();
        if selectors.is_empty() && rule == MatchRule::Required {
            return Err(ReaderError::Bad("no match[] parameter provided".to_owned()));
        }
        let selection = Selection::parse(&selectors)
            .map_err(|error| ReaderError::Bad(format!("invalid parameter `match[]`: {error}")))?;
        let now = SystemClock.now_ms();
        let time = |name: &'static str, default: i64| match of(name).next() {
            None | Some("") => Ok(default),
            Some(text) => time_expr::parse(text, now)
                .map_err(|error| ReaderError::Bad(format!("invalid parameter `{name}`: {error}"))),
        };
        let range = TimeRange::from_inclusive(time("start", i64::MIN)?, time("end", i64::MAX)?);
        let limit = match of("limit").next() {
            None | Some("") => None,
            Some(text) => Some(text.parse::<usize>().map_err(|_| {
                ReaderError::Bad(format!(
                    "invalid parameter `limit`: `{text}` is not a number of entries"
                ))
            })?),
        };
        Ok(Self {
            query: Query {
                tenant,
                range,
                selection,
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
    let whole = Request::from_parts(head, bytes.into());
    let axum::Form(mut pairs) = axum::Form::<Vec<(String, String)>>::from_request(whole, &())
        .await
        .map_err(|error| bad(error.to_string()))?;
    pairs.extend(from_url);
    Ok(pairs)
}
