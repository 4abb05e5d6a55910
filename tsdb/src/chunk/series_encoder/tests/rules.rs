//! The rules of cutting, one by one.

use emberkeep_model::histogram::{Counts, Histogram};
use emberkeep_model::{STALE_MARKER_BITS, Sample, Span};

use super::*;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// Two buckets, 0 and 1.
fn histogram(counts: [i64; 2]) -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count: counts.iter().sum::<i64>() as u64,
            zero_count: 0,
            positive: counts.to_vec(),
            negative: Vec::new(),
        },
        sum: 1.0,
        positive_spans: vec![span(0, 2)],
        ..Histogram::default()
    }
}

fn stale() -> Histogram {
    Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        ..Histogram::default()
    }
}

fn lengths(histograms: impl IntoIterator<Item = Histogram>) -> Vec<usize> {
    let mut runs = SeriesRuns::default();
    for (n, histogram) in histograms.into_iter().enumerate() {
        runs.histograms.push(n as i64 * 1000, 0, &histogram);
    }
    encode(&[runs], false).iter().map(|chunk| chunk.samples).collect()
}

fn changed(change: impl Fn(&mut Histogram)) -> [Histogram; 3] {
    let mut other = histogram([2, 2]);
    change(&mut other);
    [histogram([1, 1]), other.clone(), other]
}

#[test]
fn what_a_chunk_shares_cuts_it_when_it_changes() {
    assert_eq!(lengths(changed(|_| {})), [3]);
    assert_eq!(lengths(changed(|h| h.sum = -3.0)), [3]);
    assert_eq!(lengths(changed(|h| h.reset_hint = ResetHint::NotReset)), [3]);
    assert_eq!(lengths(changed(|h| h.schema = 1)), [1, 2]);
    assert_eq!(lengths(changed(|h| h.zero_threshold = 0.5)), [1, 2]);
    assert_eq!(lengths(changed(|h| h.zero_threshold = -0.0)), [1, 2]);
    assert_eq!(lengths(changed(|h| h.zero_threshold = f64::NAN)), [1, 1, 1]);
    assert_eq!(lengths(changed(|h| h.reset_hint = ResetHint::Gauge)), [1, 2]);
    assert_eq!(lengths(changed(|h| h.reset_hint = ResetHint::Reset)), [1, 1, 1]);
    let float = Counts::Float {
        count: 4.0,
        zero_count: 0.0,
        positive: vec![2.0, 2.0],
        negative: Vec::new(),
    };
    assert_eq!(lengths(changed(|h| h.counts = float.clone())), [1, 2]);
    let custom = |bounds: &[f64]| {
        let mut custom = histogram([1, 1]);
        custom.schema = -53;
        custom.custom_values = bounds.to_vec();
        custom
    };
    assert_eq!(
        lengths([custom(&[1.0]), custom(&[1.0]), custom(&[1.5]), custom(&[1.5, 2.0])]),
        [2, 1, 1]
    );
}

#[test]
fn a_counter_is_cut_where_it_falls_and_a_gauge_is_not() {
    let falling = [
        histogram([1, 5]),
        histogram([2, 4]),
        histogram([2, 4]),
        histogram([1, 1]),
    ];
    assert_eq!(lengths(falling.clone()), [1, 2, 1]);
    assert_eq!(
        lengths(falling.map(|mut h| {
            h.reset_hint = ResetHint::Gauge;
            h
        })),
        [4]
    );
}

#[test]
fn buckets_come_and_only_empty_ones_go() {
    let one = |count: i64| {
        let mut one = histogram([0, 0]);
        one.positive_spans = vec![span(0, 1)];
        one.counts = Counts::Integer {
            count: count as u64,
            zero_count: 0,
            positive: vec![count],
            negative: Vec::new(),
        };
        one
    };
    assert_eq!(lengths([one(1), histogram([1, 0]), one(2), histogram([2, 1])]), [4]);
    assert_eq!(lengths([one(1), histogram([1, 1]), one(3)]), [2, 1]);
}

#[test]
fn nothing_but_markers_follows_a_marker() {
    let gauge = |mut h: Histogram| {
        h.reset_hint = ResetHint::Gauge;
        h
    };
    assert_eq!(
        lengths([histogram([1, 1]), stale(), stale(), histogram([1, 1])]),
        [3, 1]
    );
    assert_eq!(lengths([stale(), stale(), histogram([1, 1])]), [2, 1]);
    // Prometheus reads a marker without its hint and would not re-encode it among gauges.
    let gauges = [histogram([1, 1]), stale(), histogram([1, 1])].map(gauge);
    assert_eq!(lengths(gauges), [1, 1, 1]);
}

