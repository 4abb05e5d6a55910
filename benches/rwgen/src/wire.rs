//! Protobuf by hand: fields are put one by one, and read one by one, because a request of millions allows no message types.
//!
//! Only what remote write and remote read use: varints, 64-bit fixed, and lengths. It must never use the product's codecs.

use anyhow::{Context, Result, bail, ensure};

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_number(field: u64, value: u64, out: &mut Vec<u8>) {
    put_varint(field << 3 | VARINT, out);
    put_varint(value, out);
}

pub(crate) fn put_fixed(field: u64, bits: u64, out: &mut Vec<u8>) {
    put_varint(field << 3 | FIXED64, out);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// The key and the length of a field whose content follows.
pub(crate) fn put_length(field: u64, length: usize, out: &mut Vec<u8>) {
    put_varint(field << 3 | LENGTH, out);
    put_varint(length as u64, out);
}

pub(crate) fn put_bytes(field: u64, content: &[u8], out: &mut Vec<u8>) {
    put_length(field, content.len(), out);
    out.extend_from_slice(content);
}

pub(crate) fn varint_len(value: u64) -> usize {
    ((63 - (value | 1).leading_zeros()) / 7 + 1) as usize
}

pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    pub(crate) fn number(self) -> Result<u64> {
        match self {
            Self::Number(value) => Ok(value),
            other => bail!("a varint was expected, not {other:?}"),
        }
    }

    pub(crate) fn fixed(self) -> Result<u64> {
        match self {
            Self::Fixed(bits) => Ok(bits),
            other => bail!("a fixed field was expected, not {other:?}"),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(content) => Ok(content),
            other => bail!("a field with a length was expected, not {other:?}"),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).context("a text that is not UTF-8")
    }
}

/// Reads the fields of a message in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (at, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        bail!("a varint without an end")
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        ensure!(length <= self.0.len() as u64, "a field is longer than its message");
        let (taken, rest) = self.0.split_at(length as usize);
        self.0 = rest;
        Ok(taken)
    }

    /// The next field with its number; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Content<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let content = match key & 7 {
            VARINT => Content::Number(self.varint()?),
            FIXED64 => Content::Fixed(u64::from_le_bytes(self.take(8)?.try_into().context("eight bytes")?)),
            LENGTH => {
                let length = self.varint()?;
                Content::Bytes(self.take(length)?)
            }
            other => bail!("wire type {other} in field {}", key >> 3),
        };
        Ok(Some((key >> 3, content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_put() {
        let mut out = Vec::new();
        put_number(1, u64::MAX, &mut out);
        put_fixed(200, 0x8000_0000_0000_0000, &mut out);
        put_bytes(3, b"abc", &mut out);
        let mut fields = Fields(&out);
        assert_eq!(fields.next().ok(), Some(Some((1, Content::Number(u64::MAX)))));
        assert_eq!(fields.next().ok(), Some(Some((200, Content::Fixed(1 << 63)))));
        assert_eq!(fields.next().ok(), Some(Some((3, Content::Bytes(b"abc")))));
        assert_eq!(fields.next().ok(), Some(None));
    }

    #[test]
    fn lengths_of_varints_and_zigzag_hold_at_the_borders() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        assert!(Fields(&[0x80]).next().is_err());
        assert!(Fields(&[0x0a, 5, 1]).next().is_err());
        assert!(Fields(&[0x09, 1]).next().is_err());
    }
}
