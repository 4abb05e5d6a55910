//! Bits and varbit numbers come back as written, take the bits that Prometheus gives them, and end with an error.

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

    /// Some are taken by the reader itself, some at a glance; near the end the reader goes on alone.
    #[test]
    fn a_glance_sees_what_the_reader_does(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        pieces in proptest::collection::vec((1u32..=64, any::<bool>()), 0..30),
    ) {
        let (mut reader, mut plain) = (BitReader::new(&bytes), BitReader::new(&bytes));
        for (count, at_a_glance) in pieces {
            let mut glance = reader.glance();
            let found = match glance.take(count).filter(|_| at_a_glance) {
                Some(found) => {
                    reader.go_to(&glance);
                    Ok(found)
                }
                None => {
                    let from = reader.glance();
                    reader.go_to(&from);
                    reader.take_wide(count)
                }
            };
            let expected = plain.take_wide(count);
            prop_assert_eq!(found, expected);
            if expected.is_err() {
                break;
            }
            prop_assert_eq!(reader.remaining(), plain.remaining());
        }
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

/// The ranges as `varbit.go` names them: payload bits, least, greatest.
const RANGES: [(u32, i64, i64); 7] = [
    (3, -3, 4),
    (6, -31, 32),
    (9, -255, 256),
    (12, -2047, 2048),
    (18, -131_071, 131_072),
    (25, -16_777_215, 16_777_216),
    (56, -36_028_797_018_963_967, 36_028_797_018_963_968),
];

fn varbit(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BitWriter::new(&mut bytes);
    writer.write_varbit_int(value);
    writer.finish();
    assert_eq!(BitReader::new(&bytes).take_varbit_int(), Ok(value), "{value}");
    bytes
}

#[test]
fn varbit_ranges_are_those_of_prometheus() {
    assert_eq!(varbit(0), [0]);
    for (n, &(width, least, greatest)) in RANGES.iter().enumerate() {
        let ones = n as u32 + 1;
        for value in [least, greatest, least + 1, greatest - 1] {
            if value == 0 || (n > 0 && (RANGES[n - 1].1..=RANGES[n - 1].2).contains(&value)) {
                continue;
            }
            let bytes = varbit(value);
            assert_eq!(bytes.len() as u32, (ones + 1 + width).div_ceil(8), "{value}");
            assert_eq!(bytes[0].leading_ones(), ones.min(8), "{value}");
        }
        assert!(varbit(least - 1)[0].leading_ones() > ones && varbit(greatest + 1)[0].leading_ones() > ones);
    }
    for value in [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1] {
        assert_eq!((varbit(value)[0], varbit(value).len()), (0xff, 9));
    }
    // -3 is 101 and 4 is 100.
    assert_eq!((varbit(-3), varbit(4)), (vec![0b1010_1000], vec![0b1010_0000]));
}

proptest! {
    #[test]
    fn varbit_numbers_round_trip(
        numbers in proptest::collection::vec((any::<u64>(), 0u32..64), 0..100), signed: bool, cut in 0usize..100,
    ) {
        let mut bytes = Vec::new();
        let mut tail = Tail::default();
        for &(number, shift) in &numbers {
            let mut writer = BitWriter::resume(&mut bytes, tail);
            if signed {
                writer.write_varbit_int(number.cast_signed() >> shift);
            } else {
                writer.write_varbit_uint(number >> shift);
            }
            tail = writer.suspend();
        }
        let whole = bytes.len() + tail.bytes();
        BitWriter::resume(&mut bytes, tail).finish();
        prop_assert_eq!(whole, bytes.len());
        let mut reader = BitReader::new(&bytes);
        prop_assert_eq!(reader.remaining(), whole as u64 * 8);
        for &(number, shift) in &numbers {
            if signed {
                prop_assert_eq!(reader.take_varbit_int(), Ok(number.cast_signed() >> shift));
            } else {
                prop_assert_eq!(reader.take_varbit_uint(), Ok(number >> shift));
            }
        }
        prop_assert!(reader.remaining() < 8);
        // Cut off, the numbers end with an error and never a panic.
        let mut reader = BitReader::new(&bytes[..cut.min(bytes.len())]);
        while reader.remaining() >= 8 && reader.take_varbit_int().is_ok() {}
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