#[test]
fn markers_keep_their_kind() {
    let mut runs = SeriesRuns::default();
    for time in [0, 1, 3] {
        runs.histograms.push(time, 0, &histogram([1, 1]));
    }
    for (timestamp, value) in [(2, f64::from_bits(STALE_MARKER_BITS)), (5, 1.0), (7, 2.0)] {
        runs.samples.push(Sample {
            timestamp,
            value,
            start_timestamp: 0,
        });
    }
    runs.histograms.push(6, 0, &stale());
    let chunks = encode(&[runs.clone()], false);
    let kinds: Vec<_> = chunks.iter().map(|chunk| (chunk.encoding, chunk.samples)).collect();
    let (floats, histograms) = (Encoding::Xor, Encoding::Histogram);
    assert_eq!(
        kinds,
        [
            (histograms, 2),
            (floats, 1),
            (histograms, 1),
            (floats, 1),
            (histograms, 1),
            (floats, 1)
        ]
    );
}

#[test]
fn sizes_are_those_of_prometheus() {
    // Small histograms: by number.
    assert_eq!(lengths((0..250).map(|n| histogram([n, n]))), [120, 120, 10]);
    // Large ones: by bytes, but not below 10.
    let large = |n: i64| {
        let mut large = histogram([0, 0]);
        large.positive_spans = vec![span(0, 1000)];
        large.counts = Counts::Integer {
            count: 1000 * n as u64,
            zero_count: 0,
            positive: (0..1000).map(|i| n * n * i).collect(),
            negative: Vec::new(),
        };
        large
    };
    assert_eq!(lengths((0..25).map(large)), [10, 10, 5]);
    let chunks = {
        let mut runs = SeriesRuns::default();
        for n in 0..200 {
            let mut middle = large(n);
            middle.positive_spans = vec![span(0, 20)];
            if let Counts::Integer { positive, .. } = &mut middle.counts {
                positive.truncate(20);
            }
            runs.histograms.push(n, 0, &middle);
        }
        encode(&[runs], false)
    };
    let (last, full) = chunks.split_last().unwrap();
    assert!(full.iter().all(|chunk| (1024..1100).contains(&chunk.data.len())) && last.data.len() < 1024);
}

#[test]
fn huge_histograms_bound_the_open_chunk() {
    // Each takes a megabyte, so the open chunk never holds two.
    let huge = |n: i64| {
        let mut huge = histogram([0, 0]);
        huge.positive_spans = vec![span(0, 1 << 20)];
        huge.counts = Counts::Integer {
            count: 0,
            zero_count: 0,
            positive: vec![n; 1 << 20],
            negative: Vec::new(),
        };
        huge
    };
    assert_eq!(lengths((0..3).map(huge)), [1, 1, 1]);
}

#[test]
fn rows_count_where_the_bits_are_few() {
    // Empty spans take two bits in the layout, once for the chunk, but two bytes in each row.
    let wide = |n: i64| {
        let mut wide = histogram([n, n]);
        wide.positive_spans.extend([span(0, 0)].repeat(100_000));
        wide
    };
    assert_eq!(lengths((0..8).map(wide)), [6, 2]);
}

#[test]
fn start_timestamps_take_the_encodings_for_them_only_where_there_are_any() {
    let mut runs = SeriesRuns::default();
    for n in 0..3 {
        runs.histograms.push(n, if n == 2 { -7 } else { 0 }, &histogram([n, n]));
    }
    let mut float = histogram([1, 1]);
    float.counts = Counts::Float {
        count: 2.0,
        zero_count: 0.0,
        positive: vec![1.0, 1.0],
        negative: Vec::new(),
    };
    runs.histograms.push(3, -7, &float);
    runs.histograms.push(4, 0, &histogram([1, 1]));
    let encodings = |starts| -> Vec<Encoding> {
        let chunks = encode(&[runs.clone()], starts);
        chunks.iter().map(|chunk| chunk.encoding).collect()
    };
    let kept = [Encoding::HistogramSt, Encoding::FloatHistogramSt, Encoding::Histogram];
    assert_eq!(encodings(true), kept);
    assert_eq!(
        encodings(false),
        [Encoding::Histogram, Encoding::FloatHistogram, Encoding::Histogram]
    );
}
