//! What must change a tally, and what must not.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::{Counts, ResetHint, STALE_MARKER_BITS, Sample, Span};

use super::*;

fn digest(series: &[(&str, SeriesRuns)]) -> ([u64; 2], [u128; 3]) {
    let mut tally = Tally::new(StartTimestamps::LeftOut, Verification::Full);
    for (name, runs) in series {
        tally.begin(&Labels::from_pairs([("__name__", *name)]).unwrap());
        tally.add(runs);
    }
    tally.digest()
}

#[test]
fn pieces_do_not_count() {
    let whole = digest(&[("a", floats(&[(1, 0.0), (2, 1.0)])), ("b", floats(&[(1, 1.0)]))]);
    let mut tally = Tally::new(StartTimestamps::LeftOut, Verification::Full);
    for (name, pieces) in [
        ("a", vec![floats(&[(1, 0.0)]), floats(&[(2, 1.0)])]),
        ("b", vec![floats(&[]), floats(&[(1, 1.0)])]),
    ] {
        tally.begin(&Labels::from_pairs([("__name__", name)]).unwrap());
        pieces.iter().for_each(|piece| tally.add(piece));
    }
    assert_eq!(tally.digest(), whole);
    assert_eq!(tally.counts(), (2, 3));
}

fn floats(samples: &[(i64, f64)]) -> SeriesRuns {
    let sample = |&(timestamp, value): &(i64, f64)| Sample {
        timestamp,
        value,
        start_timestamp: 0,
    };
    SeriesRuns {
        samples: samples.iter().map(sample).collect(),
        ..SeriesRuns::default()
    }
}

fn with_histogram(histogram: &Histogram) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    runs.histograms.push(5, 0, histogram);
    runs
}

fn histogram(positive_spans: &[(i32, u32)], positive: &[i64]) -> Histogram {
    let span = |&(offset, length): &(i32, u32)| Span { offset, length };
    Histogram {
        counts: Counts::Integer {
            count: 9,
            zero_count: 1,
            positive: positive.to_vec(),
            negative: Vec::new(),
        },
        sum: 4.5,
        schema: 3,
        zero_threshold: 1e-9,
        positive_spans: positive_spans.iter().map(span).collect(),
        ..Histogram::default()
    }
}

#[test]
fn every_bit_of_floats_counts() {
    let base = digest(&[("a", floats(&[(1, 0.0), (2, 1.0)])), ("b", floats(&[(1, 1.0)]))]);
    for other in [
        digest(&[("a", floats(&[(1, -0.0), (2, 1.0)])), ("b", floats(&[(1, 1.0)]))]),
        digest(&[("a", floats(&[(1, 0.0), (3, 1.0)])), ("b", floats(&[(1, 1.0)]))]),
        digest(&[("a", floats(&[(1, 0.0), (2, 1.0)])), ("c", floats(&[(1, 1.0)]))]),
        digest(&[("a", floats(&[(1, 0.0)])), ("b", floats(&[(2, 1.0), (1, 1.0)]))]),
        digest(&[("a", floats(&[(1, 0.0), (2, 1.0)]))]),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn every_field_of_a_histogram_counts() {
    let plain = histogram(&[(-1, 2), (3, 1)], &[2, 3, 3]);
    let of = |change: fn(&mut Histogram)| {
        let mut changed = plain.clone();
        change(&mut changed);
        digest(&[("a", with_histogram(&changed))])
    };
    let base = of(|_| {});
    for other in [
        of(|h| h.sum = 4.25),
        of(|h| h.schema = 2),
        of(|h| h.zero_threshold = 0.0),
        of(|h| h.reset_hint = ResetHint::Gauge),
        of(|h| h.positive_spans[0].offset = 0),
        of(|h| h.custom_values = vec![1.0]),
        of(|h| {
            if let Counts::Integer { zero_count, .. } = &mut h.counts {
                *zero_count = 2;
            }
        }),
        of(|h| {
            if let Counts::Integer { count, .. } = &mut h.counts {
                *count = 10;
            }
        }),
        of(|h| h.sum = f64::from_bits(STALE_MARKER_BITS)),
        digest(&[("a", with_histogram(&histogram(&[(-1, 2), (3, 1)], &[2, 4, 2])))]),
        digest(&[("a", with_histogram(&histogram(&[(-1, 2), (4, 1)], &[2, 3, 3])))]),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn what_a_chunk_may_lay_out_anew_does_not_count() {
    let base = digest(&[("a", with_histogram(&histogram(&[(-1, 2), (3, 1)], &[2, 3, 3])))]);
    for same in [
        histogram(&[(-1, 2), (2, 2)], &[2, 3, 0, 3]),
        histogram(&[(-3, 4), (0, 0), (3, 1)], &[0, 0, 2, 3, 3]),
        Histogram {
            reset_hint: ResetHint::NotReset,
            ..histogram(&[(-1, 2), (3, 1)], &[2, 3, 3])
        },
    ] {
        assert_eq!(digest(&[("a", with_histogram(&same))]), base, "{same:?}");
    }
}

#[test]
fn start_timestamps_count_when_the_block_has_them() {
    let run = |start_timestamp| SeriesRuns {
        samples: [Sample {
            timestamp: 5,
            value: 1.0,
            start_timestamp,
        }]
        .into_iter()
        .collect(),
        ..SeriesRuns::default()
    };
    let labels = Labels::from_pairs([("a", "b")]).unwrap();
    let of = |starts, start| {
        let mut tally = Tally::new(starts, Verification::Full);
        tally.begin(&labels);
        tally.add(&run(start));
        tally.digest()
    };
    let (kept, left_out) = (StartTimestamps::Kept, StartTimestamps::LeftOut);
    assert_eq!(of(left_out, 3), of(left_out, 0));
    assert_ne!(of(kept, 3), of(kept, 0));
    assert_ne!(of(kept, 3), of(kept, 4));
}
