//! A chunk: consecutive samples of one series in one encoding (Prometheus: `tsdb/chunkenc/chunk.go`, `tsdb/chunks/chunks.go`).
//!
//! Cuts every 120 samples, as Prometheus does whenever it re-encodes. Any cut is valid for readers; 65,535 samples are the limit.

pub mod xor;

use std::ops::Range;

/// Samples in each chunk but the last of a series (`DefaultSamplesPerChunk`).
pub const SAMPLES_PER_CHUNK: usize = 120;

/// How the samples of a chunk are encoded; the discriminant is the byte on disk and in remote read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Native histograms with integer counts.
    Histogram = 2,
    /// Native histograms with float counts.
    FloatHistogram = 3,
    /// Floats with start timestamps.
    Xor2 = 4,
    /// Native histograms with integer counts and start timestamps.
    HistogramSt = 5,
    /// Native histograms with float counts and start timestamps.
    FloatHistogramSt = 6,
}

impl Encoding {
    /// The encoding of a byte, when Prometheus 3.14 knows it.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            _ => return None,
        })
    }
}

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

/// The positions at which a series of `count` samples is cut into chunks.
pub fn cuts(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count)
        .step_by(SAMPLES_PER_CHUNK)
        .map(move |start| start..count.min(start + SAMPLES_PER_CHUNK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_full_but_the_last() {
        let lengths = |count| cuts(count).map(|cut| cut.len()).collect::<Vec<_>>();
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(120), [120]);
        assert_eq!(lengths(241), [120, 120, 1]);
    }

    #[test]
    fn encodings_are_the_bytes_on_disk() {
        for byte in 0..=u8::MAX {
            assert_eq!(
                Encoding::from_byte(byte).map(|e| e as u8),
                (1..=6).contains(&byte).then_some(byte)
            );
        }
    }
}
