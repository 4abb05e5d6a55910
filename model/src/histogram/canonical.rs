//! The canonical bytes of a histogram: the form in which it is held, compared and digested.
//!
//! ```text
//! flags u8 | sum 8 | schema zigzag | zero threshold 8 | positive spans | negative spans | custom values
//!          | count | zero count | positive counts | negative counts
//! flags: bit 0 float counts, bits 1-2 reset hint      spans: uvarint number, each zigzag offset, uvarint length
//! floats: 8 bytes, big endian, their bits             custom values: uvarint number, each 8 bytes
//! counts: uvarint each when integer, 8 bytes each when float; as many as the spans say
//! ```
//!
//! One histogram has one form. The sum stands first, so that a stale marker is known without decoding.

use super::{Counts, Histogram, ResetHint, Span};
use crate::is_stale_marker;

/// Bytes that are not the canonical form of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("histogram bytes are not canonical: {0}")]
pub struct NotCanonical(&'static str);

const FLOAT: u8 = 1;

impl Histogram {
    /// Appends the canonical bytes to `out`.
    ///
    /// # Panics
    /// When the spans describe another number of buckets than there are: [`Histogram::validate`] comes first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_float()) | (self.reset_hint as u8) << 1);
        put_float(out, self.sum);
        put_zigzag(out, i64::from(self.schema));
        put_float(out, self.zero_threshold);
        for spans in [&self.positive_spans, &self.negative_spans] {
            put_uvarint(out, spans.len() as u64);
            for span in spans {
                put_zigzag(out, i64::from(span.offset));
                put_uvarint(out, u64::from(span.length));
            }
        }
        put_uvarint(out, self.custom_values.len() as u64);
        for &bound in &self.custom_values {
            put_float(out, bound);
        }
        assert!(self.has_matching_spans(), "spans and buckets differ");
        match &self.counts {
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            } => {
                put_uvarint(out, *count);
                put_uvarint(out, *zero_count);
                for &bucket in positive.iter().chain(negative) {
                    put_uvarint(out, bucket as u64);
                }
            }
            Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            } => {
                for &number in [count, zero_count].into_iter().chain(positive).chain(negative) {
                    put_float(out, number);
                }
            }
        }
    }

    /// Reads what [`Histogram::encode`] wrote, for example from another process. Keeps the memory of `self`.
    ///
    /// # Errors
    /// When the bytes are anything but one canonical histogram; `self` is then of no use.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(), NotCanonical> {
        let mut rest = bytes;
        let flags = take_byte(&mut rest)?;
        if flags > 7 {
            return Err(NotCanonical("unknown flags"));
        }
        self.reset_hint = ResetHint::from_number(i32::from(flags >> 1));
        self.sum = take_float(&mut rest)?;
        self.schema = i32::try_from(take_zigzag(&mut rest)?).map_err(|_| NotCanonical("schema beyond 32 bits"))?;
        self.zero_threshold = take_float(&mut rest)?;
        let n_positive = take_spans(&mut rest, &mut self.positive_spans)?;
        let n_negative = take_spans(&mut rest, &mut self.negative_spans)?;
        let n_bounds = take_uvarint(&mut rest)?;
        take_many(&mut rest, n_bounds, 8, &mut self.custom_values, take_float)?;
        if flags & FLOAT == 0 {
            let (mut positive, mut negative) = match std::mem::take(&mut self.counts) {
                Counts::Integer { positive, negative, .. } => (positive, negative),
                Counts::Float { .. } => Default::default(),
            };
            let (count, zero_count) = (take_uvarint(&mut rest)?, take_uvarint(&mut rest)?);
            let whole = |rest: &mut &[u8]| Ok(take_uvarint(rest)?.cast_signed());
            take_many(&mut rest, n_positive, 1, &mut positive, whole)?;
            take_many(&mut rest, n_negative, 1, &mut negative, whole)?;
            self.counts = Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            };
        } else {
            let (mut positive, mut negative) = match std::mem::take(&mut self.counts) {
                Counts::Float { positive, negative, .. } => (positive, negative),
                Counts::Integer { .. } => Default::default(),
            };
            let (count, zero_count) = (take_float(&mut rest)?, take_float(&mut rest)?);
            take_many(&mut rest, n_positive, 8, &mut positive, take_float)?;
            take_many(&mut rest, n_negative, 8, &mut negative, take_float)?;
            self.counts = Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            };
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(NotCanonical("bytes after the end"))
        }
    }

    /// The histogram of canonical bytes; [`Histogram::decode`] keeps memory where many are read.
    ///
    /// # Errors
    /// When the bytes are anything but one canonical histogram.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, NotCanonical> {
        let mut histogram = Self::default();
        histogram.decode(bytes)?;
        Ok(histogram)
    }

    /// The canonical bytes.
    ///
    /// # Panics
    /// As [`Histogram::encode`].
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Whether canonical bytes are those of a stale marker.
#[must_use]
pub fn canonical_is_stale(bytes: &[u8]) -> bool {
    let sum = bytes.get(1..9).and_then(|sum| sum.try_into().ok());
    sum.is_some_and(|sum| is_stale_marker(f64::from_bits(u64::from_be_bytes(sum))))
}

fn take_spans(rest: &mut &[u8], spans: &mut Vec<Span>) -> Result<u64, NotCanonical> {
    let number = take_uvarint(rest)?;
    let mut described = 0_u64;
    take_many(rest, number, 2, spans, |rest| {
        let offset = i32::try_from(take_zigzag(rest)?).map_err(|_| NotCanonical("span offset beyond 32 bits"))?;
        let length = u32::try_from(take_uvarint(rest)?).map_err(|_| NotCanonical("span length beyond 32 bits"))?;
        described += u64::from(length);
        Ok(Span { offset, length })
    })?;
    Ok(described)
}

/// Takes `number` items of at least `least` bytes each; what cannot be there is not allocated for.
fn take_many<T>(
    rest: &mut &[u8],
    number: u64,
    least: u64,
    out: &mut Vec<T>,
    mut take: impl FnMut(&mut &[u8]) -> Result<T, NotCanonical>,
) -> Result<(), NotCanonical> {
    out.clear();
    if number > rest.len() as u64 / least {
        return Err(NotCanonical("truncated"));
    }
    for _ in 0..number {
        out.push(take(rest)?);
    }
    Ok(())
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_byte(rest: &mut &[u8]) -> Result<u8, NotCanonical> {
    let (&byte, tail) = rest.split_first().ok_or(NotCanonical("truncated"))?;
    *rest = tail;
    Ok(byte)
}

fn take_float(rest: &mut &[u8]) -> Result<f64, NotCanonical> {
    let (bits, tail) = rest.split_first_chunk().ok_or(NotCanonical("truncated"))?;
    *rest = tail;
    Ok(f64::from_bits(u64::from_be_bytes(*bits)))
}

fn take_zigzag(rest: &mut &[u8]) -> Result<i64, NotCanonical> {
    let raw = take_uvarint(rest)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn take_uvarint(rest: &mut &[u8]) -> Result<u64, NotCanonical> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(rest)?;
        if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
            // Too large, or a longer form of the same number.
            return Err(NotCanonical("odd number"));
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NotCanonical("odd number"))
}
