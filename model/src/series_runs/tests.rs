//! All kinds of rows of one series together, against the total order over all kinds written as one sort key.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::exemplar::tests::few_exemplars;
use crate::histogram_run::tests::few_bodies;
use crate::{STALE_MARKER_BITS, Sample};

/// A float or a histogram, its time first. Bytes of a float are its bits, big endian.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    timestamp: i64,
    is_float: bool,
    bytes: Vec<u8>,
    start_timestamp: i64,
}

impl Row {
    /// DESIGN §4: stale markers last; float over histogram; larger canonical bytes; larger start timestamp.
    fn key(&self) -> (bool, bool, &[u8], i64) {
        let number = if self.is_float {
            &self.bytes[..8]
        } else {
            &self.bytes[1..9]
        };
        let stale = number == STALE_MARKER_BITS.to_be_bytes();
        (!stale, self.is_float, &self.bytes, self.start_timestamp)
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let bits = [
        STALE_MARKER_BITS,
        0x7ff8_0000_0000_0001,
        0,
        1 << 63,
        0x3ff8_0000_0000_0000,
    ];
    let float = select(bits.to_vec()).prop_map(|bits| (true, bits.to_be_bytes().to_vec()));
    let histogram = select(few_bodies()).prop_map(|bytes| (false, bytes));
    let row = (-3_i64..3, prop_oneof![float, histogram], 0_i64..3).prop_map(
        |(timestamp, (is_float, bytes), start_timestamp)| Row {
            timestamp,
            is_float,
            bytes,
            start_timestamp,
        },
    );
    vec(row, 0..30)
}

fn runs_of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for row in rows {
        if row.is_float {
            let bits: [u8; 8] = row.bytes[..].try_into().expect("eight bytes");
            runs.samples.push(Sample {
                timestamp: row.timestamp,
                value: f64::from_bits(u64::from_be_bytes(bits)),
                start_timestamp: row.start_timestamp,
            });
        } else {
            runs.histograms
                .push_canonical(row.timestamp, row.start_timestamp, &row.bytes)
                .expect("canonical bytes");
        }
    }
    runs
}

/// The rows of settled runs on their one time line.
fn rows_of(runs: &SeriesRuns) -> Vec<Row> {
    let floats = runs.samples.iter().map(|sample| Row {
        timestamp: sample.timestamp,
        is_float: true,
        bytes: sample.value.to_bits().to_be_bytes().to_vec(),
        start_timestamp: sample.start_timestamp,
    });
    let histograms = runs.histograms.iter().map(|row| Row {
        timestamp: row.timestamp,
        is_float: false,
        bytes: row.canonical.to_vec(),
        start_timestamp: row.start_timestamp,
    });
    let mut rows: Vec<Row> = floats.chain(histograms).collect();
    rows.sort_by_key(|row| row.timestamp);
    rows
}

