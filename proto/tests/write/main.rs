//! The borrowed decoders of remote write against prost: on random messages in every legal spelling, on damaged ones, and on what a real
//! Prometheus sent. Where both take a body they must read the same out of it, and where one refuses it there must be a reason.

mod corpus;
mod histogram;
mod spelling;
mod v1;
mod v2;
mod walk;

use emberkeep_proto::WireError;
use prost::{DecodeError, Message};

/// What prost and our decoder made of one body, when both took it. Panics when their verdicts contradict each other.
fn both<M: Message + Default + std::fmt::Debug, R>(body: &[u8], ours: Result<R, WireError>) -> Option<(M, R)> {
    match (M::decode(body), ours) {
        (Ok(message), Ok(request)) => Some((message, request)),
        // Ours leaves UTF-8 to the caller, who refuses one series and not the request.
        (Err(error), Ok(_)) if is_utf8(&error) => None,
        (Err(error), Ok(_)) => panic!("only prost refuses {body:x?}: {error}"),
        (Ok(message), Err(error)) => panic!("only we refuse {message:?}: {error}"),
        (Err(_), Err(WireError::Malformed { offset, .. })) => {
            assert!(offset <= body.len(), "the place is in the body");
            None
        }
        (Err(error), Err(other)) => panic!("not the right error: {other} for {error}"),
    }
}

fn is_utf8(error: &DecodeError) -> bool {
    error.to_string().contains("UTF-8")
}

/// A sample as something to compare: time, bits of the value, start time.
type Row = (i64, u64, i64);

fn row(sample: emberkeep_proto::Sample) -> Row {
    (sample.timestamp, sample.value.to_bits(), sample.start_timestamp)
}
