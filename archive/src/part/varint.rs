//! Variable-length integers as Parquet's encodings have them.

pub(super) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Takes a number off the front; `None` when there is none.
pub(super) fn take_uvarint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a number with a sign off the front; `None` when there is none.
pub(super) fn take_zigzag(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_uvarint(bytes)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}
