//! Head read: how a reader asks a receiver for everything that is acknowledged and not yet in the archive. Drawn in `docs/formats/head-read.md`.
//!
//! Request: a snappy block. Answer: frames, series first, one end last. An answer without its end must never be used: it would be silently shorter.

use prost::Message;

use crate::fields::count_entries;
use crate::messages::head::head_matcher::MatchOp;
use crate::messages::head::head_read_frame::Frame;
use crate::messages::head::{HeadEnd, HeadReadFrame, HeadReadRequest, HeadSeries};
use crate::wire::Cursor;
use crate::{WireError, frame, snappy};

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
/// Those of [`snappy::decompress_capped`]; [`WireError::TooLarge`] for more than 10,000 matchers; [`WireError::Malformed`] for a comparison that
/// is unknown and [`WireError::Message`] for what is not this message.
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
    // An unknown comparison read as another one would answer another question.
    let known = |op| MatchOp::try_from(op).is_ok_and(|op| op != MatchOp::Unspecified);
    if request.matchers.iter().all(|matcher| known(matcher.op)) {
        Ok(request)
    } else {
        Err(WireError::Malformed {
            offset: 0,
            what: "unknown comparison of a matcher",
        })
    }
}

/// Writes the frames of an answer and counts its series.
#[derive(Debug, Default)]
pub struct HeadAnswerWriter {
    series: u64,
}

impl HeadAnswerWriter {
    /// Appends the frame of one series to `out`.
    pub fn series(&mut self, series: HeadSeries, out: &mut Vec<u8>) {
        self.series += 1;
        append(Frame::Series(series), out);
    }

    /// Appends the end to `out`: the receiver, its epoch, and the last sequence it had committed *after* all series were taken.
    pub fn end(self, receiver: String, epoch: u64, committed: u64, out: &mut Vec<u8>) {
        append(
            Frame::End(HeadEnd {
                receiver,
                epoch,
                committed,
                series: self.series,
            }),
            out,
        );
    }
}

fn append(content: Frame, out: &mut Vec<u8>) {
    let message = HeadReadFrame { frame: Some(content) };
    frame::append_frame(out, message.encoded_len(), |out| {
        message.encode(out).expect("a vector grows as long as it must");
    });
}

/// Reads an answer as it arrives, and tells whether it was whole.
#[derive(Debug)]
pub struct HeadAnswerReader {
    /// What arrived and is not yet taken, from `at` on.
    arrived: Vec<u8>,
    at: usize,
    /// Where `arrived` starts in the stream.
    offset: usize,
    limit: usize,
    series: u64,
    end: Option<HeadEnd>,
}

impl HeadAnswerReader {
    /// `limit` is the greatest frame, in bytes. A series takes at most about eight times its frame when decoded.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            arrived: Vec::new(),
            at: 0,
            offset: 0,
            limit,
            series: 0,
            end: None,
        }
    }

    /// Adds bytes that arrived. Take all series before the next call, so that no more than one frame is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.arrived.drain(..self.at);
        self.offset += self.at;
        self.at = 0;
        self.arrived.extend_from_slice(bytes);
    }

    /// The next series that is there as a whole; `None` when more bytes are needed, or the end was read.
    ///
    /// # Errors
    /// Those of [`frame::split_frame`]; [`WireError::Message`]; [`WireError::Malformed`] for columns of different lengths, a frame of no known
    /// content, an end with another number of series, and anything after the end.
    pub fn next_series(&mut self) -> Result<Option<HeadSeries>, WireError> {
        let offset = self.offset + self.at;
        let malformed = |what| WireError::Malformed { offset, what };
        let rest = &self.arrived[self.at..];
        if self.end.is_some() {
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(malformed("bytes after the end of a head read"))
            };
        }
        let Some((payload, used)) = frame::split_frame(rest, offset, self.limit)? else {
            return Ok(None);
        };
        let message = HeadReadFrame::decode(payload).map_err(|source| WireError::Message {
            what: "frame of a head read",
            source,
        })?;
        self.at += used;
        match message.frame {
            Some(Frame::Series(series)) => {
                let (rows, starts) = (series.timestamps.len(), series.start_timestamps.len());
                if series.value_bits.len() != rows || (starts != 0 && starts != rows) {
                    return Err(malformed("columns of a series differ in length"));
                }
                self.series += 1;
                Ok(Some(series))
            }
            Some(Frame::End(end)) if end.series != self.series => {
                Err(malformed("the end of a head read names another number of series"))
            }
            Some(Frame::End(end)) => {
                self.end = Some(end);
                // Nothing may follow, and what already has is found here.
                self.next_series()
            }
            // Left out, it would be data that is silently missing.
            None => Err(malformed(
                "a frame of a head read has no content that this version knows",
            )),
        }
    }

    /// The end of a whole answer.
    ///
    /// # Errors
    /// [`WireError::Malformed`] when the stream ended without it, however cleanly: series are missing then.
    pub fn finish(self) -> Result<HeadEnd, WireError> {
        let offset = self.offset + self.at;
        self.end.ok_or(WireError::Malformed {
            offset,
            what: "the head read stopped before its end",
        })
    }
}

#[cfg(test)]
mod tests;
