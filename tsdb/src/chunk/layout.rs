//! The layout of a histogram chunk: what all its samples share (Prometheus: `tsdb/chunkenc/histogram_meta.go`).
//!
//! ```text
//! zero threshold: u8 0 none | u8 244+k for 2^k, k in -243..=10 | u8 255, 64 bits
//! schema varbit | positive spans | negative spans | custom bounds, with schema -53 alone      bits, most significant first
//! spans:  unsigned varbit number, each unsigned varbit length, varbit offset
//! bounds: unsigned varbit number, each unsigned varbit 1000x+1 for a multiple of 0.001 up to 33554.43 | 0, 64 bits
//! ```
//!
//! Reading never allocates for more than the bits can hold.

use emberkeep_model::Span;
use emberkeep_model::histogram::{CUSTOM_BUCKETS_SCHEMA, FINEST_SCHEMA, Histogram};

use crate::bits::{BitReader, BitWriter};
use crate::error::Damage;

/// The coarsest resolution.
const COARSEST_SCHEMA: i32 = -4;

/// The largest bound in thousandths that is written in 4 bytes.
const MAX_SHORT_BOUND: f64 = 33_554_430.0;

/// What all samples of a chunk share.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive_spans: Vec<Span>,
    pub(super) negative_spans: Vec<Span>,
    pub(super) custom_values: Vec<f64>,
}

impl Layout {
    /// Becomes the layout of a histogram.
    pub(super) fn set(&mut self, histogram: &Histogram) {
        self.schema = histogram.schema;
        self.zero_threshold = histogram.zero_threshold;
        self.positive_spans.clone_from(&histogram.positive_spans);
        self.negative_spans.clone_from(&histogram.negative_spans);
        self.custom_values.clone_from(&histogram.custom_values);
    }

    /// Whether a histogram has the same meaning of buckets, wherever its buckets are.
    ///
    /// By bits, because Prometheus' numbers would let the sign of a zero go; and it never finds a NaN equal to itself, so neither
    /// may this.
    pub(super) fn agrees_with(&self, histogram: &Histogram) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() && !a.is_nan();
        self.schema == histogram.schema
            && same(self.zero_threshold, histogram.zero_threshold)
            && self.custom_values.len() == histogram.custom_values.len()
            && self
                .custom_values
                .iter()
                .zip(&histogram.custom_values)
                .all(|(&a, &b)| same(a, b))
    }

    pub(super) fn write(&self, bits: &mut BitWriter<'_>) {
        write_zero_threshold(bits, self.zero_threshold);
        bits.write_varbit_int(i64::from(self.schema));
        for spans in [&self.positive_spans, &self.negative_spans] {
            bits.write_varbit_uint(spans.len() as u64);
            for span in spans {
                bits.write_varbit_uint(u64::from(span.length));
                bits.write_varbit_int(i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            bits.write_varbit_uint(self.custom_values.len() as u64);
            for &bound in &self.custom_values {
                write_bound(bits, bound);
            }
        }
    }

    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, Damage> {
        let zero_threshold = read_zero_threshold(bits)?;
        let schema = i32::try_from(bits.take_varbit_int()?).map_err(|_| "a schema is beyond 32 bits")?;
        if schema != CUSTOM_BUCKETS_SCHEMA && !(COARSEST_SCHEMA..=FINEST_SCHEMA).contains(&schema) {
            return Err("the schema is not a known one");
        }
        let positive_spans = read_spans(bits)?;
        let negative_spans = read_spans(bits)?;
        let custom_values = if schema == CUSTOM_BUCKETS_SCHEMA {
            read_bounds(bits)?
        } else {
            Vec::new()
        };
        Ok(Self {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_values,
        })
    }

    /// Numbers of positive and negative buckets, when each can have `least_bits` in what is left to read.
    pub(super) fn buckets(&self, bits: &BitReader<'_>, least_bits: u64) -> Result<(usize, usize), Damage> {
        let described = |spans: &[Span]| spans.iter().map(|span| u64::from(span.length)).sum::<u64>();
        let (positive, negative) = (described(&self.positive_spans), described(&self.negative_spans));
        // Neither sum overflows: the number of spans is bounded by the bits, too.
        if positive + negative > bits.remaining() / least_bits {
            return Err("the spans describe more buckets than there are bits");
        }
        Ok((positive as usize, negative as usize))
    }
}

/// Minus zero is written like an odd number: Prometheus would write it as zero, but reads it as what it is.
fn write_zero_threshold(bits: &mut BitWriter<'_>, threshold: f64) {
    let raw = threshold.to_bits();
    let (exponent, fraction) = (raw >> 52, raw & ((1 << 52) - 1));
    // The sign bit would stand above the exponent.
    if raw == 0 {
        bits.write(0, 8);
    } else if fraction == 0 && (1023 - 243..=1023 + 10).contains(&exponent) {
        bits.write(exponent + 244 - 1023, 8);
    } else {
        bits.write(255, 8);
        bits.write(raw, 64);
    }
}

fn read_zero_threshold(bits: &mut BitReader<'_>) -> Result<f64, Damage> {
    Ok(f64::from_bits(match bits.take(8)? {
        0 => 0,
        255 => bits.take_wide(64)?,
        power => (power + 1023 - 244) << 52,
    }))
}

fn write_bound(bits: &mut BitWriter<'_>, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    // The cast saturates and turns NaN to 0, and what it changes is not equal afterwards. Minus zero would lose its sign.
    let exact = (thousandths as u64) as f64 / 1000.0 == bound && bound.is_sign_positive();
    if exact && bound * 1000.0 <= MAX_SHORT_BOUND {
        bits.write_varbit_uint(thousandths as u64 + 1);
    } else {
        bits.write(0, 1);
        bits.write(bound.to_bits(), 64);
    }
}

fn read_bounds(bits: &mut BitReader<'_>) -> Result<Vec<f64>, Damage> {
    let number = counted(bits, 5)?;
    let mut bounds = Vec::with_capacity(number);
    for _ in 0..number {
        bounds.push(match bits.take_varbit_uint()? {
            0 => f64::from_bits(bits.take_wide(64)?),
            short => (short - 1) as f64 / 1000.0,
        });
    }
    Ok(bounds)
}

fn read_spans(bits: &mut BitReader<'_>) -> Result<Vec<Span>, Damage> {
    let number = counted(bits, 2)?;
    let mut spans = Vec::with_capacity(number);
    for _ in 0..number {
        spans.push(Span {
            length: u32::try_from(bits.take_varbit_uint()?).map_err(|_| "a span length is beyond 32 bits")?,
            offset: i32::try_from(bits.take_varbit_int()?).map_err(|_| "a span offset is beyond 32 bits")?,
        });
    }
    Ok(spans)
}

/// A number of items that take at least `least_bits` each.
fn counted(bits: &mut BitReader<'_>, least_bits: u64) -> Result<usize, Damage> {
    let number = bits.take_varbit_uint()?;
    if number > bits.remaining() / least_bits {
        return Err("a list is longer than there are bits");
    }
    Ok(number as usize)
}

#[cfg(test)]
mod tests;
