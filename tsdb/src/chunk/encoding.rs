//! The encodings of chunks, and which Prometheus reads them.
//!
//! The versions are those whose source first names the encoding; they are what a report to users says, never a decision here.

use std::fmt;

/// How the samples of a chunk are encoded; the discriminant is the byte on disk and in remote read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// All of them, in the order of their bytes.
    pub const ALL: [Self; 6] = [
        Self::Xor,
        Self::Histogram,
        Self::FloatHistogram,
        Self::Xor2,
        Self::HistogramSt,
        Self::FloatHistogramSt,
    ];

    /// The encoding of a byte, when Prometheus 3.14 knows it.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&encoding| encoding as u8 == byte)
    }

    /// The first Prometheus that reads it.
    #[must_use]
    pub fn readable_since(self) -> PrometheusVersion {
        match self {
            Self::Xor => PrometheusVersion(2, 0),
            Self::Histogram => PrometheusVersion(2, 40),
            Self::FloatHistogram => PrometheusVersion(2, 42),
            Self::Xor2 => PrometheusVersion(3, 11),
            Self::HistogramSt | Self::FloatHistogramSt => PrometheusVersion(3, 14),
        }
    }

    /// Whether start timestamps are part of it.
    #[must_use]
    pub fn has_start_timestamps(self) -> bool {
        matches!(self, Self::Xor2 | Self::HistogramSt | Self::FloatHistogramSt)
    }
}

/// A release of Prometheus: major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrometheusVersion(pub u16, pub u16);

impl PrometheusVersion {
    /// The first that reads histograms with custom buckets, in whatever encoding.
    pub const CUSTOM_BUCKETS: Self = Self(2, 54);
}

impl fmt::Display for PrometheusVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_the_bytes_on_disk() {
        for byte in 0..=u8::MAX {
            assert_eq!(
                Encoding::from_byte(byte).map(|e| e as u8),
                (1..=6).contains(&byte).then_some(byte)
            );
        }
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(Encoding::Xor2.readable_since() > Encoding::FloatHistogram.readable_since());
        assert!(PrometheusVersion(3, 9) < PrometheusVersion(3, 14));
        assert_eq!(PrometheusVersion::CUSTOM_BUCKETS.to_string(), "2.54");
    }
}
