//! The forms of thresholds and bounds, and layouts that claim more than there is.

use super::*;

fn bytes_of(write: impl Fn(&mut BitWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut bits = BitWriter::new(&mut bytes);
    write(&mut bits);
    bits.finish();
    bytes
}

#[test]
fn zero_thresholds_are_one_byte_when_powers_of_two() {
    let cases = [
        (0.0, 1, 0),
        (2f64.powi(-128), 1, 116),
        (2f64.powi(-243), 1, 1),
        (1024.0, 1, 254),
        (2f64.powi(-244), 9, 255),
        (2048.0, 9, 255),
        (-0.0, 9, 255),
        (-1.0, 9, 255),
        (1e-9, 9, 255),
        (f64::MIN_POSITIVE, 9, 255),
        (f64::from_bits(1), 9, 255),
        (f64::INFINITY, 9, 255),
        (f64::from_bits(0x7ff0_0000_0000_0002), 9, 255),
    ];
    for (threshold, length, first) in cases {
        let bytes = bytes_of(|bits| write_zero_threshold(bits, threshold));
        assert_eq!((bytes.len(), bytes[0]), (length, first), "{threshold}");
        let read = read_zero_threshold(&mut BitReader::new(&bytes));
        assert_eq!(read.map(f64::to_bits), Ok(threshold.to_bits()));
    }
}

#[test]
fn bounds_are_short_when_multiples_of_a_thousandth() {
    let cases = [
        (0.0, true),
        (0.005, true),
        (0.25, true),
        (33_554.43, true),
        (33_554.431, false),
        (0.0005, false),
        (-0.0, false),
        (-0.005, false),
        (1.0 / 3.0, false),
        (1e300, false),
        (f64::NEG_INFINITY, false),
        (f64::INFINITY, false),
        (f64::NAN, false),
    ];
    for (bound, short) in cases {
        let bytes = bytes_of(|bits| {
            bits.write_varbit_uint(1);
            write_bound(bits, bound);
            // What may follow, so that the list is not refused as too long.
            bits.write(0, 8);
        });
        assert_eq!(bytes.len() < 8, short, "{bound}");
        let read = read_bounds(&mut BitReader::new(&bytes)).map(|bounds| bounds[0].to_bits());
        assert_eq!(read, Ok(bound.to_bits()));
    }
}

#[test]
fn lists_and_buckets_longer_than_the_bits_are_damage() {
    let bytes = bytes_of(|bits| {
        bits.write_varbit_uint(u64::MAX);
        bits.write(0, 64);
    });
    assert!(read_spans(&mut BitReader::new(&bytes)).is_err());
    assert!(read_bounds(&mut BitReader::new(&bytes)).is_err());
    let layout = Layout {
        positive_spans: vec![
            Span {
                offset: 0,
                length: u32::MAX
            };
            3
        ],
        ..Layout::default()
    };
    assert!(layout.buckets(&BitReader::new(&bytes), 1).is_err());
}

#[test]
fn unknown_schemas_are_damage() {
    for (schema, known) in [
        (-4, true),
        (-5, false),
        (52, true),
        (53, false),
        (-53, true),
        (-54, false),
    ] {
        let bytes = bytes_of(|bits| {
            let layout = Layout {
                schema,
                ..Layout::default()
            };
            layout.write(bits);
        });
        let read = Layout::read(&mut BitReader::new(&bytes)).map(|layout| layout.schema);
        assert_eq!(read.ok(), known.then_some(schema));
    }
}
