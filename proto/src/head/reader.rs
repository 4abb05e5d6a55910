//! Reads the answer to a head read as it arrives, and tells whether it was whole.
//!
//! It must never give out an answer that is shorter than the receiver's head without an error: content that it does not know, content
//! that was not asked for, a missing end and wrong counts all are errors.

use prost::Message;

use crate::messages::head::head_read_frame::Frame;
use crate::messages::head::{HeadEnd, HeadKinds, HeadMetadata, HeadReadFrame, HeadSeries};
use crate::{WireError, frame};

/// What one frame before the end holds.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadContent {
    /// A series, with columns that fit each other.
    Series(HeadSeries),
    /// A variant of metadata.
    Metadata(HeadMetadata),
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
    asked: HeadKinds,
    series: u64,
    metadata: u64,
    end: Option<HeadEnd>,
}

impl HeadAnswerReader {
    /// `limit` is the greatest frame, in bytes; a row's number may be one byte there and is eight when decoded, and as much again that growing
    /// lists keep in reserve. `asked` is what the request asked for.
    #[must_use]
    pub fn new(limit: usize, asked: HeadKinds) -> Self {
        Self {
            arrived: Vec::new(),
            at: 0,
            offset: 0,
            limit,
            asked,
            series: 0,
            metadata: 0,
            end: None,
        }
    }

    /// Adds bytes that arrived. Take all content before the next call, so that no more than one frame is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.arrived.drain(..self.at);
        self.offset += self.at;
        self.at = 0;
        self.arrived.extend_from_slice(bytes);
    }

    /// The next content that is there as a whole; `None` when more bytes are needed, or the end was read.
    ///
    /// # Errors
    /// Those of [`frame::split_frame`]; [`WireError::Message`]; [`WireError::HeadKinds`] for content or an end of other kinds than were
    /// asked for; [`WireError::Malformed`] for columns of different lengths, a frame of no known content, an end with other counts, and
    /// anything after the end.
    pub fn next_content(&mut self) -> Result<Option<HeadContent>, WireError> {
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
            // What stands in the frame that older readers take must be all that they would read in it.
            Some(Frame::Series(series)) if series.has_histograms() || series.has_exemplars() => {
                Err(malformed("histograms or exemplars in a frame of float samples"))
            }
            Some(Frame::Series(series) | Frame::MixedSeries(series)) => {
                if !series.is_consistent() {
                    return Err(malformed("columns of a series differ in length"));
                }
                let is_asked = match self.asked {
                    HeadKinds::Samples => !series.has_exemplars(),
                    HeadKinds::Exemplars => !series.has_samples() && !series.has_histograms(),
                    HeadKinds::Metadata => false,
                };
                self.series += 1;
                is_asked
                    .then_some(Some(HeadContent::Series(series)))
                    .ok_or_else(|| self.other_kinds())
            }
            Some(Frame::Metadata(metadata)) => {
                self.metadata += 1;
                (self.asked == HeadKinds::Metadata)
                    .then_some(Some(HeadContent::Metadata(metadata)))
                    .ok_or_else(|| self.other_kinds())
            }
            // A receiver that does not know the kinds of the request answers with samples.
            Some(Frame::End(end)) if end.kinds != i32::from(self.asked) => Err(self.other_kinds()),
            Some(Frame::End(end)) if end.series != self.series || end.metadata != self.metadata => Err(malformed(
                "the end of a head read names another number of series or metadata",
            )),
            Some(Frame::End(end)) => {
                self.end = Some(end);
                // Nothing may follow, and what already has is found here.
                self.next_content()
            }
            // Left out, it would be data that is silently missing.
            None => Err(malformed(
                "a frame of a head read has no content that this version knows",
            )),
        }
    }

    fn other_kinds(&self) -> WireError {
        WireError::HeadKinds {
            asked: match self.asked {
                HeadKinds::Samples => "samples",
                HeadKinds::Exemplars => "exemplars",
                HeadKinds::Metadata => "metadata",
            },
        }
    }

    /// The end of a whole answer.
    ///
    /// # Errors
    /// [`WireError::Malformed`] when the stream ended without it, however cleanly: content is missing then.
    pub fn finish(self) -> Result<HeadEnd, WireError> {
        let offset = self.offset + self.at;
        self.end.ok_or(WireError::Malformed {
            offset,
            what: "the head read stopped before its end",
        })
    }
}
