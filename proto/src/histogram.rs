//! A native histogram as both versions of remote write carry it: a borrowed view, whose fields have the same numbers in both.
//!
//! Plain data, so that this crate depends on none of ours. It must not judge content (whether counts fit buckets, which flavour a field
//! belongs to), must not allocate, and must only ever copy floats: arithmetic would quiet a stale marker.

use crate::error::Malformed;
use crate::fields::{repeated, scalars};
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT, key};

const COUNT_INT: u32 = key(1, VARINT);
const COUNT_FLOAT: u32 = key(2, FIXED64);
const SUM: u32 = key(3, FIXED64);
const SCHEMA: u32 = key(4, VARINT);
const ZERO_THRESHOLD: u32 = key(5, FIXED64);
const ZERO_COUNT_INT: u32 = key(6, VARINT);
const ZERO_COUNT_FLOAT: u32 = key(7, FIXED64);
const RESET_HINT: u32 = key(14, VARINT);
const TIMESTAMP: u32 = key(15, VARINT);
const START_TIMESTAMP: u32 = key(17, VARINT);

/// Fields of spans and buckets.
const NEGATIVE_SPANS: u32 = key(8, LENGTH);
const NEGATIVE_DELTAS: u32 = 9;
const NEGATIVE_COUNTS: u32 = 10;
const POSITIVE_SPANS: u32 = key(11, LENGTH);
const POSITIVE_DELTAS: u32 = 12;
const POSITIVE_COUNTS: u32 = 13;
const CUSTOM_VALUES: u32 = 16;

const SPAN_OFFSET: u32 = key(1, VARINT);
const SPAN_LENGTH: u32 = key(2, VARINT);

/// A number of observations, in the flavour in which it was sent.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    /// Whole observations.
    Integer(u64),
    /// Fractions of observations; perhaps negative, perhaps NaN.
    Float(f64),
}

/// One native histogram of a request that was checked before. Fields that are absent are 0.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// Sum of all observed values, bit for bit; the stale marker makes the whole histogram one.
    pub sum: f64,
    /// Resolution, as sent.
    pub schema: i32,
    /// Width of the zero bucket to each side, bit for bit.
    pub zero_threshold: f64,
    /// About a reset before it, as sent: 0 unknown, 1 reset, 2 none, 3 gauge.
    pub reset_hint: i32,
    /// Milliseconds since the epoch; 0 and negative times are valid.
    pub timestamp: i64,
    /// When counting started, in milliseconds since the epoch; 0 when unset, always so in remote write 1.0.
    pub start_timestamp: i64,
    count: Option<Count>,
    zero_count: Option<Count>,
    /// The whole message: spans and buckets are found again when they are asked for.
    message: Cursor<'a>,
}

/// Whether a histogram can have a start timestamp: to remote write 1.0 the field is an unknown one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartTimestamps {
    Unknown,
    Known,
}

impl<'a> Histogram<'a> {
    /// Reads the scalars of a message that was checked before.
    pub(crate) fn read(message: Cursor<'a>, starts: StartTimestamps) -> Result<Self, Malformed> {
        let mut histogram = Self {
            sum: 0.0,
            schema: 0,
            zero_threshold: 0.0,
            reset_hint: 0,
            timestamp: 0,
            start_timestamp: 0,
            count: None,
            zero_count: None,
            message,
        };
        let mut fields = message;
        while let Some(key) = fields.key()? {
            match key {
                COUNT_INT => histogram.count = Some(Count::Integer(fields.varint()?)),
                COUNT_FLOAT => histogram.count = Some(Count::Float(double(&mut fields)?)),
                SUM => histogram.sum = double(&mut fields)?,
                SCHEMA => histogram.schema = zigzag_32(fields.varint()?),
                ZERO_THRESHOLD => histogram.zero_threshold = double(&mut fields)?,
                ZERO_COUNT_INT => histogram.zero_count = Some(Count::Integer(fields.varint()?)),
                ZERO_COUNT_FLOAT => histogram.zero_count = Some(Count::Float(double(&mut fields)?)),
                // An enum is an int32: longer varints are cut, as every protobuf library does.
                RESET_HINT => histogram.reset_hint = fields.varint()? as i32,
                TIMESTAMP => histogram.timestamp = fields.varint()? as i64,
                START_TIMESTAMP if starts == StartTimestamps::Known => {
                    histogram.start_timestamp = fields.varint()? as i64;
                }
                other => fields.skip(other)?,
            }
        }
        Ok(histogram)
    }

