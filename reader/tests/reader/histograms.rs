//! Histograms of every sort, few and small, so that equal ones meet.

use emberkeep_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use emberkeep_model::{Counts, Histogram, ResetHint, STALE_MARKER_BITS, Span};

/// How many sorts there are.
pub(crate) const SORTS: usize = 12;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// A counter of integers whose counts grow with `n`.
pub(crate) fn counter(n: i64) -> Histogram {
    let n = n.rem_euclid(1 << 40);
    Histogram {
        counts: Counts::Integer {
            count: n.cast_unsigned() * 4 + 3,
            zero_count: n.cast_unsigned(),
            positive: vec![n, n + 1, n],
            negative: vec![2],
        },
        sum: n as f64 * 1.5,
        schema: 2,
        zero_threshold: 1e-128,
        positive_spans: vec![span(-1, 2), span(4, 1)],
        negative_spans: vec![span(7, 1)],
        ..Histogram::default()
    }
}

/// The same as floats.
pub(crate) fn float_counter(n: i64) -> Histogram {
    let n = n.rem_euclid(1 << 40) as f64;
    Histogram {
        counts: Counts::Float {
            count: n * 3.0 + 0.5,
            zero_count: 0.5,
            positive: vec![n, 0.0, 2.0 * n],
            negative: Vec::new(),
        },
        sum: -n,
        schema: -4,
        zero_threshold: 0.25,
        positive_spans: vec![span(0, 3)],
        ..Histogram::default()
    }
}

/// One of all sorts.
pub(crate) fn sort(number: usize) -> Histogram {
    let stale = |histogram: Histogram| Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        ..histogram
    };
    match number % SORTS {
        0 => counter(1),
        1 => counter(2),
        2 => float_counter(3),
        3 => stale(Histogram::default()),
        4 => Histogram {
            counts: float_counter(0).counts,
            ..stale(float_counter(0))
        },
        5 => Histogram {
            reset_hint: ResetHint::Gauge,
            ..counter(5)
        },
        6 => Histogram {
            reset_hint: ResetHint::NotReset,
            ..counter(6)
        },
        7 => Histogram {
            reset_hint: ResetHint::Reset,
            ..float_counter(2)
        },
        // Finer than Prometheus stores.
        8 => Histogram {
            schema: 12,
            positive_spans: vec![span(-40, 1), span(100, 2)],
            ..counter(8)
        },
        9 => Histogram {
            counts: Counts::Integer {
                count: 7,
                zero_count: 0,
                positive: vec![3, 0, 4],
                negative: Vec::new(),
            },
            sum: 12.25,
            schema: CUSTOM_BUCKETS_SCHEMA,
            positive_spans: vec![span(0, 2), span(0, 0), span(1, 1)],
            custom_values: vec![-1.0, 0.1, 2.5],
            ..Histogram::default()
        },
        10 => Histogram::default(),
        _ => Histogram {
            counts: Counts::Integer {
                count: 9,
                zero_count: 1,
                positive: vec![1, 3, 1],
                negative: vec![2],
            },
            sum: f64::NAN,
            ..counter(1)
        },
    }
}
