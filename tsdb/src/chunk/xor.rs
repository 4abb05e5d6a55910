//! Encoding 1: float samples as deltas of deltas and XORs (Prometheus: `tsdb/chunkenc/xor.go`).
//!
//! ```text
//! u16 count | varint t0 | v0: 64 bits | uvarint t1-t0 | xor v1 | { dod | xor }*          bits, most significant first
//! dod:  0 none | 10 +14 bits | 110 +17 | 1110 +20 | 1111 +64     n bits hold -(2^(n-1)-1) ..= 2^(n-1)
//! xor:  0 same | 10 bits of the last window | 11 +5 leading zeros (at most 31) +6 width (64 as 0) + bits of the new window
//! ```
//!
//! Takes whole columns, because it is the hot loop of export and remote read. Values are bits and never computed with: every NaN
//! payload survives. Differences of timestamps wrap as Go's do, so any two `i64` may follow each other.

use emberkeep_model::Run;

use crate::TsdbError;
use crate::bits::{BitGlance, BitReader, BitWriter, STRETCH_BYTES, StretchWriter};
use crate::bytes::{unzigzag, zigzag};
use crate::error::{Damage, corrupt};

/// The most samples that the 16-bit count can name.
pub const MAX_SAMPLES: usize = u16::MAX as usize;

/// Samples that are written before their bytes are moved to the chunk.
const STRETCH: usize = 24;
/// Bits of a sample: the widest delta of deltas, and a value with a new window.
const MOST_SAMPLE_BITS: usize = 68 + 13 + 64;
// Beside whole samples, the bits that are left of the stretch before, and the word that is written at the end.
const _: () = assert!(STRETCH * MOST_SAMPLE_BITS + 7 <= 8 * (STRETCH_BYTES - 8));

/// Appends the chunk of these samples to `out`: the same bytes that Prometheus' appender makes of them.
///
/// # Panics
/// When there are more than [`MAX_SAMPLES`] samples, or not as many values as timestamps.
pub fn encode(timestamps: &[i64], values: &[f64], out: &mut Vec<u8>) {
    assert_eq!(timestamps.len(), values.len(), "each timestamp has a value");
    let count = u16::try_from(timestamps.len()).expect("a chunk has at most 65,535 samples");
    out.extend_from_slice(&count.to_be_bytes());
    let (Some((&first_time, timestamps)), Some((first_value, values))) =
        (timestamps.split_first(), values.split_first())
    else {
        return;
    };
    // Typical data takes one to four bytes for each sample; more grows the vector.
    out.reserve(16 + timestamps.len() * 4);
    let mut bits = BitWriter::new(out);
    let mut xor = XorState::starting_at(*first_value);
    bits.write_uvarint(zigzag(first_time));
    bits.write(xor.last, 64);
    let (Some((&second_time, timestamps)), Some((second_value, values))) =
        (timestamps.split_first(), values.split_first())
    else {
        bits.finish();
        return;
    };
    let mut last_time = second_time;
    let mut last_delta = second_time.wrapping_sub(first_time);
    bits.write_uvarint(last_delta.cast_unsigned());
    xor.write(&mut bits, 0, 0, second_value.to_bits());
    let mut bits = bits.into_stretches();
    for (times, values) in timestamps.chunks(STRETCH).zip(values.chunks(STRETCH)) {
        if are_regular(times, last_time, last_delta) {
            for value in values {
                xor.write_in_stretch(&mut bits, 0, 1, value.to_bits());
            }
            last_time = times[times.len() - 1];
        } else {
            for (&time, value) in times.iter().zip(values) {
                let delta = time.wrapping_sub(last_time);
                let (prefix, width) = dod_prefix(&mut bits, delta.wrapping_sub(last_delta));
                xor.write_in_stretch(&mut bits, prefix, width, value.to_bits());
                last_time = time;
                last_delta = delta;
            }
        }
        bits.end_stretch();
    }
    bits.finish();
}

/// Whether each of these times follows the one before by the same difference; they are at least one.
#[inline]
fn are_regular(times: &[i64], before: i64, delta: i64) -> bool {
    let differs = |time: i64, before: i64| time.wrapping_sub(before) ^ delta;
    let rest = times.iter().zip(&times[1..]);
    rest.fold(differs(times[0], before), |all, (&before, &time)| {
        all | differs(time, before)
    }) == 0
}

/// Control and payload bits of a delta of deltas, at most 24, so that the value's control bits can follow in the same write.
/// The widest form does not fit and is written here, leaving nothing.
#[inline]
fn dod_prefix(bits: &mut StretchWriter<'_>, dod: i64) -> (u64, u32) {
    let fits = |n: u32| -((1i64 << (n - 1)) - 1) <= dod && dod <= 1i64 << (n - 1);
    let low = |n: u32| dod.cast_unsigned() & ((1 << n) - 1);
    if dod == 0 {
        (0, 1)
    } else if fits(14) {
        (0b10 << 14 | low(14), 16)
    } else if fits(17) {
        (0b110 << 17 | low(17), 20)
    } else if fits(20) {
        (0b1110 << 20 | low(20), 24)
    } else {
        bits.put(0b1111, 4);
        bits.put_wide(dod.cast_unsigned(), 64);
        (0, 0)
    }
}

