//! The sampled answer: one snappy block with a `ReadResponse`, a result for each query in their order.
//!
//! Encoded series by series into a [`SnappyRope`], so that memory is what is sent and not a multiple of it. Of a series, floats
//! and histograms are two lists, each in time order; on the wire their points may alternate.

use bytes::Bytes;
use emberkeep_model::{Histogram, Labels, SeriesRuns};

use super::budget::Budget;
use super::point::{HistogramPoints, sample};
use super::snappy_rope::{Slot, SnappyRope};
use super::wire;
use crate::{ReaderError, ReaderMetrics, ReaderSettings, SeriesReader};

/// A series whose samples need more than this is compressed before its length is known.
const SERIES_BYTES: usize = 256 * 1024;

/// The answer under construction.
pub(super) struct SampledAnswer {
    rope: SnappyRope,
    budget: Budget,
    series: Vec<u8>,
    histogram: Histogram,
    points: HistogramPoints,
}

impl SampledAnswer {
    /// An answer within these bounds.
    pub(super) fn new(settings: &ReaderSettings) -> Self {
        Self {
            rope: SnappyRope::new(),
            budget: Budget::sampled(settings),
            series: Vec::new(),
            histogram: Histogram::default(),
            points: HistogramPoints::default(),
        }
    }

    /// Adds the result of a query: all series of the scan.
    pub(super) async fn add(&mut self, scan: &mut SeriesReader, metrics: &ReaderMetrics) -> Result<(), ReaderError> {
        let slot = self.rope.reserve()?;
        self.budget.next_query();
        let (mut piece, mut result_bytes) = (SeriesRuns::default(), 0);
        while let Some(labels) = scan.next_series().await? {
            self.budget.series()?;
            let mut samples = 0;
            let mut series = Series::start(&labels, &mut self.series);
            while scan.next_piece(&mut piece).await? {
                samples += piece.len();
                self.budget.samples(piece.len())?;
                self.push(&mut series, &piece)?;
            }
            result_bytes += series.finish(&self.series, &mut self.rope)?;
            metrics.series(samples as u64);
        }
        let mut header = Vec::new();
        wire::key(1, wire::BYTES, &mut header);
        wire::varint(result_bytes, &mut header);
        self.rope.fill(slot, &header)
    }

    /// Adds a piece of a series.
    fn push(&mut self, series: &mut Series, piece: &SeriesRuns) -> Result<(), ReaderError> {
        for (&timestamp, &value) in piece.samples.timestamps.iter().zip(&piece.samples.values) {
            sample(timestamp, value, &mut self.series);
        }
        for row in piece.histograms.iter() {
            row.decode_into(&mut self.histogram);
            self.histogram.reduce_to_stored();
            self.points.write(row.timestamp, &self.histogram, &mut self.series);
        }
        series.spill(&mut self.series, &mut self.rope)?;
        self.budget.bytes(self.rope.held_bytes())
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

    /// Empties the buffer into the rope when it is large.
    fn spill(&mut self, buffer: &mut Vec<u8>, rope: &mut SnappyRope) -> Result<(), ReaderError> {
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
