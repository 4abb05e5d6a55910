//! Encodings 2, 3, 5 and 6: native histograms (Prometheus: `tsdb/chunkenc/histogram.go`, `float_histogram.go`, `histogram_st.go`,
//! `float_histogram_st.go`).
//!
//! ```text
//! without start timestamps:  u16 count | u8 reset bits in bits 7-6
//! with:                      u8 reset bits in bits 7-6, count bits 13-8 | u8 count bits 7-0 | u8 header of start timestamps
//! then:  layout | first sample: varbit time, fields | { varbit dod of time, fields }*, start timestamp after each where they are
//! ```
//!
//! Prometheus reads the chunk, so its reader decides what bytes mean. A short chunk may claim a large layout for each of 65,535
//! samples; what comes out is therefore bounded by what goes in.

use emberkeep_model::HistogramRun;
use emberkeep_model::histogram::{Counts, Histogram, ResetHint};
use emberkeep_model::is_stale_marker;

use super::Encoding;
use super::float_histogram::FloatFields;
use super::integer_histogram::{Delta, IntegerFields};
use super::layout::Layout;
use super::start_timestamps::{StartTimestamps, Times};
use crate::TsdbError;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Damage, corrupt};

/// Bytes before the bits.
pub(super) const HEADER_BYTES: usize = 3;

/// The reset bits of a chunk of gauges.
pub(super) const GAUGE: u8 = 0b1100_0000;

/// The reset bits of a chunk that begins with a known reset.
pub(super) const RESET: u8 = 0b1000_0000;

/// The reset bits.
const RESET_MASK: u8 = 0b1100_0000;

/// The sample count in a chunk with start timestamps.
const COUNT_MASK: u16 = 0x3fff;

/// What any chunk may decode to, in bytes of a run at most, whatever its length.
const FREE_BYTES: u64 = 64 << 20;

/// What each byte of a chunk may decode to in addition: all buckets of one bit, with spans of one bucket.
const BYTES_PER_BYTE: u64 = 256;

/// The counts and the sum of a histogram, one flavour each.
pub(super) trait Fields: Sized {
    /// What a bucket of the first sample takes at least.
    const LEAST_BUCKET_BITS: u64;
    /// Writes the first sample of a chunk, whatever was there before.
    fn write_first(&mut self, bits: &mut BitWriter<'_>, histogram: &Histogram);
    /// Writes a later sample, in the layout of the first; a stale marker without buckets.
    fn write_next(&mut self, bits: &mut BitWriter<'_>, histogram: &Histogram);
    /// Takes the first sample, of so many buckets.
    fn read_first(bits: &mut BitReader<'_>, positive: usize, negative: usize) -> Result<Self, Damage>;
    /// Takes a later sample.
    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), Damage>;
    /// The sum of the sample, by its bits.
    fn sum(&self) -> f64;
    /// Its counts, absolute.
    fn fill(&self, counts: &mut Counts);
    /// Counts of a stale marker.
    fn no_counts() -> Counts;
}

/// How many samples a histogram chunk says it has.
///
/// # Errors
/// [`TsdbError::Corrupt`] when it is too short to say so.
pub fn count(encoding: Encoding, chunk: &[u8]) -> Result<u16, TsdbError> {
    header(encoding, chunk)
        .map(|header| header.count)
        .map_err(corrupt(|| "a histogram chunk".to_owned()))
}

struct Header<'a> {
    count: u16,
    gauge: bool,
    starts: Option<StartTimestamps>,
    bits: &'a [u8],
}

fn header(encoding: Encoding, chunk: &[u8]) -> Result<Header<'_>, Damage> {
    let (&[high, low, third], bits) = chunk.split_first_chunk::<HEADER_BYTES>().ok_or("it has no header")?;
    let count = u16::from_be_bytes([high, low]);
    Ok(if encoding.has_start_timestamps() {
        Header {
            count: count & COUNT_MASK,
            gauge: high & RESET_MASK == GAUGE,
            starts: Some(StartTimestamps::of_header(third)),
            bits,
        }
    } else {
        Header {
            count,
            gauge: third & RESET_MASK == GAUGE,
            starts: None,
            bits,
        }
    })
}