/// One float that changes from sample to sample: the value here, each field and bucket of a float histogram elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct XorState {
    /// Bits of the last value.
    pub(super) last: u64,
    /// Leading and trailing zeros of the window last written. None before the first change, which therefore always opens one.
    window: Option<(u32, u32)>,
}

impl XorState {
    /// The state after a first value, which is written as it is.
    pub(super) fn starting_at(value: f64) -> Self {
        Self {
            last: value.to_bits(),
            window: None,
        }
    }

    /// Takes what [`XorState::write`] writes. Without a window a value that reuses it has all 64 bits.
    #[inline]
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(), Damage> {
        if bits.take(1)? == 0 {
            return Ok(());
        }
        let (leading, trailing) = if bits.take(1)? == 1 {
            let window = bits.take(11)?;
            let leading = (window >> 6) as u32;
            let significant = match (window & 63) as u32 {
                0 => 64,
                width => width,
            };
            let trailing = (64 - leading)
                .checked_sub(significant)
                .ok_or("a window of value bits is wider than a value")?;
            *self.window.insert((leading, trailing))
        } else {
            self.window.unwrap_or_default()
        };
        self.last ^= bits.take_wide(64 - leading - trailing)? << trailing;
        Ok(())
    }

    /// As [`XorState::write`] of a prefix of at most 24 bits, the control bits and those of the value together where they are few enough.
    #[inline]
    fn write_in_stretch(&mut self, bits: &mut StretchWriter<'_>, prefix: u64, width: u32, value: u64) {
        let xor = value ^ self.last;
        self.last = value;
        if xor == 0 {
            return bits.put(prefix << 1, width + 1);
        }
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        let (header, header_width, trailing, significant) = match self.window {
            Some((window_leading, window_trailing)) if leading >= window_leading && trailing >= window_trailing => (
                prefix << 2 | 0b10,
                width + 2,
                window_trailing,
                64 - window_leading - window_trailing,
            ),
            _ => {
                self.window = Some((leading, trailing));
                let significant = 64 - leading - trailing;
                let header = 0b11 << 11 | u64::from(leading) << 6 | u64::from(significant & 63);
                (prefix << 13 | header, width + 13, trailing, significant)
            }
        };
        if header_width + significant <= StretchWriter::MOST_BITS {
            bits.put(header << significant | xor >> trailing, header_width + significant);
        } else {
            bits.put(header, header_width);
            bits.put_wide(xor >> trailing, significant);
        }
    }

    /// Writes the `width` bits of `prefix` and then the value.
    #[inline]
    pub(super) fn write(&mut self, bits: &mut BitWriter<'_>, prefix: u64, width: u32, value: u64) {
        let xor = value ^ self.last;
        self.last = value;
        if xor == 0 {
            bits.write(prefix << 1, width + 1);
            return;
        }
        // The field of leading zeros has five bits.
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        if let Some((window_leading, window_trailing)) = self.window
            && leading >= window_leading
            && trailing >= window_trailing
        {
            bits.write(prefix << 2 | 0b10, width + 2);
            bits.write(xor >> window_trailing, 64 - window_leading - window_trailing);
            return;
        }
        self.window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        let header = 0b11 << 11 | u64::from(leading) << 6 | u64::from(significant & 63);
        bits.write(prefix << 13 | header, width + 13);
        bits.write(xor >> trailing, significant);
    }
}

/// How many samples a chunk says it has.
///
/// # Errors
/// [`TsdbError::Corrupt`] when it is too short to say so.
pub fn count(chunk: &[u8]) -> Result<u16, TsdbError> {
    header(chunk)
        .map(|(count, _)| count)
        .map_err(corrupt(|| "an XOR chunk".to_owned()))
}

fn header(chunk: &[u8]) -> Result<(u16, &[u8]), Damage> {
    let (count, rest) = chunk.split_first_chunk::<2>().ok_or("it has no sample count")?;
    Ok((u16::from_be_bytes(*count), rest))
}

/// Appends the samples of a chunk to `run`. Their start timestamps are unset: the encoding has none.
///
/// # Errors
/// [`TsdbError::Corrupt`] when the bits do not hold the samples that the count promises; `run` is then as before.
pub fn decode(chunk: &[u8], run: &mut Run) -> Result<(), TsdbError> {
    let before = run.len();
    decode_columns(chunk, &mut run.timestamps, &mut run.values).map_err(|damage| {
        run.timestamps.truncate(before);
        run.values.truncate(before);
        corrupt(|| "an XOR chunk".to_owned())(damage)
    })?;
    if !run.start_timestamps.is_empty() {
        run.start_timestamps.resize(run.timestamps.len(), 0);
    }
    Ok(())
}

