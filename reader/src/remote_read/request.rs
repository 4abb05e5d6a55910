//! A remote read request: decoded, checked and turned into queries of ours.
//!
//! Sizes are bounded before anything is allocated for them (32 MiB, as in Prometheus), and whatever is wrong is told to the
//! client with its reason. It must never widen what was asked for, nor ignore a part of it that it does not understand.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header;
use emberkeep_model::{MatchOp, Matcher, TenantId, TimeRange};
use emberkeep_proto::remote_read::{self as wire, ReadRequest, ResponseType};
use emberkeep_proto::{decompress_capped, prost::Message};

use crate::scan::Query;
use crate::tenant::tenant_of;
use crate::{ReaderError, Selection};

/// Bound of the compressed and of the decompressed body.
const BODY_BYTES_MAX: usize = 32 << 20;

/// How the client wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerType {
    Sampled,
    Streamed,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct ReadQueries {
    pub(super) queries: Vec<Query>,
    pub(super) answer: AnswerType,
}

impl ReadQueries {
    pub(super) async fn of(request: Request) -> Result<Self, ReaderError> {
        let tenant = tenant_of(request.headers())?;
        if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING)
            && encoding != "snappy"
        {
            return Err(ReaderError::Bad(format!("content encoding {encoding:?} is not `snappy`")));
        }
        let body = to_bytes(request.into_body(), BODY_BYTES_MAX)
            .await
            .map_err(|error| ReaderError::Bad(format!("the body cannot be read, or has more than {BODY_BYTES_MAX} bytes: {error}")))?;
        let mut message = Vec::new();
        decompress_capped(&body, BODY_BYTES_MAX, &mut message).map_err(|error| ReaderError::Bad(error.to_string()))?;
        let message = ReadRequest::decode(message.as_slice())
            .map_err(|error| ReaderError::Bad(format!("the body is not a remote read request: {error}")))?;
        Self::decode(message, &tenant)
    }

    fn decode(message: ReadRequest, tenant: &TenantId) -> Result<Self, ReaderError> {
        let answer = negotiate(&message.accepted_response_types)?;
        let queries = message.queries.into_iter().map(|query| decode_query(query, tenant)).collect::<Result<_, _>>()?;
        Ok(Self { queries, answer })
    }
}

/// The first type of the client's list that is known here; without a list, samples, which is all that old clients read.
fn negotiate(accepted: &[i32]) -> Result<AnswerType, ReaderError> {
    if accepted.is_empty() {
        return Ok(AnswerType::Sampled);
    }
    let known = accepted.iter().find_map(|&accepted| match ResponseType::try_from(accepted) {
        Ok(ResponseType::Samples) => Some(AnswerType::Sampled),
        Ok(ResponseType::StreamedXorChunks) => Some(AnswerType::Streamed),
        Err(_) => None,
    });
    known.ok_or_else(|| ReaderError::Bad(format!("none of the accepted response types {accepted:?} is supported")))
}

fn decode_query(query: wire::Query, tenant: &TenantId) -> Result<Query, ReaderError> {
    let mut range = TimeRange::from_inclusive(query.start_timestamp_ms, query.end_timestamp_ms);
    if let Some(hints) = &query.hints
        // Hints without a range have zeros there.
        && (hints.start_ms, hints.end_ms) != (0, 0)
        && hints.start_ms <= hints.end_ms
    {
        range = range.intersect(TimeRange::from_inclusive(hints.start_ms, hints.end_ms));
    }
    let matchers = query.matchers.into_iter().map(decode_matcher).collect::<Result<Vec<_>, _>>()?;
    Ok(Query { tenant: tenant.clone(), range, selection: Selection::of(matchers.into()) })
}

fn decode_matcher(matcher: wire::LabelMatcher) -> Result<Matcher, ReaderError> {
    use wire::label_matcher::Type;
    let op = match Type::try_from(matcher.r#type) {
        Ok(Type::Eq) => MatchOp::Equal,
        Ok(Type::Neq) => MatchOp::NotEqual,
        Ok(Type::Re) => MatchOp::Regex,
        Ok(Type::Nre) => MatchOp::NotRegex,
        Err(_) => {
            return Err(ReaderError::Bad(format!("matcher `{}` has the unknown type {}", matcher.name, matcher.r#type)));
        }
    };
    Matcher::new(matcher.name, op, matcher.value).map_err(|error| ReaderError::Bad(error.to_string()))
}

#[cfg(test)]
mod tests;
