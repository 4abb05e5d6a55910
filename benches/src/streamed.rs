//! A client of streamed remote read that checks and counts what comes back.
//!
//! Each frame is checked (CRC-32C) and taken apart, and the samples are counted by what each chunk says of itself; values are not
//! decoded, so that the client stays faster than any server. It must never take a broken answer for a short one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use emberkeep_proto::frame::split_frame;
use emberkeep_proto::messages::prometheus::{ChunkedReadResponse, LabelMatcher, Query, ReadRequest, read_request};
use prost::Message;

use crate::{Connection, Url};

/// Prometheus' own bound (`chunked_read_limit`).
const FRAME_BYTES_MAX: usize = 50_000_000;

/// What came back.
#[derive(Debug, Default)]
pub struct Streamed {
    /// Bytes of the answer.
    pub bytes: u64,
    /// Frames' series.
    pub series: u64,
    /// Chunks of all series.
    pub chunks: u64,
    /// Samples, as the chunks say.
    pub samples: u64,
    /// From the request to the first byte of the answer's content.
    pub first_byte: Duration,
    /// From the request to the end.
    pub whole: Duration,
    /// Bytes of a frame that is not whole yet.
    waiting: Vec<u8>,
    offset: usize,
}

impl Streamed {
    /// Asks for all series that the matchers select, from `start` to `end`, both inclusive and in milliseconds since 1970.
    ///
    /// # Errors
    /// When the server does not answer 200, or the answer is not whole.
    pub fn read(url: &Url, matchers: Vec<LabelMatcher>, start: i64, end: i64) -> Result<Self> {
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Read-Version: 0.1.0\r\nUser-Agent: emberkeep-readback\r\n";
        let request = ReadRequest {
            queries: vec![Query {
                start_timestamp_ms: start,
                end_timestamp_ms: end,
                matchers,
                hints: None,
            }],
            accepted_response_types: vec![read_request::ResponseType::StreamedXorChunks.into()],
        };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
        let mut connection = Connection::open(url)?;
        let mut count = Self::default();
        let (mut first, mut text, mut damage) = (None, Vec::new(), Ok(()));
        let begun = Instant::now();
        let status = connection.call(&url.post(headers, &body), |piece| {
            first.get_or_insert_with(|| begun.elapsed());
            text.extend_from_slice(&piece[..piece.len().min(1000_usize.saturating_sub(text.len()))]);
            // Whether these are frames at all, the status says.
            if damage.is_ok() {
                damage = count.take(piece);
            }
            Ok(())
        });
        count.whole = begun.elapsed();
        count.first_byte = first.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let status = status.with_context(|| format!("the answer begins with {text:?}"))?;
        ensure!(status == 200, "the server answered {status}: {}", text.trim());
        damage?;
        ensure!(count.waiting.is_empty(), "the answer ends inside a frame");
        Ok(count)
    }

    fn take(&mut self, piece: &[u8]) -> Result<()> {
        self.bytes += piece.len() as u64;
        self.waiting.extend_from_slice(piece);
        let mut used = 0;
        while let Some((payload, frame)) = split_frame(&self.waiting[used..], self.offset, FRAME_BYTES_MAX)? {
            let response = ChunkedReadResponse::decode(payload)?;
            for series in response.chunked_series {
                self.series += 1;
                self.chunks += series.chunks.len() as u64;
                for chunk in series.chunks {
                    let count = chunk.data.first_chunk::<2>().context("a chunk has no count")?;
                    self.samples += u64::from(u16::from_be_bytes(*count));
                }
            }
            used += frame;
            self.offset += frame;
        }
        self.waiting.drain(..used);
        Ok(())
    }
}
