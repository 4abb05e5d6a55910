//! A remote read request: decoded, checked and turned into queries of ours.
//!
//! Sizes are bounded before anything is allocated for them (32 MiB, as in Prometheus), and whatever is wrong is told to the
//! client with its reason. It must never widen what was asked for, nor ignore a part of it that it does not understand.

use axum::body::to_bytes;
use axum::extract::Query as UrlQuery;
use axum::extract::Request;
use axum::http::header;
use emberkeep_model::{MatchOp, Matcher, TenantId, TimeRange};
use emberkeep_proto::content::{ReadResponseType, check_content_encoding};
use emberkeep_proto::read::{self as wire, ReadRequest};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::problem::chain;
use emberkeep_service::time_expr;

use crate::scan::Query;
use crate::tenant::tenant_of;
use crate::{ReaderError, ReplicaLabels, Selection};
use emberkeep_model::excerpt::{QUOTED_BYTES_MAX, excerpt};

/// Bound of the compressed and of the decompressed body.
const BODY_BYTES_MAX: usize = 32 << 20;

/// What is asked for.
#[derive(Debug)]
pub(super) struct ReadQueries {
    pub(super) queries: Vec<Query>,
    pub(super) answer: ReadResponseType,
    /// The labels in which replicas differ that are merged.
    pub(super) replicas: ReplicaLabels,
    /// The moment of the past that is asked, milliseconds since 1970.
    pub(super) as_of: Option<i64>,
}

impl ReadQueries {
    /// Replicas are merged as `configured` where the request does not say otherwise.
    pub(super) async fn of(request: Request, configured: &ReplicaLabels) -> Result<Self, ReaderError> {
        let (replicas, as_of) = of_url(&request, configured)?;
        let tenant = tenant_of(request.headers())?;
        let encoding = request
            .headers()
            .get(header::CONTENT_ENCODING)
            .map(|value| value.to_str().unwrap_or("not text"));
        check_content_encoding(encoding).map_err(|error| ReaderError::Bad(error.to_string()))?;
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|error| {
            ReaderError::Bad(format!(
                "the body cannot be read, or has more than {BODY_BYTES_MAX} bytes: {error}"
            ))
        })?;
        let message = ReadRequest::decode(&body, BODY_BYTES_MAX)
            .map_err(|error| ReaderError::Bad(format!("the body is not a remote read request: {}", chain(&error))))?;
        Ok(Self {
            as_of,
            ..Self::decode(message, &tenant, replicas)?
        })
    }

    fn decode(message: ReadRequest, tenant: &TenantId, replicas: ReplicaLabels) -> Result<Self, ReaderError> {
        let answer = ReadResponseType::negotiate(&message.accepted_response_types)
            .map_err(|error| ReaderError::Bad(error.to_string()))?;
        let queries = message
            .queries
            .into_iter()
            .map(|query| decode_query(query, tenant))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            queries,
            answer,
            replicas,
            as_of: None,
        })
    }
}

/// What the URL says of replicas and of a moment of the past (`as_of`); the body has no place for it.
fn of_url(request: &Request, configured: &ReplicaLabels) -> Result<(ReplicaLabels, Option<i64>), ReaderError> {
    let UrlQuery(pairs) = UrlQuery::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|error| ReaderError::Bad(format!("parameters of the URL: {}", error.body_text())))?;
    let as_of = pairs.iter().find(|(name, value)| name == "as_of" && !value.is_empty());
    let as_of = as_of
        .map(|(_, text)| time_expr::parse(text, SystemClock.now_ms()))
        .transpose();
    let as_of = as_of.map_err(|error| ReaderError::Bad(format!("invalid parameter `as_of`: {error}")))?;
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok((ReplicaLabels::requested(pairs, configured)?, as_of))
}

fn decode_query(query: wire::ReadQuery, tenant: &TenantId) -> Result<Query, ReaderError> {
    let mut range = TimeRange::from_inclusive(query.start_ms, query.end_ms);
    if let Some(hints) = &query.hints
        // Hints without a range have zeros there.
        && (hints.start_ms, hints.end_ms) != (0, 0)
        && hints.start_ms <= hints.end_ms
    {
        range = range.intersect(TimeRange::from_inclusive(hints.start_ms, hints.end_ms));
    }
    let matchers = query
        .matchers
        .into_iter()
        .map(decode_matcher)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Query {
        tenant: tenant.clone(),
        range,
        selection: Selection::of(matchers.into()),
    })
}

fn decode_matcher(matcher: wire::ReadMatcher) -> Result<Matcher, ReaderError> {
    let op = match matcher.op {
        wire::MatchOp::Equal => MatchOp::Equal,
        wire::MatchOp::NotEqual => MatchOp::NotEqual,
        wire::MatchOp::Regex => MatchOp::Regex,
        wire::MatchOp::NotRegex => MatchOp::NotRegex,
    };
    Matcher::new(matcher.name, op, matcher.value.as_str()).map_err(|error| {
        // Each has its share, so that a long pattern leaves room for what is wrong with it.
        let (pattern, why) = (
            excerpt(format_args!("{:?}", matcher.value), QUOTED_BYTES_MAX),
            excerpt(error, 2 * QUOTED_BYTES_MAX),
        );
        ReaderError::Bad(format!("pattern {pattern}: {why}"))
    })
}

#[cfg(test)]
mod tests;
