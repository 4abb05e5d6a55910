//! Head read: how a reader asks a receiver for everything that is acknowledged and not yet in the archive. Drawn in `docs/formats/head-read.md`.
//!
//! Request: a snappy block. Answer: frames, content first, one end last. An answer without its end must never be used: it would be silently shorter.

mod reader;
mod rows;
mod writer;

pub use reader::{HeadAnswerReader, HeadContent};
pub use rows::{HeadExemplar, HeadHistogram};
pub use writer::HeadAnswerWriter;

use prost::Message;

use crate::fields::count_entries;
use crate::messages::head::head_matcher::MatchOp;
use crate::messages::head::{HeadKinds, HeadReadRequest};
use crate::wire::Cursor;
use crate::{WireError, snappy};

/// `Content-Type` of a request. Its `Content-Encoding` is `snappy`.
pub const REQUEST_CONTENT_TYPE: &str = "application/x-protobuf;proto=emberkeep.head.v1.HeadReadRequest";

/// `Content-Type` of an answer, which has no `Content-Encoding`.
pub const ANSWER_CONTENT_TYPE: &str = "application/x-streamed-protobuf;proto=emberkeep.head.v1.HeadReadFrame";

/// Most matchers of a request.
const MAX_MATCHERS: usize = 10_000;

/// The body of a request.
#[must_use]
pub fn encode_request(request: &HeadReadRequest) -> Vec<u8> {
    snappy::compress(&request.encode_to_vec())
}

/// Decodes the body of a request, of at most `limit` bytes when decompressed.
///
/// # Errors
/// Those of [`snappy::decompress_capped`]; [`WireError::TooLarge`] for more than 10,000 matchers; [`WireError::Malformed`] for a comparison or
/// kinds that are unknown and [`WireError::Message`] for what is not this message.
pub fn decode_request(body: &[u8], limit: usize) -> Result<HeadReadRequest, WireError> {
    let mut message = Vec::new();
    snappy::decompress_capped(body, limit, &mut message)?;
    let matchers = count_entries(Cursor::new(&message), &[4])?;
    if matchers > MAX_MATCHERS {
        return Err(WireError::TooLarge {
            what: "list of matchers",
            declared: matchers as u64,
            limit: MAX_MATCHERS as u64,
        });
    }
    let request = HeadReadRequest::decode(message.as_slice()).map_err(|source| WireError::Message {
        what: "head read request",
        source,
    })?;
    // Read as another one, what is unknown would answer another question.
    let known = |op| MatchOp::try_from(op).is_ok_and(|op| op != MatchOp::Unspecified);
    let what = if HeadKinds::try_from(request.kinds).is_err() {
        "unknown kinds of rows: this receiver is older than the reader"
    } else if request.matchers.iter().all(|matcher| known(matcher.op)) {
        return Ok(request);
    } else {
        "unknown comparison of a matcher"
    };
    Err(WireError::Malformed { offset: 0, what })
}

#[cfg(test)]
mod tests;
