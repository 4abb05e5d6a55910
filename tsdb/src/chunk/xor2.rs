//! Encoding 4: float samples with start timestamps (Prometheus: `tsdb/chunkenc/xor2.go`).
//!
//! ```text
//! u16 count | u8 header of start timestamps                                   bits from here on, most significant first
//! first:   varint t0 | v0: 64 bits | start          second:  uvarint t1-t0 | value | start
//! others:  0 same step, same value | 10 same step, {0 window | 1 new window} | 11111 same step, stale
//!          { 110 +13 | 1110 +20 | 11110 +64 bits of dod } value                | start after each of them
//! value:   0 same | 10 window | 110 new window | 111 stale       new window: 5 leading zeros, 6 width (64 as 0), bits
//! ```
//!
//! Differences of steps are plain two's complement, unlike those of encoding 1. A stale marker leaves the value that the next one is
//! compared with alone. Values are bits and never computed with; differences of timestamps wrap.

use emberkeep_model::{Run, STALE_MARKER_BITS};

use super::start_timestamps::{StartTimestamps, Times};
use crate::TsdbError;
use crate::bits::{BitReader, BitWriter};
use crate::bytes::{unzigzag, zigzag};
use crate::error::{Damage, corrupt};

/// Sample count and the header of the start timestamps.
const HEADER_BYTES: usize = 3;

/// Appends the chunk of these samples to `out`: the same bytes that Prometheus' appender makes of them. Start timestamps are one
/// for each sample, 0 where there is none, or none at all.
///
/// # Panics
/// When there are more than 65,535 samples, or not as many values or start timestamps as timestamps.
pub fn encode(timestamps: &[i64], values: &[f64], start_timestamps: &[i64], out: &mut Vec<u8>) {
    assert_eq!(timestamps.len(), values.len(), "each timestamp has a value");
    assert!(
        start_timestamps.is_empty() || start_timestamps.len() == timestamps.len(),
        "each timestamp has a start timestamp, or none has"
    );
    let count = u16::try_from(timestamps.len()).expect("a chunk has at most 65,535 samples");
    out.extend_from_slice(&count.to_be_bytes());
    let header = out.len();
    out.push(0);
    out.reserve(16 + timestamps.len() * 4);
    let mut bits = BitWriter::new(out);
    let mut starts = StartTimestamps::default();
    let mut state = Values::default();
    let (mut previous, mut last_step) = (0_i64, 0_i64);
    for (position, (&time, value)) in timestamps.iter().zip(values).enumerate() {
        let step = time.wrapping_sub(previous);
        let value = value.to_bits();
        match position {
            0 => {
                bits.write_uvarint(zigzag(time));
                bits.write(value, 64);
                state.keep(value);
            }
            1 => {
                bits.write_uvarint(step.cast_unsigned());
                state.write(&mut bits, value);
            }
            _ => state.write_joint(&mut bits, step.wrapping_sub(last_step), value),
        }
        let times = Times {
            previous,
            current: time,
        };
        let start = start_timestamps.get(position).copied().unwrap_or(0);
        starts.write(&mut bits, position, times, start);
        (previous, last_step) = (time, step);
    }
    bits.finish();
    out[header] = starts.header();
}

/// What values are compared with.
#[derive(Debug, Default)]
struct Values {
    /// Bits of the last value that was not stale.
    last: u64,
    /// Leading and trailing zeros of the window last written. None before the first change, which therefore always opens one.
    window: Option<(u32, u32)>,
}

impl Values {
    fn keep(&mut self, value: u64) {
        if value != STALE_MARKER_BITS {
            self.last = value;
        }
    }

    /// Writes a difference of steps and a value, under one prefix where the step is the same.
    fn write_joint(&mut self, bits: &mut BitWriter<'_>, dod: i64, value: u64) {
        let low = |n: u32| dod.cast_unsigned() & ((1 << n) - 1);
        if dod == 0 {
            if value == STALE_MARKER_BITS {
                bits.write(0b11111, 5);
            } else if value == self.last {
                bits.write(0, 1);
            } else {
                self.write_changed(bits, value, (0b100, 3), (0b101, 3));
            }
            return;
        }
        if (-(1 << 12)..1 << 12).contains(&dod) {
            bits.write(0b110 << 13 | low(13), 16);
        } else if (-(1 << 19)..1 << 19).contains(&dod) {
            bits.write(0b1110 << 20 | low(20), 24);
        } else {
            bits.write(0b11110, 5);
            bits.write(dod.cast_unsigned(), 64);
        }
        self.write(bits, value);
    }

    fn write(&mut self, bits: &mut BitWriter<'_>, value: u64) {
        if value == STALE_MARKER_BITS {
            bits.write(0b111, 3);
        } else if value == self.last {
            bits.write(0, 1);
        } else {
            self.write_changed(bits, value, (0b10, 2), (0b110, 3));
        }
    }