fn greatest<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Row> {
    let mut kept: BTreeMap<i64, &Row> = BTreeMap::new();
    for row in rows {
        let best = kept.entry(row.timestamp).or_insert(row);
        if row.key() > best.key() {
            *best = row;
        }
    }
    kept.into_values().cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn settled_runs_hold_the_greatest_row_of_each_timestamp(rows in rows(), exemplars in vec(few_exemplars(), 0..10)) {
        let mut runs = runs_of(&rows);
        runs.exemplars = exemplars.into_iter().collect();
        let mut all_exemplars = runs.exemplars.clone();
        runs.settle();
        prop_assert!(runs.is_settled());
        prop_assert_eq!(rows_of(&runs), greatest(&rows));
        all_exemplars.settle();
        prop_assert_eq!(&runs.exemplars, &all_exemplars, "exemplars have no conflicts, also not with samples");
        let before = runs.clone();
        prop_assert_eq!(runs.settle(), 0);
        prop_assert_eq!(rows_of(&runs), rows_of(&before));
    }

    #[test]
    fn any_split_and_order_of_arrival_settles_to_the_same(
        rows in rows(),
        parts in vec(0_usize..4, 30),
        order in Just([0, 1, 2, 3]).prop_shuffle(),
        pairwise: bool,
    ) {
        let part = |number: usize| {
            let mine = rows.iter().zip(&parts).filter(|(_, part)| **part == number);
            let mut runs = runs_of(mine.map(|(row, _)| row));
            runs.settle();
            runs
        };
        let merge = |a: &SeriesRuns, b: &SeriesRuns| {
            let mut merged = a.clone();
            merged.append(b);
            merged.settle();
            merged
        };
        let [a, b, c, d] = order.map(part);
        let merged = if pairwise {
            merge(&merge(&a, &b), &merge(&c, &d))
        } else {
            merge(&merge(&merge(&a, &b), &c), &d)
        };
        prop_assert_eq!(rows_of(&merged), greatest(&rows));
        // A compacted part and any of its inputs beside it answer the same.
        prop_assert_eq!(rows_of(&merge(&b, &merged)), rows_of(&merged));
        prop_assert_eq!(rows_of(&merge(&merged, &merged)), rows_of(&merged));
    }

    #[test]
    fn every_different_row_that_loses_is_a_conflict(rows in rows()) {
        let different: BTreeSet<Row> = rows.iter().cloned().collect();
        let lost = (different.len() - greatest(&different).len()) as u64;
        prop_assert_eq!(runs_of(&different).settle(), lost);
        let conflicts = runs_of(&rows).settle();
        prop_assert!(conflicts >= u64::from(lost > 0) && conflicts <= (rows.len() - greatest(&rows).len()) as u64);
    }

    #[test]
    fn a_range_keeps_exactly_what_lies_in_it(
        rows in rows(),
        exemplars in vec(few_exemplars(), 0..10),
        start in -4_i64..4,
        end in -4_i64..4,
    ) {
        let mut runs = runs_of(&rows);
        runs.exemplars = exemplars.into_iter().collect();
        runs.settle();
        let before = runs.clone();
        let range = TimeRange { start, end };
        runs.retain_range(range);
        let expected: Vec<Row> = rows_of(&before).into_iter().filter(|row| range.contains(row.timestamp)).collect();
        prop_assert_eq!(rows_of(&runs), expected);
        let inside = |e: &&Exemplar| range.contains(e.timestamp);
        let exemplars: Vec<&Exemplar> = before.exemplars.as_slice().iter().filter(inside).collect();
        prop_assert_eq!(runs.exemplars.as_slice().iter().collect::<Vec<_>>(), exemplars);
    }

    #[test]
    fn span_and_number_are_those_of_all_kinds(rows in rows(), exemplars in vec(few_exemplars(), 0..4)) {
        let mut runs = runs_of(&rows);
        runs.exemplars = exemplars.into_iter().collect();
        prop_assert_eq!(runs.len(), rows.len() + runs.exemplars.len());
        prop_assert_eq!(runs.is_empty(), rows.is_empty() && runs.exemplars.is_empty());
        runs.settle();
        let times = || rows.iter().map(|row| row.timestamp).chain(runs.exemplars.as_slice().iter().map(|e| e.timestamp));
        prop_assert_eq!(runs.time_span(), times().min().zip(times().max()));
        let parts = runs.samples.heap_bytes() + runs.histograms.heap_bytes() + runs.exemplars.heap_bytes();
        prop_assert_eq!(runs.heap_bytes(), parts);
        runs.clear();
        prop_assert!(runs.is_empty() && runs.time_span().is_none());
    }
}

/// The rule in words, one line for each step of it.
#[test]
fn the_order_over_kinds() {
    let stale = f64::from_bits(STALE_MARKER_BITS);
    let mut histogram = crate::Histogram::default();
    let mut both = |value: f64, sum: f64| {
        histogram.sum = sum;
        let mut runs = SeriesRuns::default();
        runs.samples.push(Sample {
            timestamp: 1,
            value,
            start_timestamp: 0,
        });
        runs.histograms.push(1, 9, &histogram);
        assert!(!runs.is_settled());
        assert_eq!(runs.settle(), 1);
        assert_eq!(runs.len(), 1);
        runs.samples.len() == 1
    };
    assert!(both(0.0, 5.0), "float over histogram");
    assert!(both(f64::NAN, 5.0), "also when it is some other NaN");
    assert!(both(0.0, stale), "the stale marker loses");
    assert!(!both(stale, 5.0), "also when it is the float");
    assert!(both(stale, stale), "of two stale markers the float stays");
}
