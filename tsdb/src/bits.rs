//! Bits, most significant first, the last byte padded with zeros (Prometheus: `tsdb/chunkenc/bstream.go`,
//! `varbit.go`).
//!
//! Both sides move 64 bits at a time, because they are the inner loop of export and remote read. The reader must never read past its
//! bytes: padding that is missing is an error, not a zero.

mod glance;
mod stretch;

pub(crate) use self::glance::BitGlance;
pub(crate) use self::stretch::{STRETCH_BYTES, StretchWriter};
use crate::error::Damage;

/// Bits that do not fill a word yet, of a stream that is written in several goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    pending: u64,
    free: u32,
}

impl Default for Tail {
    fn default() -> Self {
        Self { pending: 0, free: 64 }
    }
}

impl Tail {
    /// How many bytes the tail will take.
    pub(crate) fn bytes(self) -> usize {
        (64 - self.free).div_ceil(8) as usize
    }
}

/// Payload bits of a varbit number, by the number of ones that its prefix begins with.
const VARBIT_WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Appends bits to a byte vector.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits not yet in `out`, from the top.
    pending: u64,
    /// How many bits of `pending` are free, 1..=64.
    free: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            pending: 0,
            free: 64,
        }
    }

    /// Goes on where [`BitWriter::suspend`] stopped.
    pub(crate) fn resume(out: &'a mut Vec<u8>, Tail { pending, free }: Tail) -> Self {
        Self { out, pending, free }
    }

    /// Stops without padding.
    pub(crate) fn suspend(self) -> Tail {
        Tail {
            pending: self.pending,
            free: self.free,
        }
    }

    /// Writes the low `count` bits of `value`; 1 to 64, all higher bits must be zero.
    #[inline]
    pub(crate) fn write(&mut self, value: u64, count: u32) {
        debug_assert!(
            (1..=64).contains(&count) && (count == 64 || value >> count == 0),
            "bits beyond the count"
        );
        if count < self.free {
            self.free -= count;
            self.pending |= value << self.free;
        } else {
            let over = count - self.free;
            self.out
                .extend_from_slice(&(self.pending | (value >> over)).to_be_bytes());
            self.free = 64 - over;
            // With nothing left over the shift would be by 64.
            self.pending = if over == 0 { 0 } else { value << self.free };
        }
    }

    /// Writes an unsigned varint, byte by byte through the bit stream (Go: `binary.PutUvarint`).
    pub(crate) fn write_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    /// Writes a signed number in 1 to 72 bits, small magnitudes in few (`varbit.go`, `putVarbitInt`).
    ///
    /// The ranges are asymmetric: `n` bits hold `-(2^(n-1) - 1)` to `2^(n-1)`.
    #[inline]
    pub(crate) fn write_varbit_int(&mut self, value: i64) {
        if value == 0 {
            return self.write(0, 1);
        }
        // n bits hold magnitudes up to 2^(n-1), the greatest of them only when positive.
        let magnitude = value.unsigned_abs() - u64::from(value > 0);
        let needed = (65 - magnitude.leading_zeros()).min(64);
        self.write_varbit(value.cast_unsigned(), needed);
    }

    /// Writes an unsigned number in 1 to 72 bits (`varbit.go`, `putVarbitUint`).
    #[inline]
    pub(crate) fn write_varbit_uint(&mut self, value: u64) {
        if value == 0 {
            self.write(0, 1);
        } else {
            self.write_varbit(value, 64 - value.leading_zeros());
        }
    }

    /// Writes the low bits of a value that needs so many.
    #[inline]
    fn write_varbit(&mut self, value: u64, needed: u32) {
        let ones = VARBIT_WIDTHS
            .iter()
            .position(|&width| width >= needed)
            .expect("64 bits hold every number") as u32;
        let width = VARBIT_WIDTHS[ones as usize];
        if width == 64 {
            self.write(0xff, 8);
            self.write(value, 64);
        } else {
            let prefix = (2 << ones) - 2;
            self.write(prefix << width | value & ((1 << width) - 1), ones + 1 + width);
        }
    }

    /// Writes what is pending, padded to a whole byte.
    pub(crate) fn finish(self) {
        let bytes = (64 - self.free).div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_be_bytes()[..bytes]);
    }

    /// Goes on with stretches of bits that are known not to be longer than so much.
    pub(crate) fn into_stretches(self) -> StretchWriter<'a> {
        let mut stretches = StretchWriter {
            bytes: [0; STRETCH_BYTES],
            at: 0,
            pending: 0,
            used: 0,
            out: self.out,
        };
        let filled = 64 - self.free;
        let (whole, rest) = (filled / 8, filled % 8);
        let pending = self.pending.to_be_bytes();
        stretches.out.extend_from_slice(&pending[..whole as usize]);
        if rest > 0 {
            stretches.pending = u64::from(pending[whole as usize]) << 56;
            stretches.used = rest;
        }
        stretches
    }
}

