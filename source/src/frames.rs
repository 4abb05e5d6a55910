//! The streamed answer: frames as they arrive, each checked, with the chunks of one series.
//!
//! HTTP proves that the stream is whole: its framing must end properly, and inside no frame. A clean end between two frames is
//! the end of the answer.

use emberkeep_model::{Labels, SeriesRuns};
use emberkeep_proto::WireError;
use emberkeep_proto::frame::split_frame;
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_tsdb::{Encoding, chunk};
use prost::Message;
use prost::bytes::BytesMut;
use reqwest::{Response, Url};

use crate::SourceError;
use crate::client::{answer, unavailable};

/// A chunk of nothing is its count of samples alone.
const EMPTY_CHUNK_BYTES: usize = 2;

/// The frames of one answer.
#[derive(Debug)]
pub(crate) struct Frames {
    response: Response,
    url: Url,
    limit: usize,
    buffer: BytesMut,
    /// Position of the buffer in the stream, for errors.
    offset: usize,
}

impl Frames {
    pub(crate) fn new(response: Response, url: Url, limit: usize) -> Self {
        Self {
            response,
            url,
            limit,
            buffer: BytesMut::new(),
            offset: 0,
        }
    }

    /// The labels of the next frame that has a series; the samples of its chunks are appended to `runs` as they are, not cut.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, SourceError> {
        loop {
            let split = split_frame(&self.buffer, self.offset, self.limit);
            match split.map_err(|error| of_frame(&self.url, &error))? {
                Some((payload, used)) => {
                    let before = used - payload.len();
                    let frame = self.buffer.split_to(used).freeze();
                    self.offset += used;
                    let decoded = wire::ChunkedReadResponse::decode(frame.slice(before..));
                    let message = decoded.map_err(|error| answer(&self.url, error.to_string()))?;
                    let mut series = message.chunked_series;
                    match (series.pop(), series.is_empty()) {
                        (None, _) => {}
                        (Some(series), true) => {
                            let piece = Piece::new(series);
                            return piece.map(Some).map_err(|reason| answer(&self.url, reason));
                        }
                        (Some(_), false) => return Err(answer(&self.url, "a frame has several series")),
                    }
                }
                None => match self
                    .response
                    .chunk()
                    .await
                    .map_err(|error| unavailable(&self.url, &error))?
                {
                    Some(more) => self.buffer.extend_from_slice(&more),
                    None if self.buffer.is_empty() => return Ok(None),
                    None => {
                        return Err(SourceError::Unavailable {
                            url: self.url.to_string(),
                            reason: "the answer ends inside a frame".to_owned(),
                        });
                    }
                },
            }
        }
    }

    pub(crate) fn wrong(&self, reason: String) -> SourceError {
        answer(&self.url, reason)
    }
}

fn of_frame(url: &Url, error: &WireError) -> SourceError {
    match error {
        WireError::TooLarge { .. } => SourceError::TooMuch {
            url: url.to_string(),
            reason: error.to_string(),
        },
        error => answer(url, error.to_string()),
    }
}

/// What one frame holds of a series.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) labels: Labels,
    chunks: Vec<wire::Chunk>,
}

impl Piece {
    fn new(series: wire::ChunkedSeries) -> Result<Self, String> {
        let labels = labels(&series.labels)?;
        Ok(Self {
            labels,
            chunks: series.chunks,
        })
    }

    /// Appends the samples of its chunks.
    pub(crate) fn decode(&self, runs: &mut SeriesRuns) -> Result<(), String> {
        for chunk in &self.chunks {
            let encoding = u8::try_from(chunk.r#type).ok().and_then(Encoding::from_byte);
            let encoding = encoding.ok_or_else(|| {
                format!(
                    "series {}: chunk encoding {} is not known; the server is newer than this program",
                    self.labels, chunk.r#type
                )
            })?;
            if chunk.data.len() <= EMPTY_CHUNK_BYTES {
                continue;
            }
            chunk::decode(encoding, &chunk.data, &mut runs.samples, &mut runs.histograms)
                .map_err(|error| format!("series {}: {error}", self.labels))?;
        }
        Ok(())
    }
}

/// A label set of the wire; its order there does not matter.
pub(crate) fn labels(labels: &[wire::Label]) -> Result<Labels, String> {
    let pairs = labels.iter().map(|label| (label.name.as_str(), label.value.as_str()));
    Labels::from_pairs(pairs).map_err(|error| error.to_string())
}
