//! Content negotiation: from header values to the message that a body holds or that an answer shall hold.
//!
//! Pure functions over header text. They must be asked before a body is read: a body of the wrong type answers 415, not 400.

use crate::WireError;

/// Most bytes of a header value that an error repeats.
const SHOWN: usize = 100;

/// The versions of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteProtocol {
    /// Remote write 1.0, `prometheus.WriteRequest`.
    V1,
    /// Remote write 2.0, `io.prometheus.write.v2.Request`.
    V2,
}

impl WriteProtocol {
    /// The protocol that a `Content-Type` names. Missing or empty means 1.0, as does a type without the `proto` parameter (remote write 2.0,
    /// section "Protobuf Message"). Type and parameter names are taken in any case, with optional white space and quotes (RFC 9110, 8.3).
    ///
    /// # Errors
    /// [`WireError::ContentType`] for everything else, to be answered with 415.
    pub fn from_content_type(value: Option<&str>) -> Result<Self, WireError> {
        let value = value.map_or("", trim);
        if value.is_empty() {
            return Ok(Self::V1);
        }
        let (media_type, parameters) = split_unquoted(value);
        if !trim(media_type).eq_ignore_ascii_case("application/x-protobuf") {
            return Err(WireError::ContentType { found: shown(value) });
        }
        match parameter(parameters, "proto") {
            None | Some("prometheus.WriteRequest") => Ok(Self::V1),
            Some("io.prometheus.write.v2.Request") => Ok(Self::V2),
            Some(_) => Err(WireError::ContentType { found: shown(value) }),
        }
    }

    /// The `Content-Type` a sender of this protocol writes.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf;proto=prometheus.WriteRequest",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }
}

/// Checks a `Content-Encoding`: every body of these protocols is a snappy block, and some senders do not say so.
///
/// # Errors
/// [`WireError::ContentEncoding`] for any other encoding, to be answered with 415.
pub fn check_content_encoding(value: Option<&str>) -> Result<(), WireError> {
    let value = value.map_or("", trim);
    if value.is_empty() || value.eq_ignore_ascii_case("snappy") {
        return Ok(());
    }
    Err(WireError::ContentEncoding { found: shown(value) })
}

/// The kinds of answer to a remote read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadResponseType {
    /// One `prometheus.ReadResponse` in a snappy block, samples as they are.
    Samples,
    /// A stream of `prometheus.ChunkedReadResponse` frames, samples in chunks; not compressed.
    StreamedXorChunks,
}

impl ReadResponseType {
    /// The first type in a request's list that we have. An empty list means [`Self::Samples`]; numbers that are unknown are passed over.
    ///
    /// # Errors
    /// [`WireError::ResponseType`] when the list names only types that we do not have, to be answered with 400.
    pub fn negotiate(accepted: &[i32]) -> Result<Self, WireError> {
        if accepted.is_empty() {
            return Ok(Self::Samples);
        }
        let known = accepted.iter().find_map(|number| match number {
            0 => Some(Self::Samples),
            1 => Some(Self::StreamedXorChunks),
            _ => None,
        });
        known.ok_or(WireError::ResponseType)
    }

    /// The `Content-Type` of the answer. Clients compare it byte for byte, the one space included.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Samples => "application/x-protobuf",
            Self::StreamedXorChunks => "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
        }
    }

    /// The `Content-Encoding` of the answer, when it has one.
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Samples => Some("snappy"),
            Self::StreamedXorChunks => None,
        }
    }
}

/// The value of the first parameter with this name, quotes taken off. Escapes inside quotes are left as they are: no name we know has one.
fn parameter<'a>(mut parameters: &'a str, name: &str) -> Option<&'a str> {
    while !parameters.is_empty() {
        let (first, rest) = split_unquoted(parameters);
        if let Some((key, value)) = first.split_once('=')
            && trim(key).eq_ignore_ascii_case(name)
        {
            let value = trim(value);
            return Some(
                value
                    .strip_prefix('"')
                    .and_then(|inner| inner.strip_suffix('"'))
                    .unwrap_or(value),
            );
        }
        parameters = rest;
    }
    None
}

/// What stands before and after the first semicolon outside quotes.
fn split_unquoted(text: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// Without the optional white space of RFC 9110: spaces and tabs.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn shown(value: &str) -> String {
    value[..value.floor_char_boundary(SHOWN)].to_owned()
}

#[cfg(test)]
mod tests;
