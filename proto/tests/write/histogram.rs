//! Native histograms, which both protocols carry in the same fields: how they are generated, all that is in one as something to compare,
//! and the rules that no generator should be trusted with.

use emberkeep_proto::histogram::{Count, Histogram};
use emberkeep_proto::messages::{prometheus, write_v2};
use emberkeep_proto::{write_v1, write_v2 as decoder_v2};
use proptest::prelude::*;
use prost::encoding::WireType;

use crate::spelling::{
    Bytes, delimited, double, doubles, encoded, in_order, keyed, many, message, nested, varint, varints,
};

/// Observations in their flavour, floats as bits.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Observations {
    Integer(u64),
    Float(u64),
}

/// Everything in a histogram, floats as bits; of two lists the positive one first.
#[derive(Debug, PartialEq)]
pub(crate) struct Facts {
    count: Observations,
    zero_count: Observations,
    sum: u64,
    schema: i32,
    zero_threshold: u64,
    reset_hint: i32,
    timestamp: i64,
    start_timestamp: i64,
    spans: [Vec<(i32, u32)>; 2],
    deltas: [Vec<i64>; 2],
    counts: [Vec<u64>; 2],
    custom_values: Vec<u64>,
}

fn bits(values: impl Iterator<Item = f64>) -> Vec<u64> {
    values.map(f64::to_bits).collect()
}

impl From<Histogram<'_>> for Facts {
    fn from(histogram: Histogram<'_>) -> Self {
        let observations = |count| match count {
            Count::Integer(count) => Observations::Integer(count),
            Count::Float(count) => Observations::Float(count.to_bits()),
        };
        let count = observations(histogram.count());
        assert_eq!(histogram.is_float(), matches!(count, Observations::Float(_)));
        Self {
            count,
            zero_count: observations(histogram.zero_count()),
            sum: histogram.sum.to_bits(),
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold.to_bits(),
            reset_hint: histogram.reset_hint,
            timestamp: histogram.timestamp,
            start_timestamp: histogram.start_timestamp,
            spans: [
                histogram.positive_spans().collect(),
                histogram.negative_spans().collect(),
            ],
            deltas: [
                histogram.positive_deltas().collect(),
                histogram.negative_deltas().collect(),
            ],
            counts: [bits(histogram.positive_counts()), bits(histogram.negative_counts())],
            custom_values: bits(histogram.custom_values()),
        }
    }
}

/// The facts of prost's message, which is another type in each protocol.
macro_rules! facts_of {
    ($messages:ident, $start_timestamp:expr) => {
        impl From<&$messages::Histogram> for Facts {
            fn from(histogram: &$messages::Histogram) -> Self {
                use $messages::histogram::{Count, ZeroCount};
                let count = match histogram.count {
                    None => Observations::Integer(0),
                    Some(Count::CountInt(count)) => Observations::Integer(count),
                    Some(Count::CountFloat(count)) => Observations::Float(count.to_bits()),
                };
                let zero_count = match (histogram.zero_count, count) {
                    (Some(ZeroCount::ZeroCountInt(count)), _) => Observations::Integer(count),
                    (Some(ZeroCount::ZeroCountFloat(count)), _) => Observations::Float(count.to_bits()),
                    (None, Observations::Integer(_)) => Observations::Integer(0),
                    (None, Observations::Float(_)) => Observations::Float(0),
                };
                let spans = |spans: &[$messages::BucketSpan]| spans.iter().map(|s| (s.offset, s.length)).collect();
                Self {
                    count,
                    zero_count,
                    sum: histogram.sum.to_bits(),
                    schema: histogram.schema,
                    zero_threshold: histogram.zero_threshold.to_bits(),
                    reset_hint: histogram.reset_hint,
                    timestamp: histogram.timestamp,
                    start_timestamp: $start_timestamp(histogram),
                    spans: [spans(&histogram.positive_spans), spans(&histogram.negative_spans)],
                    deltas: [
                        histogram.positive_deltas.clone(),
                        histogram.negative_deltas.clone(),
                    ],
                    counts: [&histogram.positive_counts, &histogram.negative_counts]
                        .map(|counts| bits(counts.iter().copied())),
                    custom_values: bits(histogram.custom_values.iter().copied()),
                }
            }
        }
    };
}

facts_of!(prometheus, |_| 0);
facts_of!(write_v2, |histogram: &write_v2::Histogram| histogram.start_timestamp);

/// A histogram in any spelling: as a sender writes it, with hundreds of buckets, with any fields in any order any number of times. It may
/// have a start timestamp, which is an unknown field to 1.0.
pub(crate) fn any_histogram() -> Bytes {
    let span = || {
        let fields = || vec![varint(1), varint(2)];
        prop_oneof![2 => in_order(fields()), 1 => message(fields())].boxed()
    };
    let count = || prop_oneof![varint(1), double(2)].boxed();
    let zero_count = || prop_oneof![varint(6), double(7)].boxed();
    let usual = in_order(vec![
        count(),
        double(3),
        varint(4),
        double(5),
        zero_count(),
        many(nested(8, span()), 0..4),
        varints(9),
        doubles(10),
        many(nested(11, span()), 0..4),
        varints(12),
        doubles(13),
        varint(14),
        varint(15),
        doubles(16),
        varint(17),
    ]);
    let large = in_order(vec![
        count(),
        many(nested(11, span()), 0..60),
        many(varints(12), 0..100),
        many(doubles(13), 0..60),
        many(varints(9), 0..100),
        many(nested(8, span()), 0..60),
        many(doubles(10), 0..60),
        many(doubles(16), 0..60),
    ]);
    let odd = message(vec![
        count(),
        double(3),
        varint(4),
        double(5),
        zero_count(),
        nested(8, span()),
        varints(9),
        doubles(10),
        nested(11, span()),
        varints(12),
        doubles(13),
        varint(14),
        varint(15),
        doubles(16),
        varint(17),
    ]);
    let repeated = (odd.clone(), odd.clone(), odd.clone()).prop_map(|(a, b, c)| [a, b, c].concat());
    prop_oneof![4 => usual, 1 => large, 3 => odd, 2 => repeated].boxed()
}