/// Takes bits from a byte slice.
pub(crate) struct BitReader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
    /// The next bits, from the top. Below the first `have` bits lie either zeros or bits that really follow.
    pending: u64,
    have: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            all: bytes,
            rest: bytes,
            pending: 0,
            have: 0,
        }
    }

    /// Makes at least 56 bits available, or all that are left.
    #[inline]
    pub(crate) fn refill(&mut self) {
        if let Some(word) = self.rest.first_chunk::<8>() {
            // `have` is at most 63 here: 64 is only reached below, when fewer than 8 bytes are left, and those never grow again.
            self.pending |= u64::from_be_bytes(*word) >> self.have;
            self.rest = &self.rest[((63 - self.have) >> 3) as usize..];
            self.have |= 56;
        } else {
            while self.have <= 56
                && let Some((&byte, rest)) = self.rest.split_first()
            {
                self.pending |= u64::from(byte) << (56 - self.have);
                self.have += 8;
                self.rest = rest;
            }
        }
    }

    /// How many of the next bits are ones, without taking them; right for at most 56 after a refill.
    #[inline]
    pub(crate) fn leading_ones(&self) -> u32 {
        self.pending.leading_ones()
    }

    /// Takes 1 to 56 bits.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> Result<u64, Damage> {
        if self.have < count {
            self.refill();
            if self.have < count {
                return Err("the bits end too early");
            }
        }
        let value = self.pending >> (64 - count);
        self.pending <<= count;
        self.have -= count;
        Ok(value)
    }

    /// Takes 1 to 64 bits.
    #[inline]
    pub(crate) fn take_wide(&mut self, count: u32) -> Result<u64, Damage> {
        if count <= 56 {
            self.take(count)
        } else {
            Ok(self.take(count - 32)? << 32 | self.take(32)?)
        }
    }

    /// How many bits are left, padding included.
    pub(crate) fn remaining(&self) -> u64 {
        self.rest.len() as u64 * 8 + u64::from(self.have)
    }

    /// The number of ones before the next zero, at most 8; both are taken.
    #[inline]
    fn take_varbit_prefix(&mut self) -> Result<u32, Damage> {
        if self.have < 8 {
            self.refill();
        }
        let ones = self.leading_ones().min(8);
        self.take((ones + 1).min(8))?;
        Ok(ones)
    }

    /// Takes what [`BitWriter::write_varbit_int`] writes.
    #[inline]
    pub(crate) fn take_varbit_int(&mut self) -> Result<i64, Damage> {
        let ones = self.take_varbit_prefix()?;
        if ones == 0 {
            return Ok(0);
        }
        let width = VARBIT_WIDTHS[ones as usize];
        let value = self.take_wide(width)?.cast_signed();
        // The highest bit alone is still positive.
        Ok(if width < 64 && value > 1 << (width - 1) {
            value - (1 << width)
        } else {
            value
        })
    }

    /// Takes what [`BitWriter::write_varbit_uint`] writes.
    #[inline]
    pub(crate) fn take_varbit_uint(&mut self) -> Result<u64, Damage> {
        match self.take_varbit_prefix()? {
            0 => Ok(0),
            ones => self.take_wide(VARBIT_WIDTHS[ones as usize]),
        }
    }

    /// Takes an unsigned varint of at most 64 bits.
    pub(crate) fn take_uvarint(&mut self) -> Result<u64, Damage> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(8)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a varint is longer than 64 bits")
    }
}

#[cfg(test)]
mod tests;
