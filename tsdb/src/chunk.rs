//! A chunk: consecutive samples of one series in one encoding (Prometheus: `tsdb/chunkenc/chunk.go`, `tsdb/chunks/chunks.go`).
//!
//! One module for each encoding, and the encoder that cuts a series into chunks. Nothing here knows where chunks are kept.

mod bucket_spans;
mod encoding;
mod float_cutter;
mod float_histogram;
#[cfg(test)]
mod generated;

pub mod histogram;
mod histogram_appender;
mod histogram_cutter;
mod histogram_form;
mod integer_histogram;
mod layout;
#[cfg(test)]
mod meaning;
mod series_encoder;
mod start_timestamps;
pub mod xor;
pub mod xor2;

pub use encoding::{Encoding, PrometheusVersion};
pub use series_encoder::{EncodedChunk, SeriesEncoder};

use emberkeep_model::{HistogramRun, Run};

use crate::TsdbError;

/// Samples in a chunk at most, and in each chunk of floats but the last of a series (`DefaultSamplesPerChunk`).
pub const SAMPLES_PER_CHUNK: usize = 120;

/// Where a chunk lies, in time and in the segment files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Timestamp of the first sample, milliseconds.
    pub min_time: i64,
    /// Timestamp of the last sample, milliseconds; inclusive, unlike the `maxTime` of a block.
    pub max_time: i64,
    /// Number of the segment, from 0, in the high 32 bits; offset of the chunk's length in the low 32 bits.
    pub reference: u64,
}

/// Appends what a chunk holds to the run of its kind.
///
/// # Errors
/// [`TsdbError::Corrupt`] when the bits do not hold the samples that the count promises; both runs are then as before.
pub fn decode(
    encoding: Encoding,
    chunk: &[u8],
    samples: &mut Run,
    histograms: &mut HistogramRun,
) -> Result<(), TsdbError> {
    match encoding {
        Encoding::Xor => xor::decode(chunk, samples),
        Encoding::Xor2 => xor2::decode(chunk, samples),
        Encoding::Histogram | Encoding::FloatHistogram | Encoding::HistogramSt | Encoding::FloatHistogramSt => {
            histogram::decode(encoding, chunk, histograms)
        }
    }
}
