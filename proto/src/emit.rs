//! Writes protobuf fields into a growing buffer, for the answers that are encoded by hand.
//!
//! The counterpart of `wire`. Lengths are computed before the bytes are written, so nothing is ever moved.

use crate::wire::{LENGTH, key};

/// Appends a varint.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Number of bytes of a varint.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a length-delimited field. Its number is below 16.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    length(out, number, content.len());
    out.extend_from_slice(content);
}

/// Appends key and length of a length-delimited field whose content follows. Its number is below 16.
#[inline]
pub(crate) fn length(out: &mut Vec<u8>, number: u32, len: usize) {
    out.push(key(number, LENGTH) as u8);
    varint(out, len as u64);
}

/// Appends the integer field `number`, below 16, unless it is 0: absent and 0 are the same.
#[inline]
pub(crate) fn integer(out: &mut Vec<u8>, number: u32, value: i64) {
    if value != 0 {
        out.push((number << 3) as u8);
        varint(out, value as u64);
    }
}

/// Number of bytes that [`integer`] appends.
#[inline]
pub(crate) fn integer_len(value: i64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value as u64) }
}

/// Appends labels as the repeated field 1 of a series, each a message of name and value.
pub(crate) fn labels<'l>(out: &mut Vec<u8>, labels: impl Iterator<Item = (&'l str, &'l str)>) {
    for (name, value) in labels {
        let field_len = |text: &str| 1 + varint_len(text.len() as u64) + text.len();
        length(out, 1, field_len(name) + field_len(value));
        bytes(out, 1, name.as_bytes());
        bytes(out, 2, value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_bytes() {
        for shift in 0..64 {
            for value in [1 << shift, (1 << shift) - 1, u64::MAX >> shift, 0] {
                let mut out = Vec::new();
                varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                out.clear();
                integer(&mut out, 2, value as i64);
                assert_eq!(out.len(), integer_len(value as i64), "{value}");
            }
        }
    }
}