    /// Writes a value other than the last, behind one of two prefixes.
    fn write_changed(&mut self, bits: &mut BitWriter<'_>, value: u64, reuse: (u64, u32), renew: (u64, u32)) {
        let xor = value ^ self.last;
        self.last = value;
        // The field of leading zeros has five bits.
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        if let Some((window_leading, window_trailing)) = self.window
            && leading >= window_leading
            && trailing >= window_trailing
        {
            bits.write(reuse.0, reuse.1);
            bits.write(xor >> window_trailing, 64 - window_leading - window_trailing);
            return;
        }
        self.window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        let window = u64::from(leading) << 6 | u64::from(significant & 63);
        bits.write(renew.0 << 11 | window, renew.1 + 11);
        bits.write(xor >> trailing, significant);
    }

    /// Takes a value behind a prefix of its own.
    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, Damage> {
        if bits.take(1)? == 0 {
            return Ok(self.last);
        }
        if bits.take(1)? == 0 {
            return self.read_changed(bits, false);
        }
        if bits.take(1)? == 0 {
            return self.read_changed(bits, true);
        }
        Ok(STALE_MARKER_BITS)
    }

    fn read_changed(&mut self, bits: &mut BitReader<'_>, renew: bool) -> Result<u64, Damage> {
        if renew {
            let window = bits.take(11)?;
            let leading = (window >> 6) as u32;
            let significant = match (window & 63) as u32 {
                0 => 64,
                width => width,
            };
            let trailing = (64 - leading)
                .checked_sub(significant)
                .ok_or("a window of value bits is wider than a value")?;
            self.window = Some((leading, trailing));
        }
        // A reader without a window yet takes all bits, as Prometheus' does.
        let (leading, trailing) = self.window.unwrap_or_default();
        self.last ^= bits.take_wide(64 - leading - trailing)? << trailing;
        Ok(self.last)
    }
}

/// How many samples a chunk says it has.
///
/// # Errors
/// [`TsdbError::Corrupt`] when it is too short to say so.
pub fn count(chunk: &[u8]) -> Result<u16, TsdbError> {
    header(chunk)
        .map(|(count, ..)| count)
        .map_err(corrupt(|| "an XOR2 chunk".to_owned()))
}

fn header(chunk: &[u8]) -> Result<(u16, u8, &[u8]), Damage> {
    let (&[high, low, starts], rest) = chunk.split_first_chunk::<HEADER_BYTES>().ok_or("it has no header")?;
    Ok((u16::from_be_bytes([high, low]), starts, rest))
}

/// Appends the samples of a chunk to `run`, with their start timestamps where any is set.
///
/// # Errors
/// [`TsdbError::Corrupt`] when the bits do not hold the samples that the count promises; `run` is then as before.
pub fn decode(chunk: &[u8], run: &mut Run) -> Result<(), TsdbError> {
    let before = run.len();
    let mut starts = Vec::new();
    let read = decode_columns(chunk, &mut run.timestamps, &mut run.values, &mut starts);
    if let Err(damage) = read {
        run.timestamps.truncate(before);
        run.values.truncate(before);
        return Err(corrupt(|| "an XOR2 chunk".to_owned())(damage));
    }
    if !run.start_timestamps.is_empty() || starts.iter().any(|&start| start != 0) {
        run.start_timestamps.resize(before, 0);
        run.start_timestamps.append(&mut starts);
        run.start_timestamps.resize(run.timestamps.len(), 0);
    }
    Ok(())
}

fn decode_columns(
    chunk: &[u8],
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
    start_timestamps: &mut Vec<i64>,
) -> Result<(), Damage> {
    let (count, starts_header, rest) = header(chunk)?;
    let count = usize::from(count);
    timestamps.reserve(count);
    values.reserve(count);
    let mut bits = BitReader::new(rest);
    let mut starts = StartTimestamps::of_header(starts_header);
    let mut state = Values::default();
    let (mut time, mut step) = (0_i64, 0_i64);
    for position in 0..count {
        let previous = time;
        let value = match position {
            0 => {
                time = unzigzag(bits.take_uvarint()?);
                let value = bits.take_wide(64)?;
                state.keep(value);
                value
            }
            1 => {
                step = bits.take_uvarint()?.cast_signed();
                time = time.wrapping_add(step);
                state.read(&mut bits)?
            }
            _ => read_joint(&mut bits, &mut state, &mut time, &mut step)?,
        };
        // Without a header there are none, which is the common case.
        if starts_header != 0 {
            let times = Times {
                previous,
                current: time,
            };
            start_timestamps.push(starts.read(&mut bits, position, times)?);
        }
        timestamps.push(time);
        values.push(f64::from_bits(value));
    }
    Ok(())
}

fn read_joint(bits: &mut BitReader<'_>, state: &mut Values, time: &mut i64, step: &mut i64) -> Result<u64, Damage> {
    bits.refill();
    let ones = bits.leading_ones().min(5);
    bits.take((ones + 1).min(5))?;
    let width = match ones {
        2 => 13,
        3 => 20,
        4 => 64,
        _ => 0,
    };
    if width > 0 {
        // Shifted up and down again, the highest bit is the sign.
        let dod = (bits.take_wide(width)? << (64 - width)).cast_signed() >> (64 - width);
        *step = step.wrapping_add(dod);
    }
    *time = time.wrapping_add(*step);
    match ones {
        0 => Ok(state.last),
        1 => {
            let renew = bits.take(1)? == 1;
            state.read_changed(bits, renew)
        }
        5 => Ok(STALE_MARKER_BITS),
        _ => state.read(bits),
    }
}

#[cfg(test)]
mod tests;
