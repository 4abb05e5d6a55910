//! A row is one sample of one series: its value, and the digests by which what was sent and what came back are compared.
//!
//! A digest of a series is the sum of the hashes of its distinct rows, so neither the order nor the cutting into slices matters.
//! Every stale marker is the same row: whoever stores a marker between histograms may store it as a histogram, or as a float.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::histogram::{Histogram, STALE};

const FLOAT: u8 = 0;
const HISTOGRAM: u8 = 1;
const MARKER: u8 = 2;

/// The value of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// The bits of a float.
    Float(u64),
    Histogram(Box<Histogram>),
}

impl Value {
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Float(bits) => *bits == STALE,
            Self::Histogram(histogram) => histogram.is_stale(),
        }
    }

    /// The hash of the row with that timestamp.
    pub(crate) fn hash(&self, timestamp: i64) -> u64 {
        let mut row = [0; 17];
        row[1..9].copy_from_slice(&timestamp.to_le_bytes());
        match self {
            stale if stale.is_stale() => {
                row[0] = MARKER;
                xxh3_64(&row)
            }
            Self::Float(bits) => {
                row[0] = FLOAT;
                row[9..].copy_from_slice(&bits.to_le_bytes());
                xxh3_64(&row)
            }
            Self::Histogram(histogram) => {
                row[0] = HISTOGRAM;
                let mut whole = row[..9].to_vec();
                histogram.put_canonical(&mut whole);
                xxh3_64(&whole)
            }
        }
    }
}

/// Number and summed hashes of the distinct rows of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) rows: u64,
    pub(crate) sum: u64,
}

impl Digest {
    /// Adds the hash of a row that was not added yet.
    pub(crate) fn add(&mut self, hash: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

/// What identifies a series: a hash of its labels, which must be sorted by name.
pub(crate) fn identity<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    for text in labels.into_iter().flat_map(|(name, value)| [name, value]) {
        scratch.extend_from_slice(&(text.len() as u32).to_le_bytes());
        scratch.extend_from_slice(text.as_bytes());
    }
    xxh3_128(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_differ_by_time_bits_and_kind() {
        let zero = Value::Float(0.0_f64.to_bits());
        assert_ne!(zero.hash(5), Value::Float((-0.0_f64).to_bits()).hash(5));
        assert_ne!(zero.hash(5), zero.hash(6));
        assert_ne!(zero.hash(5), Value::Histogram(Box::default()).hash(5));
        let quiet = Value::Float(STALE | 1 << 51);
        assert_ne!(quiet.hash(5), Value::Float(STALE).hash(5));
    }

    #[test]
    fn a_stale_marker_is_one_row_in_every_form() {
        let histogram = Value::Histogram(Box::new(Histogram::stale()));
        assert_eq!(histogram.hash(5), Value::Float(STALE).hash(5));
    }

    #[test]
    fn borders_between_texts_count() {
        let mut scratch = Vec::new();
        assert_ne!(
            identity([("ab", "c")], &mut scratch),
            identity([("a", "bc")], &mut scratch)
        );
    }
}