fn decode_columns(chunk: &[u8], timestamps: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), Damage> {
    let (count, rest) = header(chunk)?;
    let count = usize::from(count);
    if count == 0 {
        return Ok(());
    }
    let mut bits = BitReader::new(rest);
    let mut last = LastSample {
        time: unzigzag(bits.take_uvarint()?),
        value: bits.take_wide(64)?,
        delta: 0,
        window: (0, 0),
    };
    let before = timestamps.len();
    timestamps.resize(before + count, last.time);
    values.resize(before + count, f64::from_bits(last.value));
    let (timestamps, values) = (&mut timestamps[before..], &mut values[before..]);
    let mut taken = 1;
    while taken < count {
        taken += last.take_usual(&mut bits, &mut timestamps[taken..], &mut values[taken..], taken);
        if taken < count {
            bits.refill();
            last.delta = match taken {
                1 => bits.take_uvarint()?.cast_signed(),
                _ => last.delta.wrapping_add(take_dod(&mut bits)?),
            };
            last.time = last.time.wrapping_add(last.delta);
            last.take_value(&mut bits)?;
            (timestamps[taken], values[taken]) = (last.time, f64::from_bits(last.value));
            taken += 1;
        }
    }
    Ok(())
}

/// The sample before the next one, and what is said of the next by how it differs.
#[derive(Clone, Copy)]
struct LastSample {
    time: i64,
    value: u64,
    delta: i64,
    /// Leading and trailing zeros.
    window: (u32, u32),
}

impl LastSample {
    /// Takes samples from the third on as far as they are of the forms that nearly all have and their bits lie far enough from the end, so
    /// that it need not be asked for each few bits whether they are there. How many they are; of the next one nothing is taken.
    #[inline]
    fn take_usual(
        &mut self,
        bits: &mut BitReader<'_>,
        timestamps: &mut [i64],
        values: &mut [f64],
        before: usize,
    ) -> usize {
        let (mut glance, mut taken) = (bits.glance(), 0);
        if before > 1 {
            let mut last = *self;
            for (time, value) in timestamps.iter_mut().zip(values) {
                let Some(behind) = last.take_one(glance) else { break };
                glance = behind;
                (*time, *value) = (last.time, f64::from_bits(last.value));
                *self = last;
                taken += 1;
            }
            bits.go_to(&glance);
        }
        taken
    }

    /// Takes a sample and says where the next one begins. `None` when it is of another form, or too near to the end; this is of no use then.
    #[inline(always)]
    fn take_one<'a>(&mut self, mut glance: BitGlance<'a>) -> Option<BitGlance<'a>> {
        let mut next = glance.word()?;
        let mut used = 1;
        if next >> 63 != 0 {
            let ones = next.leading_ones();
            let width = *[14, 17, 20].get(ones as usize - 1)?;
            let dod = signed(next << (ones + 1) >> (64 - width), width);
            self.delta = self.delta.wrapping_add(dod);
            used = ones + 1 + width;
        }
        self.time = self.time.wrapping_add(self.delta);
        next <<= used;
        if next >> 63 == 0 {
            glance.pass(used + 1);
            return Some(glance);
        }
        if next >> 62 == 0b11 {
            let (leading, width) = ((next >> 57 & 31) as u32, (next >> 51 & 63) as u32);
            let significant = if width == 0 { 64 } else { width };
            self.window = (leading, (64 - leading).checked_sub(significant)?);
            (next, used) = (next << 13, used + 13);
        } else {
            (next, used) = (next << 2, used + 2);
        }
        let (leading, trailing) = self.window;
        let significant = 64 - leading - trailing;
        if used + significant <= BitGlance::BITS {
            // There is at least one: a window without any has no form.
            self.value ^= next >> (64 - significant) << trailing;
            glance.pass(used + significant);
        } else {
            glance.pass(used);
            self.value ^= glance.take(significant)? << trailing;
        }
        Some(glance)
    }

    #[inline]
    fn take_value(&mut self, bits: &mut BitReader<'_>) -> Result<(), Damage> {
        if bits.take(1)? == 0 {
            return Ok(());
        }
        if bits.take(1)? == 1 {
            let window = bits.take(11)?;
            let leading = (window >> 6) as u32;
            let significant = match (window & 63) as u32 {
                0 => 64,
                width => width,
            };
            let trailing = (64 - leading)
                .checked_sub(significant)
                .ok_or("a window of value bits is wider than a value")?;
            self.window = (leading, trailing);
        }
        let (leading, trailing) = self.window;
        self.value ^= bits.take_wide(64 - leading - trailing)? << trailing;
        Ok(())
    }
}

/// A delta of deltas of so many bits. The ranges are asymmetric: the highest bit alone is still positive.
#[inline]
fn signed(bits: u64, width: u32) -> i64 {
    let value = bits.cast_signed();
    if value > 1 << (width - 1) {
        value - (1 << width)
    } else {
        value
    }
}

#[inline]
fn take_dod(bits: &mut BitReader<'_>) -> Result<i64, Damage> {
    let ones = bits.leading_ones();
    let width = match ones {
        0 => return bits.take(1).map(|_| 0),
        1 => 14,
        2 => 17,
        3 => 20,
        _ => {
            bits.take(4)?;
            return bits.take_wide(64).map(u64::cast_signed);
        }
    };
    bits.take(ones + 1)?;
    Ok(signed(bits.take(width)?, width))
}

#[cfg(test)]
mod tests;
