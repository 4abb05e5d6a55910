//! The canonical bytes: they hold everything, there is one form of each histogram, and no others are taken.
//!
//! The bytes are persisted and decide conflicts, so the golden ones must never change.

use super::*;

/// Memory that a decoded histogram holds.
fn heap_bytes(histogram: &Histogram) -> usize {
    let spans = histogram.positive_spans.capacity() + histogram.negative_spans.capacity();
    let buckets = match &histogram.counts {
        Counts::Integer { positive, negative, .. } => positive.capacity() + negative.capacity(),
        Counts::Float { positive, negative, .. } => positive.capacity() + negative.capacity(),
    };
    8 * (spans + buckets + histogram.custom_values.capacity())
}

/// What must hold for any bytes: refused, or the canonical form of a histogram; and never more memory than a vector that grows
/// takes for eight bytes out of each byte.
fn check_any_bytes(bytes: &[u8]) -> Result<Option<Histogram>, TestCaseError> {
    let mut histogram = Histogram::default();
    let decoded = histogram.decode(bytes);
    prop_assert!(heap_bytes(&histogram) <= 16 * bytes.len() + 256);
    if decoded.is_err() {
        return Ok(None);
    }
    prop_assert_eq!(&histogram.to_canonical(), bytes);
    prop_assert_eq!(canonical_is_stale(bytes), histogram.is_stale());
    Ok(Some(histogram))
}

proptest! {
    #[test]
    fn a_valid_histogram_comes_back_bit_for_bit(histogram in valid_histogram()) {
        prop_assert_eq!(histogram.validate(), Ok(()));
        let bytes = histogram.to_canonical();
        let back = check_any_bytes(&bytes)?.expect("canonical bytes are taken");
        prop_assert!(same(&back, &histogram), "{:?} became {:?}", histogram, back);
    }

    #[test]
    fn memory_of_another_histogram_leaves_no_trace(before in valid_histogram(), histogram in valid_histogram()) {
        let mut reused = before;
        reused.decode(&histogram.to_canonical()).expect("canonical bytes are taken");
        prop_assert!(same(&reused, &histogram));
        let mut out = vec![1, 2, 3];
        reused.encode(&mut out);
        prop_assert_eq!(&out[3..], histogram.to_canonical());
    }

    #[test]
    fn cut_or_longer_bytes_are_refused(histogram in valid_histogram(), at: prop::sample::Index, more in vec(any::<u8>(), 1..9)) {
        let mut bytes = histogram.to_canonical();
        prop_assert!(Histogram::from_canonical(&bytes[..at.index(bytes.len())]).is_err());
        bytes.extend(more);
        prop_assert!(Histogram::from_canonical(&bytes).is_err());
    }

    #[test]
    fn changed_bytes_are_refused_or_another_histogram(
        histogram in valid_histogram(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let whole = histogram.to_canonical();
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(other) = check_any_bytes(&bytes)? {
            prop_assert_eq!(same(&other, &histogram), bytes == whole);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(flags in 0_u8..9, bytes in vec(prop_oneof![Just(0_u8), 0_u8..4, any::<u8>()], 0..80)) {
        let mut all = vec![flags];
        all.extend(bytes);
        check_any_bytes(&all)?;
    }

    #[test]
    fn different_histograms_have_different_bytes(a in valid_histogram(), b in valid_histogram()) {
        prop_assert_eq!(a.to_canonical() == b.to_canonical(), same(&a, &b));
    }
}

/// Every field another value, one byte wider than the smallest where numbers have a variable length.
fn integer() -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count: 306,
            zero_count: 2,
            positive: vec![1, 300],
            negative: vec![0, 3],
        },
        sum: -1.5,
        schema: 3,
        zero_threshold: 0.001,
        reset_hint: ResetHint::NotReset,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 100, length: 1 }],
        negative_spans: vec![Span { offset: 5, length: 0 }, Span { offset: 0, length: 2 }],
        custom_values: vec![],
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(text, 16).expect("hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Written by hand from the drawing in the module.
#[test]
fn golden_bytes_never_change() {
    let spans = "02 03 01  c8 01 01   02 0a 00  00 02";
    let head = "04  bff8000000000000  06  3f50624dd2f1a9fc";
    let expected = format!("{head} {spans} 00   b2 02  02  01 ac 02  00 03");
    assert_eq!(integer().to_canonical(), bytes(&expected));

    let float = Histogram {
        counts: Counts::Float {
            count: 2.5,
            zero_count: -0.0,
            positive: vec![f64::from_bits(0x7ff8_0000_0000_0001)],
            negative: vec![],
        },
        sum: f64::INFINITY,
        schema: -4,
        reset_hint: ResetHint::Gauge,
        positive_spans: vec![Span {
            offset: i32::MIN,
            length: 1,
        }],
        ..Histogram::default()
    };
    let expected = "07  7ff0000000000000  07  0000000000000000  01 ff ff ff ff 0f 01  00  00
        4004000000000000  8000000000000000  7ff8000000000001";
    assert_eq!(float.to_canonical(), bytes(expected));

    let custom = Histogram {
        counts: Counts::Integer {
            count: 7,
            zero_count: 0,
            positive: vec![7],
            negative: vec![],
        },
        sum: 0.0,
        schema: CUSTOM_BUCKETS_SCHEMA,
        reset_hint: ResetHint::Reset,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        custom_values: vec![f64::NEG_INFINITY, 2.0],
        ..Histogram::default()
    };
    let expected = "02  0000000000000000  69  0000000000000000  01 02 01  00
        02 fff0000000000000 4000000000000000  07 00 07";
    assert_eq!(custom.to_canonical(), bytes(expected));

    let stale = Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        ..Histogram::default()
    };
    let expected = "00  7ff0000000000002  00  0000000000000000  00 00 00  00 00";
    assert_eq!(stale.to_canonical(), bytes(expected));
    for histogram in [integer(), float, custom, stale] {
        assert_eq!(histogram.validate(), Ok(()));
        assert!(same(
            &Histogram::from_canonical(&histogram.to_canonical()).expect("canonical"),
            &histogram
        ));
    }
}

