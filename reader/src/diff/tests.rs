//! The join of two sides against an oracle, and slices.

use std::collections::{BTreeMap, BTreeSet};

use emberkeep_model::{Histogram, STALE_MARKER_BITS, Sample, SeriesRuns};
use proptest::prelude::*;

use super::compare::join;
use super::row::{self, Value, forget_what_is_not_sent};
use super::*;

fn side() -> impl Strategy<Value = BTreeMap<i64, u64>> {
    prop::collection::btree_map(0..30_i64, 0..3_u64, 0..25)
}

fn rows(side: &BTreeMap<i64, u64>) -> Vec<(i64, Value)> {
    side.iter().map(|(&time, &bits)| (time, Value::Float(bits))).collect()
}

#[test]
fn a_stale_marker_is_one_whatever_the_series_holds() {
    let stale = f64::from_bits(STALE_MARKER_BITS);
    let of_sum = |sum: f64| Histogram {
        sum,
        ..Histogram::default()
    };
    let mut kept = SeriesRuns::default();
    kept.histograms.push(1, 0, &of_sum(2.0));
    kept.histograms.push(2, 0, &of_sum(stale));
    kept.histograms.push(4, 0, &of_sum(3.0));
    kept.samples.push(Sample {
        timestamp: 3,
        value: -0.0,
        start_timestamp: 0,
    });
    let mut sent = SeriesRuns::default();
    sent.histograms.push(1, 0, &of_sum(2.0));
    sent.histograms.push(4, 0, &of_sum(3.0));
    for (timestamp, value) in [(2, stale), (3, 0.0)] {
        sent.samples.push(Sample {
            timestamp,
            value,
            start_timestamp: 0,
        });
    }
    // By their bits: no NaN equals itself.
    assert_ne!(row::rows(&kept), row::rows(&sent));
    for _ in 0..2 {
        forget_what_is_not_sent(&mut kept);
        assert_eq!(row::rows(&kept), row::rows(&sent));
        assert!(kept.is_settled());
    }
}

proptest! {
    #[test]
    fn every_row_is_counted_once_and_as_what_it_is(source in side(), archive in side()) {
        let (equal, counts, example) = join(&rows(&source), &rows(&archive));
        let times: BTreeSet<i64> = source.keys().chain(archive.keys()).copied().collect();
        let count = |is: fn(Option<&u64>, Option<&u64>) -> bool| {
            times.iter().filter(|time| is(source.get(time), archive.get(time))).count() as u64
        };
        prop_assert_eq!(equal, count(|s, a| s == a));
        prop_assert_eq!(counts.missing, count(|_, a| a.is_none()));
        prop_assert_eq!(counts.extra, count(|s, _| s.is_none()));
        prop_assert_eq!(counts.unequal, count(|s, a| s.is_some() && a.is_some() && s != a));
        let first = times.iter().find(|time| source.get(time) != archive.get(time));
        prop_assert_eq!(example.map(|example| example.time), first.copied());
    }

    #[test]
    fn slices_cover_the_range_and_are_aligned(start in -100_000..100_000_i64, length in 1..200_000_i64, slice in 1..50_u64) {
        let range = TimeRange { start, end: start + length };
        let slices = slices(range, Duration::from_secs(slice));
        prop_assert_eq!(slices.first().map(|slice| slice.start), Some(range.start));
        prop_assert_eq!(slices.last().map(|slice| slice.end), Some(range.end));
        for pair in slices.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
            prop_assert_eq!(pair[0].end.rem_euclid(slice as i64 * 1000), 0);
        }
    }
}