/// Writes the header in front of a chunk.
pub(super) fn put_header(data: &mut [u8], count: u16, reset: u8, starts: Option<&StartTimestamps>) {
    let [high, low] = count.to_be_bytes();
    let header = match starts {
        Some(starts) => [high | reset, low, starts.header()],
        None => [high, low, reset],
    };
    data[..HEADER_BYTES].copy_from_slice(&header);
}

/// The most samples that the count can name.
pub(super) fn max_samples(starts: bool) -> u16 {
    if starts { COUNT_MASK } else { u16::MAX }
}

/// Appends the histograms of a chunk to `run`, each with the spans of the chunk. The hints are those that Prometheus gives: unknown
/// for the first of a chunk of counters, for the others that there was no reset; a stale marker is nothing but its sum.
///
/// # Errors
/// [`TsdbError::Corrupt`] when the encoding is one of floats or the bits do not hold the samples that the count promises; `run` is
/// then as before.
pub fn decode(encoding: Encoding, chunk: &[u8], run: &mut HistogramRun) -> Result<(), TsdbError> {
    let mut decoded = HistogramRun::default();
    match encoding {
        Encoding::Histogram | Encoding::HistogramSt => read::<IntegerFields>(encoding, chunk, &mut decoded),
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => read::<FloatFields>(encoding, chunk, &mut decoded),
        Encoding::Xor | Encoding::Xor2 => Err("it is a chunk of floats"),
    }
    .map_err(corrupt(|| "a histogram chunk".to_owned()))?;
    if run.is_empty() {
        *run = decoded;
    } else {
        run.append(&decoded, 0..decoded.len());
    }
    Ok(())
}

fn read<F: Fields>(encoding: Encoding, chunk: &[u8], run: &mut HistogramRun) -> Result<(), Damage> {
    let Header {
        count,
        gauge,
        mut starts,
        bits,
    } = header(encoding, chunk)?;
    if count == 0 {
        return Ok(());
    }
    let bits = &mut BitReader::new(bits);
    let layout = Layout::read(bits)?;
    let (positive, negative) = layout.buckets(bits, F::LEAST_BUCKET_BITS)?;
    // Canonical bytes of a histogram of this layout, at most.
    let spans = layout.positive_spans.len() + layout.negative_spans.len();
    let row_bytes = 64 + 10 * (spans + positive + negative) as u64 + 8 * layout.custom_values.len() as u64;
    if row_bytes.saturating_mul(u64::from(count)) > FREE_BYTES + BYTES_PER_BYTE * chunk.len() as u64 {
        return Err("its histograms are too large for its length");
    }
    let mut histogram = Histogram {
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        positive_spans: layout.positive_spans,
        negative_spans: layout.negative_spans,
        custom_values: layout.custom_values,
        ..Histogram::default()
    };
    let mut time = Delta::starting_at(bits.take_varbit_int()?);
    let mut fields = F::read_first(bits, positive, negative)?;
    for position in 0..usize::from(count) {
        let previous = time.last;
        if position > 0 {
            time.read(bits)?;
            fields.read_next(bits)?;
        }
        let times = Times {
            previous,
            current: time.last,
        };
        let start = match &mut starts {
            Some(starts) => starts.read(bits, position, times)?,
            None => 0,
        };
        if is_stale_marker(fields.sum()) {
            let stale = Histogram {
                counts: F::no_counts(),
                sum: fields.sum(),
                ..Histogram::default()
            };
            run.push(time.last, start, &stale);
            continue;
        }
        histogram.reset_hint = match (gauge, position) {
            (true, _) => ResetHint::Gauge,
            (false, 0) => ResetHint::Unknown,
            (false, _) => ResetHint::NotReset,
        };
        histogram.sum = fields.sum();
        fields.fill(&mut histogram.counts);
        run.push(time.last, start, &histogram);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
