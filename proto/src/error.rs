//! Why bytes from the wire are refused, told apart by what a server or client can do about it.
//!
//! It must never carry more of a peer's bytes than a header value, so that an answer cannot be made to echo a body.

/// Why bytes from the wire were not taken, or a header was not understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The bytes say that they are larger than the limit. Nothing was allocated for them.
    #[error("the {what} is {declared} bytes or entries large, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Size that the bytes declare, in bytes (entries where `what` says so).
        declared: u64,
        /// The bound, in the same unit.
        limit: u64,
    },
    /// The bytes do not follow their format.
    #[error("malformed at byte {offset}: {what}")]
    Malformed {
        /// Where, in bytes from the start of the decompressed body (or of the stream, for frames).
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A remote write 2.0 request whose symbol table does not begin with the empty string.
    #[error("the first symbol of a remote write 2.0 request must be the empty string")]
    FirstSymbol,
    /// A frame's payload does not have the checksum that stands before it.
    #[error("the frame at byte {offset} has checksum `{computed:08x}`, its header says `{stored:08x}`")]
    Checksum {
        /// Where the frame starts, in bytes from the start of the stream.
        offset: usize,
        /// CRC-32C in the frame header.
        stored: u32,
        /// CRC-32C of the payload.
        computed: u32,
    },
    /// A `Content-Type` that names nothing we take; HTTP status 415.
    #[error("content type `{found}` is not supported")]
    ContentType {
        /// The header's value, shortened.
        found: String,
    },
    /// A `Content-Encoding` other than snappy; HTTP status 415.
    #[error("content encoding `{found}` is not supported, the body must be a snappy block")]
    ContentEncoding {
        /// The header's value, shortened.
        found: String,
    },
    /// A remote read client accepts only response types that we do not have; HTTP status 400.
    #[error("none of the accepted response types is supported")]
    ResponseType,
    /// A receiver answered a head read with other kinds of rows than were asked for; one that is older than this reader knows float samples alone.
    #[error("the head did not answer with the {asked} it was asked for; is its receiver older than this program?")]
    HeadKinds {
        /// The kinds that were asked for.
        asked: &'static str,
    },
    /// A message that is decoded as a whole was refused by the protobuf library.
    #[error("the {what} cannot be decoded")]
    Message {
        /// Which message.
        what: &'static str,
        /// What the library says.
        source: prost::DecodeError,
    },
}

/// [`WireError::Malformed`] in the small and `Copy` form that the hot decoders pass around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

impl From<Malformed> for WireError {
    fn from(Malformed { offset, what }: Malformed) -> Self {
        WireError::Malformed { offset, what }
    }
}
