//! Frames of a streamed answer: uvarint length, CRC-32C (big endian) of the payload, payload `ChunkedReadResponse`.
//!
//! Written by hand, because a series must be in one frame whole: a message built first would hold its chunks twice. Here each
//! chunk is encoded where it stays until it is sent. A frame must never hold more or less than one series, and never grow
//! past the bound above which Prometheus' client refuses it.

use crc_fast::{CrcAlgorithm, Digest};
use emberkeep_model::Labels;
use emberkeep_tsdb::chunk::EncodedChunk;

use super::body::BodySender;
use super::wire;
use crate::ReaderError;

/// Largest payload. Prometheus' client refuses frames above 50,000,000 bytes (`chunked_read_limit`).
pub(crate) const FRAME_BYTES_MAX: usize = 48_000_000;
/// Chunks of a long series are kept in pieces of this size, so that growing never copies and sending frees early.
const SEGMENT_BYTES: usize = 1 << 20;

/// The frame of one series under construction; its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct SeriesFrame {
    labels: Vec<u8>,
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
    chunk_bytes: usize,
}

impl SeriesFrame {
    /// Begins the frame of a series.
    pub(crate) fn start(&mut self, labels: &Labels) {
        self.labels.clear();
        wire::labels(labels, &mut self.labels);
        self.full.clear();
        self.open.clear();
        self.chunk_bytes = 0;
    }

    /// Adds a chunk with its exact first and last timestamp. The numbers of encodings on the wire (`prompb.Chunk.Encoding`)
    /// are those on disk.
    pub(crate) fn push_chunk(&mut self, chunk: &EncodedChunk<'_>) -> Result<(), ReaderError> {
        let &EncodedChunk {
            encoding,
            min_time,
            max_time,
            data,
            ..
        } = chunk;
        let (min, max) = (wire::int64(min_time), wire::int64(max_time));
        let length = wire::varint_field_len(min) + wire::varint_field_len(max) + 2 + wire::bytes_field_len(data.len());
        let whole = wire::bytes_field_len(length);
        // 32 bytes are more than the fields around the chunks need.
        if self.labels.len() + self.chunk_bytes + whole + 32 > FRAME_BYTES_MAX {
            return Err(ReaderError::TooMuch(format!(
                "a series needs more than {FRAME_BYTES_MAX} bytes of chunks, the most that Prometheus takes: narrow the time range"
            )));
        }
        if self.open.len() + whole > SEGMENT_BYTES && !self.open.is_empty() {
            let filled = std::mem::replace(&mut self.open, Vec::with_capacity(SEGMENT_BYTES));
            self.full.push(filled);
        }
        let out = &mut self.open;
        wire::key(2, wire::BYTES, out);
        wire::varint(length as u64, out);
        wire::varint_field(1, min, out);
        wire::varint_field(2, max, out);
        wire::varint_field(3, encoding as u64, out);
        wire::bytes_field(4, data, out);
        self.chunk_bytes += whole;
        Ok(())
    }

    /// The bytes before the chunks: length, checksum, and the payload up to them.
    fn prefix(&self, query_index: u64) -> (Vec<u8>, Vec<u8>) {
        let series = self.labels.len() + self.chunk_bytes;
        let mut tail = Vec::new();
        wire::varint_field(2, query_index, &mut tail);
        let payload = wire::bytes_field_len(series) + tail.len();
        let mut head = Vec::with_capacity(self.labels.len() + 24);
        wire::key(1, wire::BYTES, &mut head);
        wire::varint(series as u64, &mut head);
        head.extend_from_slice(&self.labels);
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        crc.update(&head);
        for segment in &self.full {
            crc.update(segment);
        }
        crc.update(&self.open);
        crc.update(&tail);
        let mut prefix = Vec::with_capacity(head.len() + 14);
        wire::varint(payload as u64, &mut prefix);
        // A CRC of 32 bits in the low half.
        prefix.extend_from_slice(&(crc.finalize() as u32).to_be_bytes());
        prefix.extend_from_slice(&head);
        (prefix, tail)
    }

    /// Bytes of the frame so far, without the few around it.
    pub(crate) fn bytes(&self) -> usize {
        self.labels.len() + self.chunk_bytes
    }

    /// Ends the frame and writes it to the body. A frame without a chunk would be a series without
    /// samples, which Prometheus cannot read: it is not written.
    pub(crate) async fn finish(&mut self, query_index: u64, body: &mut BodySender) -> Result<(), ReaderError> {
        if self.chunk_bytes == 0 {
            return Ok(());
        }
        let (prefix, tail) = self.prefix(query_index);
        body.write(&prefix).await?;
        for segment in self.full.drain(..) {
            body.write(&segment).await?;
        }
        body.write(&self.open).await?;
        body.write(&tail).await
    }
}
