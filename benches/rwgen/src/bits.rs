//! Reads bits, most significant first, as the chunks of Prometheus have them (`tsdb/chunkenc/bstream.go`, `varbit.go`).

use anyhow::{Context, Result, bail};

/// Widths of the classes of a varbit number, by the number of ones before the first zero.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// A position in bits.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits as a number, 64 at most.
    pub(crate) fn take(&mut self, count: u32) -> Result<u64> {
        let (first, end) = (self.at / 8, self.at + count as usize);
        let within = self
            .bytes
            .get(first..end.div_ceil(8))
            .context("a chunk ends inside a sample")?;
        // 64 bits may lie in nine bytes.
        let mut whole = within.iter().fold(0_u128, |whole, &byte| whole << 8 | u128::from(byte));
        whole >>= within.len() * 8 - (end - first * 8);
        self.at = end;
        Ok(if count == 64 {
            whole as u64
        } else {
            whole as u64 & ((1 << count) - 1)
        })
    }

    /// Number of ones before the next zero, `most` at most; then there is no zero.
    pub(crate) fn ones(&mut self, most: u32) -> Result<u32> {
        for ones in 0..most {
            if self.take(1)? == 0 {
                return Ok(ones);
            }
        }
        Ok(most)
    }

    /// A number of `count` bits in the asymmetric range of Prometheus: its largest value is positive.
    pub(crate) fn signed(&mut self, count: u32) -> Result<i64> {
        let bits = self.take(count)?;
        if count < 64 && bits > 1 << (count - 1) {
            return Ok(bits.wrapping_sub(1 << count).cast_signed());
        }
        Ok(bits.cast_signed())
    }

    pub(crate) fn varbit_uint(&mut self) -> Result<u64> {
        let width = WIDTHS[self.ones(8)? as usize];
        if width == 0 { Ok(0) } else { self.take(width) }
    }

    pub(crate) fn varbit_int(&mut self) -> Result<i64> {
        let width = WIDTHS[self.ones(8)? as usize];
        if width == 0 { Ok(0) } else { self.signed(width) }
    }

    /// A varint of whole bytes that need not begin at one.
    pub(crate) fn uvarint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!("a varint without an end")
    }
}

/// The XOR coding of a sequence of floats: what is remembered from value to value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Xor {
    pub(crate) value: u64,
    leading: u32,
    trailing: u32,
}

impl Xor {
    pub(crate) fn new(value: u64) -> Self {
        Self {
            value,
            leading: 0,
            trailing: 0,
        }
    }

    pub(crate) fn next(&mut self, bits: &mut Bits<'_>) -> Result<u64> {
        if bits.take(1)? == 0 {
            return Ok(self.value);
        }
        if bits.take(1)? == 1 {
            self.leading = bits.take(5)? as u32;
            let significant = match bits.take(6)? as u32 {
                0 => 64,
                count => count,
            };
            self.trailing = 64_u32
                .checked_sub(self.leading + significant)
                .context("an XOR window that is too wide")?;
        }
        let delta = bits.take(64 - self.leading - self.trailing)?;
        self.value ^= delta << self.trailing;
        Ok(self.value)
    }
}
