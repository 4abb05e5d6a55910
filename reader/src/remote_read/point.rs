//! The points of a sampled answer: `Sample` and `Histogram` of Prometheus' `prompb`, written by hand.
//!
//! By hand because they are written once and at once, and because protobuf encoders that compare with `0.0` lose the sign of
//! `-0`: a number is left out only when all its bits are zero. Only fields that clients know are written: remote read has no
//! start timestamps.
//!
//! Reset hints: `GAUGE` is kept, it is the only thing that tells a gauge from a counter. `YES` and `NO` become `UNKNOWN`: both
//! are true only relative to the very sample that the producer saw before, and after losses, merges, duplicates and the edges
//! of ranges the sample before may be another. Of samples 100 and then 3 with `YES`, merged with a 2 of another producer between
//! them, a client that trusts the hint counts two resets. One that reads `UNKNOWN` compares the counts itself; all it may miss is
//! a reset after which every count was as high as before.

use emberkeep_model::{Counts, Histogram, ResetHint, Span};

use super::wire;

/// `Sample samples = 2 {double value = 1; int64 timestamp = 2}`.
pub(crate) fn sample(timestamp: i64, value: f64, out: &mut Vec<u8>) {
    let time = wire::int64(timestamp);
    wire::key(2, wire::BYTES, out);
    wire::varint(
        (wire::double_field_len(value) + wire::varint_field_len(time)) as u64,
        out,
    );
    wire::double_field(1, value, out);
    wire::varint_field(2, time, out);
}

/// Writes histograms, using its memory again for each.
#[derive(Debug, Default)]
pub(crate) struct HistogramPoints {
    message: Vec<u8>,
    packed: Vec<u8>,
}

impl HistogramPoints {
    /// `Histogram histograms = 4`. The schema is one that Prometheus stores.
    pub(crate) fn write(&mut self, timestamp: i64, histogram: &Histogram, out: &mut Vec<u8>) {
        let message = &mut self.message;
        message.clear();
        // A count that is zero is written all the same: which of the two it is tells the flavour.
        match &histogram.counts {
            Counts::Integer { count, .. } => wire::varint_member(1, *count, message),
            Counts::Float { count, .. } => wire::double_member(2, *count, message),
        }
        wire::double_field(3, histogram.sum, message);
        wire::varint_field(4, wire::sint64(i64::from(histogram.schema)), message);
        wire::double_field(5, histogram.zero_threshold, message);
        match &histogram.counts {
            Counts::Integer { zero_count, .. } => wire::varint_member(6, *zero_count, message),
            Counts::Float { zero_count, .. } => wire::double_member(7, *zero_count, message),
        }
        spans(8, &histogram.negative_spans, message);
        match &histogram.counts {
            Counts::Integer { negative, .. } => deltas(9, negative, &mut self.packed, message),
            Counts::Float { negative, .. } => wire::packed_doubles(10, negative, message),
        }
        spans(11, &histogram.positive_spans, message);
        match &histogram.counts {
            Counts::Integer { positive, .. } => deltas(12, positive, &mut self.packed, message),
            Counts::Float { positive, .. } => wire::packed_doubles(13, positive, message),
        }
        wire::varint_field(14, hint(histogram.reset_hint), message);
        wire::varint_field(15, wire::int64(timestamp), message);
        wire::packed_doubles(16, &histogram.custom_values, message);
        wire::bytes_field(4, message, out);
    }
}

/// What may be said of a reset to somebody who sees other samples before it than the producer did.
fn hint(stored: ResetHint) -> u64 {
    let told = match stored {
        ResetHint::Unknown | ResetHint::Reset | ResetHint::NotReset => ResetHint::Unknown,
        ResetHint::Gauge => ResetHint::Gauge,
    };
    told as u64
}

/// `BucketSpan {sint32 offset = 1; uint32 length = 2}`, repeated.
fn spans(field: u64, spans: &[Span], out: &mut Vec<u8>) {
    for span in spans {
        let (offset, length) = (wire::sint64(i64::from(span.offset)), u64::from(span.length));
        wire::key(field, wire::BYTES, out);
        wire::varint(
            (wire::varint_field_len(offset) + wire::varint_field_len(length)) as u64,
            out,
        );
        wire::varint_field(1, offset, out);
        wire::varint_field(2, length, out);
    }
}

/// Counts as differences, the first as it is, packed.
fn deltas(field: u64, counts: &[i64], packed: &mut Vec<u8>, out: &mut Vec<u8>) {
    if counts.is_empty() {
        return;
    }
    packed.clear();
    let mut before = 0_i64;
    for &count in counts {
        wire::varint(wire::sint64(count.wrapping_sub(before)), packed);
        before = count;
    }
    wire::bytes_field(field, packed, out);
}

#[cfg(test)]
mod tests;
