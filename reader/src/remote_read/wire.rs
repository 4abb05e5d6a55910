//! Protobuf fields by hand, for the two answers whose messages must not be built in memory first.
//!
//! Only what they need. The messages themselves are in emberkeep-proto, whose decoder checks this encoder in the tests.

use emberkeep_model::Labels;

/// Wire type of integers.
pub(crate) const VARINT: u64 = 0;
/// Wire type of doubles.
pub(crate) const FIXED64: u64 = 1;
/// Wire type of texts, bytes and messages.
pub(crate) const BYTES: u64 = 2;

/// Protobuf's `int64` is the two's complement as it is.
pub(crate) fn int64(value: i64) -> u64 {
    value.cast_unsigned()
}

/// Protobuf's `sint64` and `sint32`: small numbers of either sign are short.
pub(crate) fn sint64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn varint_len(value: u64) -> usize {
    // 7 bits for each byte, at least one byte.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn key(field: u64, wire_type: u64, out: &mut Vec<u8>) {
    varint(field << 3 | wire_type, out);
}

/// A field of an integer; zero is the default and is not written. `field` is below 16.
pub(crate) fn varint_field(field: u64, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        varint_member(field, value, out);
    }
}

/// An integer that is written even when it is zero, as a member of a `oneof`.
pub(crate) fn varint_member(field: u64, value: u64, out: &mut Vec<u8>) {
    key(field, VARINT, out);
    varint(value, out);
}

/// A field of a double; only the default, all bits zero, is not written. `field` is below 16.
pub(crate) fn double_field(field: u64, value: f64, out: &mut Vec<u8>) {
    if value.to_bits() != 0 {
        double_member(field, value, out);
    }
}

pub(crate) fn double_field_len(value: f64) -> usize {
    if value.to_bits() == 0 { 0 } else { 9 }
}

/// A double that is written even when it is zero, as a member of a `oneof`.
pub(crate) fn double_member(field: u64, value: f64, out: &mut Vec<u8>) {
    key(field, FIXED64, out);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// `repeated double`, packed; an empty list is not written.
pub(crate) fn packed_doubles(field: u64, values: &[f64], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    key(field, BYTES, out);
    varint(values.len() as u64 * 8, out);
    for value in values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

pub(crate) fn varint_field_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

pub(crate) fn bytes_field(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    key(field, BYTES, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// The whole of a field with `length` bytes, the number and length before them included. The field is below 16.
pub(crate) fn bytes_field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// `repeated Label labels = 1` of a series.
pub(crate) fn labels(labels: &Labels, out: &mut Vec<u8>) {
    for (name, value) in labels.iter() {
        key(1, BYTES, out);
        varint((bytes_field_len(name.len()) + bytes_field_len(value.len())) as u64, out);
        bytes_field(1, name.as_bytes(), out);
        bytes_field(2, value.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_bytes() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            i64::MAX.cast_unsigned(),
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            varint(value, &mut bytes);
            assert_eq!(bytes.len(), varint_len(value), "{value}");
            bytes.clear();
            varint_field(2, value, &mut bytes);
            assert_eq!(bytes.len(), varint_field_len(value), "{value}");
        }
        let mut bytes = Vec::new();
        bytes_field(4, &[7; 300], &mut bytes);
        assert_eq!(bytes.len(), bytes_field_len(300));
    }
}
