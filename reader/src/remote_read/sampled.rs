//! The sampled answer: one snappy block with a `ReadResponse`, a result for each query in their order.
//!
//! Encoded series by series into a [`SnappyRope`], so that memory is what is sent and not a multiple of it. Values are
//! written whenever they are not the bits of zero: protobuf encoders that compare with `0.0` lose the sign of `-0`.

use bytes::Bytes;
use emberkeep_model::{Labels, Run};

use super::snappy_rope::{Slot, SnappyRope};
use super::wire;
use crate::{ReaderError, ReaderMetrics, Scan};

/// A series whose samples need more than this is compressed before its length is known.
const SERIES_BYTES: usize = 256 * 1024;

/// The answer under construction.
pub(super) struct SampledAnswer {
    rope: SnappyRope,
    sample_limit: u64,
    series: Vec<u8>,
}

impl SampledAnswer {
    /// An answer whose queries may select `sample_limit` samples each.
    pub(super) fn new(sample_limit: u64) -> Self {
        Self {
            rope: SnappyRope::new(),
            sample_limit,
            series: Vec::new(),
        }
    }

    /// Adds the result of a query: all series of the scan.
    pub(super) async fn add(&mut self, mut scan: Scan, metrics: &ReaderMetrics) -> Result<(), ReaderError> {
        let slot = self.rope.reserve()?;
        let (mut piece, mut result_bytes, mut samples) = (Run::default(), 0, 0u64);
        while let Some(labels) = scan.next_series().await? {
            let before = samples;
            let mut series = Series::start(&labels, &mut self.series);
            while scan.next_piece(&mut piece).await? {
                samples += piece.len() as u64;
                if samples > self.sample_limit {
                    return Err(ReaderError::TooMuch(format!(
                        "the query selects more samples than the limit of {} for an answer of this type: narrow it, or ask \
                         for STREAMED_XOR_CHUNKS, which has no such limit",
                        self.sample_limit
                    )));
                }
                series.push(&piece, &mut self.series, &mut self.rope)?;
            }
            result_bytes += series.finish(&self.series, &mut self.rope)?;
            metrics.series(samples - before);
        }
        metrics.conflicts(scan.conflicts());
        let mut header = Vec::new();
        wire::key(1, wire::BYTES, &mut header);
        wire::varint(result_bytes, &mut header);
        self.rope.fill(slot, &header)
    }

    /// The body, in pieces.
    pub(super) fn finish(self) -> Result<Vec<Bytes>, ReaderError> {
        self.rope.finish()
    }
}

/// One `TimeSeries` under construction: in the buffer, and, once that is full, spilled into the rope after a slot for its head.
struct Series {
    spilled: Option<(Slot, u64)>,
}

impl Series {
    fn start(labels: &Labels, buffer: &mut Vec<u8>) -> Self {
        buffer.clear();
        wire::labels(labels, buffer);
        Self { spilled: None }
    }

    fn push(&mut self, piece: &Run, buffer: &mut Vec<u8>, rope: &mut SnappyRope) -> Result<(), ReaderError> {
        for (&timestamp, &value) in piece.timestamps.iter().zip(&piece.values) {
            sample(timestamp, value, buffer);
        }
        if buffer.len() >= SERIES_BYTES {
            let (slot, bytes) = match self.spilled.take() {
                Some(spilled) => spilled,
                None => (rope.reserve()?, 0),
            };
            rope.write(buffer)?;
            self.spilled = Some((slot, bytes + buffer.len() as u64));
            buffer.clear();
        }
        Ok(())
    }

    /// Ends the series; returns the bytes it takes in its result.
    fn finish(self, buffer: &[u8], rope: &mut SnappyRope) -> Result<u64, ReaderError> {
        let spilled = self.spilled.as_ref().map_or(0, |&(_, bytes)| bytes);
        let length = spilled + buffer.len() as u64;
        let mut header = Vec::with_capacity(8);
        wire::key(1, wire::BYTES, &mut header);
        wire::varint(length, &mut header);
        match self.spilled {
            Some((slot, _)) => rope.fill(slot, &header)?,
            None => rope.write(&header)?,
        }
        rope.write(buffer)?;
        Ok(header.len() as u64 + length)
    }
}

/// `Sample samples = 2 {double value = 1; int64 timestamp = 2}`.
fn sample(timestamp: i64, value: f64, out: &mut Vec<u8>) {
    let time = wire::int64(timestamp);
    let value_bytes = if value.to_bits() == 0 { 0 } else { 9 };
    wire::key(2, wire::BYTES, out);
    wire::varint((value_bytes + wire::varint_field_len(time)) as u64, out);
    if value_bytes != 0 {
        wire::key(1, wire::FIXED64, out);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    wire::varint_field(2, time, out);
}