#[test]
fn extreme_numbers_have_a_form() {
    let histogram = Histogram {
        counts: Counts::Integer {
            count: u64::MAX,
            zero_count: u64::MAX,
            // Not valid, but a damaged source must not make two forms of it.
            positive: vec![i64::MAX, -1, i64::MIN],
            negative: vec![],
        },
        schema: i32::MIN,
        positive_spans: vec![Span {
            offset: i32::MAX,
            length: 3,
        }],
        ..Histogram::default()
    };
    let back = Histogram::from_canonical(&histogram.to_canonical()).expect("canonical");
    assert!(same(&back, &histogram));
}

#[test]
fn each_kind_of_damage_is_named() {
    let good = "00  0000000000000000  00  0000000000000000";
    let refused = |hex: String, why: &str| {
        let error = Histogram::from_canonical(&bytes(&hex)).expect_err(why);
        assert_eq!(
            error.to_string(),
            format!("histogram bytes are not canonical: {why}"),
            "{hex}"
        );
    };
    refused(String::new(), "truncated");
    refused(good.replacen("00", "08", 1), "unknown flags");
    refused(format!("{good} 00 00 00 00 00 00"), "bytes after the end");
    refused(format!("{good} 80 00"), "odd number");
    refused(format!("{good} ff ff ff ff ff ff ff ff ff 02"), "odd number");
    refused(format!("{good} ff ff ff ff ff ff ff ff ff 81"), "odd number");
    // More spans, bounds and buckets than bytes: refused before there is memory for them.
    refused(format!("{good} ff ff ff ff ff ff ff ff ff 01"), "truncated");
    refused(format!("{good} 00 00 ff ff ff ff ff ff ff ff 1f"), "truncated");
    refused(format!("{good} 01 00 ff ff ff ff 0f 00 00 00 00 00"), "truncated");
    refused(format!("{good} 01 80 80 80 80 10 00"), "span offset beyond 32 bits");
    refused(format!("{good} 01 00 80 80 80 80 10"), "span length beyond 32 bits");
    refused(
        "00  0000000000000000  80 80 80 80 10  0000000000000000".to_owned(),
        "schema beyond 32 bits",
    );
}

#[test]
#[should_panic(expected = "spans and buckets differ")]
fn buckets_that_no_span_describes_have_no_form() {
    let mut histogram = integer();
    histogram.positive_spans.pop();
    let _ = histogram.to_canonical();
}
