//! Bits, most significant first, the last byte padded with zeros (Prometheus: `tsdb/chunkenc/bstream.go`).
//!
//! Both sides move 64 bits at a time, because they are the inner loop of export and remote read. The reader must never read past its
//! bytes: padding that is missing is an error, not a zero.

use crate::error::Damage;

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

    /// Writes what is pending, padded to a whole byte.
    pub(crate) fn finish(self) {
        let bytes = (64 - self.free).div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_be_bytes()[..bytes]);
    }
}

/// Takes bits from a byte slice.
pub(crate) struct BitReader<'a> {
    rest: &'a [u8],
    /// The next bits, from the top. Below the first `have` bits lie either zeros or bits that really follow.
    pending: u64,
    have: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(pieces in proptest::collection::vec((any::<u64>(), 1u32..=64), 0..200)) {
            let masked: Vec<(u64, u32)> = pieces.iter().map(|&(v, n)| (v >> (64 - n), n)).collect();
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for &(value, count) in &masked {
                writer.write(value, count);
            }
            writer.finish();
            let total: u32 = masked.iter().map(|&(_, n)| n).sum();
            prop_assert_eq!(bytes.len(), total.div_ceil(8) as usize);
            let mut reader = BitReader::new(&bytes);
            for &(value, count) in &masked {
                prop_assert_eq!(reader.take_wide(count), Ok(value));
            }
            prop_assert!(reader.take(8).is_err());
        }

        #[test]
        fn varints_of_any_alignment(value: u64, shift in 1u32..=8) {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            writer.write(0, shift);
            writer.write_uvarint(value);
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(reader.take(shift), Ok(0));
            prop_assert_eq!(reader.take_uvarint(), Ok(value));
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_damage() {
        assert!(BitReader::new(&[0xff; 20]).take_uvarint().is_err());
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(BitReader::new(&largest).take_uvarint(), Ok(u64::MAX));
        largest[9] = 2;
        assert!(BitReader::new(&largest).take_uvarint().is_err());
    }
}
