//! Writes the samples of one histogram chunk, one after the other, in one layout.
//!
//! It knows no rule about which histograms may share a chunk; a wrong neighbour makes a chunk that Prometheus misreads.

use emberkeep_model::histogram::{Histogram, ResetHint};

use super::Encoding;
use super::float_histogram::FloatFields;
use super::histogram::{Fields as _, GAUGE, HEADER_BYTES, RESET, max_samples, put_header};
use super::integer_histogram::{Delta, IntegerFields};
use super::layout::Layout;
use super::start_timestamps::{StartTimestamps, Times};
use crate::bits::{BitWriter, Tail};

/// A chunk under construction; the memory serves one chunk after the other.
#[derive(Debug, Default)]
pub(super) struct HistogramAppender {
    /// The header's place, then whole words of bits.
    data: Vec<u8>,
    tail: Tail,
    samples: u16,
    /// Reset bits of the header.
    reset: u8,
    starts: Option<StartTimestamps>,
    is_float: bool,
    time: Delta,
    integers: IntegerFields,
    floats: FloatFields,
}

impl HistogramAppender {
    /// Number of samples.
    pub(super) fn samples(&self) -> usize {
        usize::from(self.samples)
    }

    /// Length of the chunk so far.
    pub(super) fn byte_len(&self) -> usize {
        self.data.len() + self.tail.bytes()
    }

    /// Whether the samples are gauges.
    pub(super) fn is_gauge(&self) -> bool {
        self.reset == GAUGE
    }

    /// Whether the counts are floats.
    pub(super) fn is_float(&self) -> bool {
        self.is_float
    }

    /// Whether start timestamps are written.
    pub(super) fn has_starts(&self) -> bool {
        self.starts.is_some()
    }

    /// Begins a chunk, in place of the one before, with a histogram of this layout. A stale marker comes without buckets and layout.
    pub(super) fn begin(&mut self, layout: &Layout, sample: Sample<'_>, with_starts: bool) {
        let histogram = sample.histogram;
        self.data.clear();
        self.data.resize(HEADER_BYTES, 0);
        self.tail = Tail::default();
        self.samples = 0;
        self.is_float = histogram.is_float();
        self.reset = match histogram.reset_hint {
            ResetHint::Gauge => GAUGE,
            ResetHint::Reset => RESET,
            ResetHint::Unknown | ResetHint::NotReset => 0,
        };
        self.starts = with_starts.then(StartTimestamps::default);
        let mut bits = BitWriter::resume(&mut self.data, self.tail);
        layout.write(&mut bits);
        bits.write_varbit_int(sample.timestamp);
        if self.is_float {
            self.floats.write_first(&mut bits, histogram);
        } else {
            self.integers.write_first(&mut bits, histogram);
        }
        self.time = Delta::starting_at(sample.timestamp);
        self.tail = bits.suspend();
        self.close(sample.timestamp, sample);
    }

    /// Adds a histogram of the same flavour and layout, or a stale marker without buckets.
    pub(super) fn append(&mut self, sample: Sample<'_>) {
        let previous = self.time.last;
        let mut bits = BitWriter::resume(&mut self.data, self.tail);
        self.time.write(&mut bits, sample.timestamp);
        if self.is_float {
            self.floats.write_next(&mut bits, sample.histogram);
        } else {
            self.integers.write_next(&mut bits, sample.histogram);
        }
        self.tail = bits.suspend();
        self.close(previous, sample);
    }

    fn close(&mut self, previous: i64, sample: Sample<'_>) {
        if let Some(starts) = &mut self.starts {
            let times = Times {
                previous,
                current: sample.timestamp,
            };
            let mut bits = BitWriter::resume(&mut self.data, self.tail);
            starts.write(&mut bits, usize::from(self.samples), times, sample.start_timestamp);
            self.tail = bits.suspend();
        }
        self.samples += 1;
        debug_assert!(
            self.samples <= max_samples(self.has_starts()),
            "more samples than the header can count"
        );
    }

    /// Ends the chunk.
    pub(super) fn finish(&mut self) -> (Encoding, &[u8]) {
        BitWriter::resume(&mut self.data, self.tail).finish();
        self.tail = Tail::default();
        put_header(&mut self.data, self.samples, self.reset, self.starts.as_ref());
        let encoding = match (self.is_float, self.has_starts()) {
            (false, false) => Encoding::Histogram,
            (true, false) => Encoding::FloatHistogram,
            (false, true) => Encoding::HistogramSt,
            (true, true) => Encoding::FloatHistogramSt,
        };
        (encoding, &self.data)
    }
}

/// A histogram with its times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) timestamp: i64,
    pub(super) start_timestamp: i64,
    pub(super) histogram: &'a Histogram,
}