    /// Number of all observations; the flavour of the histogram is its flavour. Of two on the wire the last holds, and none is an integer
    /// 0, as everywhere in this protocol.
    #[must_use]
    pub fn count(&self) -> Count {
        self.count.unwrap_or(Count::Integer(0))
    }

    /// Number of observations in the zero bucket, as sent, so perhaps in another flavour than [`Self::count`], where Prometheus takes it
    /// for 0. None is 0 in the flavour of the count.
    #[must_use]
    pub fn zero_count(&self) -> Count {
        self.zero_count.unwrap_or(match self.count() {
            Count::Integer(_) => Count::Integer(0),
            Count::Float(_) => Count::Float(0.0),
        })
    }

    /// Whether its counts are floats.
    #[must_use]
    pub fn is_float(&self) -> bool {
        matches!(self.count(), Count::Float(_))
    }

    /// Offset and length of each positive span. The lengths are claims: they may add up to far more buckets than there are.
    pub fn positive_spans(&self) -> impl Iterator<Item = (i32, u32)> + use<'a> {
        repeated(self.message, POSITIVE_SPANS, read_span)
    }

    /// Offset and length of each negative span. The lengths are claims: they may add up to far more buckets than there are.
    pub fn negative_spans(&self) -> impl Iterator<Item = (i32, u32)> + use<'a> {
        repeated(self.message, NEGATIVE_SPANS, read_span)
    }

    /// Positive buckets of the integer flavour: the first count, then differences. They may add up to anything.
    pub fn positive_deltas(&self) -> impl Iterator<Item = i64> + use<'a> {
        scalars(self.message, POSITIVE_DELTAS, VARINT, delta)
    }

    /// Negative buckets of the integer flavour: the first count, then differences. They may add up to anything.
    pub fn negative_deltas(&self) -> impl Iterator<Item = i64> + use<'a> {
        scalars(self.message, NEGATIVE_DELTAS, VARINT, delta)
    }

    /// Positive buckets of the float flavour, absolute.
    pub fn positive_counts(&self) -> impl Iterator<Item = f64> + use<'a> {
        scalars(self.message, POSITIVE_COUNTS, FIXED64, double)
    }

    /// Negative buckets of the float flavour, absolute.
    pub fn negative_counts(&self) -> impl Iterator<Item = f64> + use<'a> {
        scalars(self.message, NEGATIVE_COUNTS, FIXED64, double)
    }

    /// Upper bounds of custom buckets.
    pub fn custom_values(&self) -> impl Iterator<Item = f64> + use<'a> {
        scalars(self.message, CUSTOM_VALUES, FIXED64, double)
    }
}

fn read_span(mut fields: Cursor<'_>) -> Result<(i32, u32), Malformed> {
    let (mut offset, mut length) = (0, 0);
    while let Some(key) = fields.key()? {
        match key {
            SPAN_OFFSET => offset = zigzag_32(fields.varint()?),
            SPAN_LENGTH => length = fields.varint()? as u32,
            other => fields.skip(other)?,
        }
    }
    Ok((offset, length))
}

#[inline]
fn delta(fields: &mut Cursor<'_>) -> Result<i64, Malformed> {
    let zigzag = fields.varint()?;
    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

#[inline]
fn double(fields: &mut Cursor<'_>) -> Result<f64, Malformed> {
    fields.fixed64().map(f64::from_bits)
}

/// A sint32. Longer varints are cut before the sign is taken off, as every protobuf library does.
fn zigzag_32(varint: u64) -> i32 {
    let zigzag = varint as u32;
    (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32)
}
