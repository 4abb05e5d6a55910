//! The body of a remote read request as plain data.
//!
//! Decoded by the generated messages, since a request is small. It must not be decoded before its entries were counted: an empty
//! query is two bytes on the wire and a hundred in memory.

use prost::Message;

use crate::fields::count_entries;
use crate::messages::prometheus as wire_messages;
use crate::wire::Cursor;
use crate::{WireError, snappy};

/// Most queries, matchers and grouping labels of one request, together. Prometheus sends one query with a handful of matchers.
const MAX_ENTRIES: usize = 10_000;

/// A remote read request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The queries, to be answered in this order.
    pub queries: Vec<ReadQuery>,
    /// Numbers of the response types that the client takes, best first; for [`crate::content::ReadResponseType::negotiate`].
    pub accepted_response_types: Vec<i32>,
}

/// One selector over one range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadQuery {
    /// First millisecond of the range.
    pub start_ms: i64,
    /// Last millisecond of the range, which belongs to it.
    pub end_ms: i64,
    /// All of them must hold.
    pub matchers: Vec<ReadMatcher>,
    /// What the client will do with the answer.
    pub hints: Option<ReadHints>,
}

/// One condition on one label. A regex is not compiled here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMatcher {
    /// How the value is compared.
    pub op: MatchOp,
    /// Name of the label.
    pub name: String,
    /// Value or regex.
    pub value: String,
}

/// The four comparisons of a matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// What the client will do with an answer. Serving less than the range because of it is allowed, never required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadHints {
    /// Resolution of the query in milliseconds, 0 when unknown.
    pub step_ms: i64,
    /// The function around the selector; `series` when only labels are wanted.
    pub func: String,
    /// First millisecond that this selector needs.
    pub start_ms: i64,
    /// Last millisecond that this selector needs.
    pub end_ms: i64,
    /// Labels of the aggregation around the selector.
    pub grouping: Vec<String>,
    /// Whether it aggregates by those labels, rather than without them.
    pub by: bool,
    /// Range of the selector in milliseconds, 0 for an instant selector.
    pub range_ms: i64,
}

impl ReadRequest {
    /// Decodes a request body, a snappy block of at most `limit` bytes when decompressed.
    ///
    /// # Errors
    /// Those of [`snappy::decompress_capped`]; [`WireError::TooLarge`] for more than 10,000 queries, matchers and grouping labels together;
    /// [`WireError::Malformed`] and [`WireError::Message`] for a body that is not this message.
    pub fn decode(body: &[u8], limit: usize) -> Result<Self, WireError> {
        let mut message = Vec::new();
        snappy::decompress_capped(body, limit, &mut message)?;
        let fields = Cursor::new(&message);
        // Queries, matchers, the grouping labels of hints.
        let entries =
            count_entries(fields, &[1])? + count_entries(fields, &[1, 3])? + count_entries(fields, &[1, 4, 5])?;
        if entries > MAX_ENTRIES {
            return Err(WireError::TooLarge {
                what: "list of queries and matchers",
                declared: entries as u64,
                limit: MAX_ENTRIES as u64,
            });
        }
        let request = wire_messages::ReadRequest::decode(message.as_slice()).map_err(|source| WireError::Message {
            what: "read request",
            source,
        })?;
        Ok(Self {
            queries: request.queries.into_iter().map(read_query).collect::<Result<_, _>>()?,
            accepted_response_types: request.accepted_response_types,
        })
    }
}

fn read_query(query: wire_messages::Query) -> Result<ReadQuery, WireError> {
    Ok(ReadQuery {
        start_ms: query.start_timestamp_ms,
        end_ms: query.end_timestamp_ms,
        matchers: query.matchers.into_iter().map(read_matcher).collect::<Result<_, _>>()?,
        hints: query.hints.map(|hints| ReadHints {
            step_ms: hints.step_ms,
            func: hints.func,
            start_ms: hints.start_ms,
            end_ms: hints.end_ms,
            grouping: hints.grouping,
            by: hints.by,
            range_ms: hints.range_ms,
        }),
    })
}

fn read_matcher(matcher: wire_messages::LabelMatcher) -> Result<ReadMatcher, WireError> {
    use wire_messages::label_matcher::Type;
    // Not the generated getter: it takes an unknown number for `=` and would answer another question.
    let op = match Type::try_from(matcher.r#type) {
        Ok(Type::Eq) => MatchOp::Equal,
        Ok(Type::Neq) => MatchOp::NotEqual,
        Ok(Type::Re) => MatchOp::Regex,
        Ok(Type::Nre) => MatchOp::NotRegex,
        Err(_) => {
            return Err(WireError::Malformed {
                offset: 0,
                what: "unknown type of a matcher",
            });
        }
    };
    Ok(ReadMatcher {
        op,
        name: matcher.name,
        value: matcher.value,
    })
}

#[cfg(test)]
mod tests;
