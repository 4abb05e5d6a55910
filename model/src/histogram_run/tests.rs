//! Runs of histograms against a list of rows and the total order, written naively.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::histogram::tests::{same, valid_histogram};
use crate::{Counts, ResetHint, STALE_MARKER_BITS};

/// A row that owns its bytes.
type Row = (i64, i64, Vec<u8>);

/// A few histograms that differ in what decides: stale, flavour, hint, sum, count.
pub(crate) fn few_bodies() -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for sum in [0, 1 << 63, STALE_MARKER_BITS, 0x7ff8_0000_0000_0001] {
        for is_float in [false, true] {
            for reset_hint in [ResetHint::Unknown, ResetHint::Gauge] {
                let float = Counts::Float {
                    count: 1.0,
                    zero_count: 1.0,
                    positive: vec![],
                    negative: vec![],
                };
                let counts = if is_float { float } else { Counts::default() };
                let histogram = Histogram {
                    counts,
                    reset_hint,
                    sum: f64::from_bits(sum),
                    ..Histogram::default()
                };
                bodies.push(histogram.to_canonical());
            }
        }
    }
    bodies
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    vec((-4_i64..4, 0_i64..3, select(few_bodies())), 0..30)
}

fn run_of(rows: &[Row]) -> HistogramRun {
    let mut run = HistogramRun::default();
    for (timestamp, start_timestamp, canonical) in rows {
        run.push_canonical(*timestamp, *start_timestamp, canonical)
            .expect("canonical bytes");
    }
    run
}

fn rows_of(run: &HistogramRun) -> Vec<Row> {
    run.iter()
        .map(|row| (row.timestamp, row.start_timestamp, row.canonical.to_vec()))
        .collect()
}

/// Not stale, then bytes, then start timestamp: the order of DESIGN §4 as a sort key.
fn key(row: &Row) -> (bool, &[u8], i64) {
    let stale = row.2[1..9] == STALE_MARKER_BITS.to_be_bytes();
    (!stale, &row.2, row.1)
}

/// The greatest row of each timestamp.
fn greatest(rows: &[Row]) -> Vec<Row> {
    let mut kept: BTreeMap<i64, &Row> = BTreeMap::new();
    for row in rows {
        let best = kept.entry(row.0).or_insert(row);
        if key(row) > key(best) {
            *best = row;
        }
    }
    kept.into_values().cloned().collect()
}

proptest! {
    #[test]
    fn settled_runs_hold_the_greatest_row_of_each_timestamp(rows in rows()) {
        let mut run = run_of(&rows);
        run.settle();
        prop_assert!(run.is_settled());
        prop_assert_eq!(rows_of(&run), greatest(&rows));
        prop_assert_eq!(run.clone().settle(), 0, "settled once is settled");
        let mut twice = run.clone();
        twice.append(&run, 0..run.len());
        prop_assert_eq!(twice.settle(), 0, "equal rows are one and no conflict");
        prop_assert_eq!(twice, run);
    }

    #[test]
    fn any_split_and_order_of_arrival_settles_to_the_same(
        rows in rows(),
        parts in vec(0_usize..4, 30),
        order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut whole = run_of(&rows);
        whole.settle();
        let part = |number: usize| {
            let mine: Vec<Row> = rows.iter().zip(&parts).filter(|(_, part)| **part == number).map(|(row, _)| row.clone()).collect();
            let mut run = run_of(&mine);
            run.settle();
            run
        };
        let mut merged = HistogramRun::default();
        for number in order {
            let part = part(number);
            merged.append(&part, 0..part.len());
            merged.settle();
        }
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn every_different_row_that_loses_is_a_conflict(rows in rows()) {
        let different: Vec<Row> = rows.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let lost = (different.len() - greatest(&different).len()) as u64;
        prop_assert_eq!(run_of(&different).settle(), lost);
        let conflicts = run_of(&rows).settle();
        prop_assert!(conflicts >= lost && conflicts <= (rows.len() - greatest(&rows).len()) as u64);
    }

    #[test]
    fn a_range_keeps_exactly_what_lies_in_it(rows in rows(), start in -5_i64..5, end in -5_i64..5) {
        let mut run = run_of(&rows);
        run.settle();
        let range = TimeRange { start, end };
        let expected: Vec<Row> = rows_of(&run).into_iter().filter(|row| range.contains(row.0)).collect();
        run.retain_range(range);
        prop_assert_eq!(rows_of(&run), expected);
    }

    #[test]
    fn rows_of_another_run_are_appended_as_they_are(a in rows(), b in rows(), from: prop::sample::Index, to: prop::sample::Index) {
        let (from, to) = (from.index(b.len() + 1), to.index(b.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        let mut run = run_of(&a);
        run.append(&run_of(&b), from..to);
        let expected: Vec<Row> = a.iter().chain(&b[from..to]).cloned().collect();
        prop_assert_eq!(rows_of(&run), expected);
    }

    #[test]
    fn histograms_come_back_bit_for_bit(histograms in vec((any::<i64>(), any::<i64>(), valid_histogram()), 0..5)) {
        let mut run = HistogramRun::default();
        for (timestamp, start_timestamp, histogram) in &histograms {
            run.push(*timestamp, *start_timestamp, histogram);
        }
        let mut reused = Histogram::default();
        for (i, (timestamp, start_timestamp, histogram)) in histograms.iter().enumerate() {
            let row = run.row(i);
            prop_assert_eq!((row.timestamp, row.start_timestamp), (*timestamp, *start_timestamp));
            row.decode_into(&mut reused);
            prop_assert!(same(&reused, histogram) && same(&row.histogram(), histogram));
        }
        let times: Vec<i64> = histograms.iter().map(|(timestamp, ..)| *timestamp).collect();
        prop_assert_eq!(run.timestamps(), times);
    }
}

#[test]
fn bytes_that_are_not_canonical_add_nothing() {
    let mut run = run_of(&[(1, 0, few_bodies()[0].clone())]);
    let before = run.clone();
    let mut long = few_bodies()[1].clone();
    long.push(0);
    assert!(run.push_canonical(2, 0, &long).is_err());
    assert!(run.push_canonical(2, 0, &[]).is_err());
    assert_eq!(run, before);
}

#[test]
fn heap_bytes_are_those_of_the_columns() {
    let mut run = HistogramRun::default();
    assert_eq!(run.heap_bytes(), 0);
    let body = few_bodies()[0].clone();
    for timestamp in 0..1000 {
        run.push_canonical(timestamp, 0, &body).expect("canonical bytes");
    }
    let least = 1000 * (3 * 8 + body.len());
    assert!(
        (least..=2 * least + 1000).contains(&run.heap_bytes()),
        "{}",
        run.heap_bytes()
    );
    let held = run.heap_bytes();
    run.clear();
    assert!(run.is_empty());
    assert_eq!((run.len(), run.heap_bytes()), (0, held), "clear keeps the memory");
    run.push_canonical(5, 6, &body).expect("canonical bytes");
    assert_eq!(rows_of(&run), [(5, 6, body)]);
}