/// What both decoders make of one histogram with this content, in the order 1.0, 2.0.
fn read(content: &[u8]) -> [Facts; 2] {
    let body = delimited(1, &delimited(4, content));
    let request = write_v1::Request::parse(&body).expect("well formed");
    let series = request.series().next().expect("one series");
    let first = series.histograms().next().expect("one histogram").into();
    let body = delimited(5, &delimited(3, content));
    let request = decoder_v2::Request::parse(&body).expect("well formed");
    let series = request.series().next().expect("one series");
    [first, series.histograms().next().expect("one histogram").into()]
}

fn integer(number: u32, value: u64) -> Vec<u8> {
    keyed(number, WireType::Varint, &encoded(value))
}

fn float(number: u32, bits: u64) -> Vec<u8> {
    keyed(number, WireType::SixtyFourBit, &bits.to_le_bytes())
}

const NEGATIVE_ZERO: u64 = 1 << 63;
const STALE: u64 = 0x7ff0_0000_0000_0002;

#[test]
fn of_two_flavours_the_last_on_the_wire_holds() {
    for (content, count, zero_count) in [
        (vec![], Observations::Integer(0), Observations::Integer(0)),
        (
            vec![integer(1, 7), float(2, STALE), integer(6, 1), float(7, NEGATIVE_ZERO)],
            Observations::Float(STALE),
            Observations::Float(NEGATIVE_ZERO),
        ),
        (
            vec![float(7, STALE), float(2, NEGATIVE_ZERO), integer(6, 0), integer(1, 0)],
            Observations::Integer(0),
            Observations::Integer(0),
        ),
        // Only one of them says which.
        (vec![float(2, 0)], Observations::Float(0), Observations::Float(0)),
        (vec![float(7, 1)], Observations::Integer(0), Observations::Float(1)),
        (
            vec![float(2, 1), integer(6, u64::MAX)],
            Observations::Float(1),
            Observations::Integer(u64::MAX),
        ),
    ] {
        for facts in read(&content.concat()) {
            assert_eq!((facts.count, facts.zero_count), (count, zero_count));
        }
    }
}

#[test]
fn lists_keep_the_order_of_the_wire_across_spellings() {
    let double_list = |list: &[u64]| list.iter().flat_map(|bits| bits.to_le_bytes()).collect::<Vec<_>>();
    let zigzag_extremes = [encoded(u64::MAX), encoded(u64::MAX - 1)].concat();
    for (field, other) in [(12, 9), (9, 12)] {
        let content = [
            integer(field, 1),
            delimited(field, &zigzag_extremes),
            integer(other, 4),
            delimited(field, &[]),
            integer(field, 6),
        ];
        for facts in read(&content.concat()) {
            let mut expected = [vec![-1, i64::MIN, i64::MAX, 3], vec![2]];
            if field == 9 {
                expected.reverse();
            }
            assert_eq!(facts.deltas, expected);
        }
    }
    let list = [STALE, NEGATIVE_ZERO, 1];
    for (field, found) in [(13, 0), (10, 1), (16, 2)] {
        let content = [
            delimited(field, &double_list(&list)),
            float(field, NEGATIVE_ZERO),
            delimited(field, &double_list(&list)),
        ];
        for Facts {
            counts: [positive, negative],
            custom_values,
            ..
        } in read(&content.concat())
        {
            let mut expected = [vec![], vec![], vec![]];
            expected[found] = [&list[..], &[NEGATIVE_ZERO], &list].concat();
            assert_eq!([positive, negative, custom_values], expected);
        }
    }
}

#[test]
fn spans_are_kept_as_sent() {
    let span = |offset: u64, length: u64| [integer(1, offset), integer(2, length)].concat();
    let content = [
        delimited(11, &span(1, 0)),
        delimited(8, &span(u64::from(u32::MAX), u64::from(u32::MAX))),
        delimited(11, &[]),
        // The last of each field holds; more than 32 bits are cut off.
        delimited(11, &[span(8, 8), span(u64::from(u32::MAX) - 1, 1 << 32 | 5)].concat()),
    ];
    for facts in read(&content.concat()) {
        assert_eq!(
            facts.spans,
            [vec![(-1, 0), (0, 0), (i32::MAX, 5)], vec![(i32::MIN, u32::MAX)]]
        );
    }
}

#[test]
fn scalars_come_bit_for_bit_and_only_the_second_version_knows_start_timestamps() {
    let content = [
        float(3, STALE),
        integer(4, 105),
        float(5, NEGATIVE_ZERO),
        integer(14, 3),
        integer(15, i64::MIN as u64),
        integer(17, i64::MAX as u64),
    ];
    let [first, second] = read(&content.concat());
    assert_eq!((first.start_timestamp, second.start_timestamp), (0, i64::MAX));
    for facts in [first, second] {
        assert_eq!((facts.sum, facts.zero_threshold), (STALE, NEGATIVE_ZERO));
        assert_eq!((facts.schema, facts.reset_hint, facts.timestamp), (-53, 3, i64::MIN));
    }
    for facts in read(&[float(3, 1), float(3, NEGATIVE_ZERO)].concat()) {
        assert_eq!(facts.sum, NEGATIVE_ZERO, "a -0 is a value and replaces another");
    }
}
