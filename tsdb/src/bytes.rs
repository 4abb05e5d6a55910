//! Whole bytes: big-endian integers, varints as Go's `encoding/binary` writes them, and CRC-32C (Prometheus: `tsdb/encoding/encoding.go`).
//!
//! The cursor must never panic and never believe a length before it has compared it with what is there.

use crc_fast::{CrcAlgorithm, checksum};

use crate::error::Damage;

/// CRC-32C, the only checksum of the format.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    truncate_crc(checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// The library gives all CRCs as 64 bits.
pub(crate) fn truncate_crc(crc: u64) -> u32 {
    u32::try_from(crc).expect("a 32-bit CRC fits 32 bits")
}

/// Appends an unsigned varint.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed varint (zigzag).
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// How many bytes an unsigned varint takes.
pub(crate) fn uvarint_len(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).div_ceil(7).max(1))
}

/// Signed to unsigned, small magnitudes first.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Takes values from the front of bytes that came from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet taken.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, count: u64) -> Result<&'a [u8], Damage> {
        let count = usize::try_from(count).map_err(|_| "a length exceeds the file")?;
        let (head, rest) = self.rest.split_at_checked(count).ok_or("a length exceeds the file")?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or("the bytes end too early")?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Damage> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a varint is longer than 64 bits")
    }

    /// A varint that the format limits to 32 bits.
    pub(crate) fn uvarint32(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.uvarint()?).map_err(|_| "a varint is longer than 32 bits")
    }

    pub(crate) fn varint(&mut self) -> Result<i64, Damage> {
        self.uvarint().map(unzigzag)
    }

    /// A string with its length before it.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.uvarint()?;
        self.bytes(length)
    }

    /// `length` bytes and the CRC-32C after them, checked.
    pub(crate) fn summed(&mut self, length: u64) -> Result<&'a [u8], Damage> {
        let content = self.bytes(length)?;
        if self.u32()? == crc32c(content) {
            Ok(content)
        } else {
            Err("the checksum is wrong")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        #[test]
        fn varints_round_trip(unsigned: u64, signed: i64, shift in 0u32..64) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, unsigned);
            prop_assert_eq!(uvarint_len(unsigned), bytes.len() as u64);
            put_varint(&mut bytes, signed);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.uvarint(), Ok(unsigned));
            prop_assert_eq!(cursor.varint(), Ok(signed));
            prop_assert_eq!(cursor.remaining(), 0);
        }
    }
}
