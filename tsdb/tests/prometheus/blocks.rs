//! Blocks that Prometheus wrote hold for us what Prometheus answers from them.

use std::fs;
use std::path::PathBuf;

use emberkeep_model::{ResetHint, SeriesRuns};
use emberkeep_tsdb::BlockReader;

use crate::rows::{Seen, SeriesRows, Value, golden, seen, series_lines, value_of};

fn block(name: &str) -> PathBuf {
    let mut blocks = fs::read_dir(golden(name)).unwrap().map(|entry| entry.unwrap().path());
    blocks.next().unwrap()
}

fn expected(name: &str) -> Vec<SeriesRows> {
    series_lines(&fs::read_to_string(golden(&format!("{name}.jsonl"))).unwrap())
}

/// Whole series, those of which nothing is left dropped, as Prometheus does.
fn found(reader: &mut BlockReader) -> Vec<(emberkeep_model::Labels, Vec<Seen>)> {
    let mut all = Vec::new();
    let mut runs = SeriesRuns::default();
    for position in 0..reader.series_count() {
        let series = reader.series(position).unwrap();
        reader.samples(&series, &mut runs).unwrap();
        assert!(runs.is_settled());
        if !runs.is_empty() {
            all.push((series.labels, seen(&runs)));
        }
    }
    all
}

fn check(name: &str, change: impl Fn(Vec<Seen>) -> Vec<Seen>) -> BlockReader {
    let mut reader = BlockReader::open(&block(name)).unwrap();
    let found = found(&mut reader);
    let expected = expected(name);
    assert_eq!(found.len(), expected.len());
    for ((labels, rows), expected) in found.iter().zip(&expected) {
        assert_eq!(labels, &expected.labels());
        assert_eq!(change(rows.clone()), change(expected.seen()), "{labels}");
    }
    let mut verified = Vec::new();
    let stats = reader
        .verify(|labels, runs| verified.push((labels.clone(), seen(runs))))
        .unwrap();
    assert_eq!(verified, found);
    assert_eq!(stats.num_samples, reader.meta().stats.num_samples);
    reader
}

#[test]
fn all_kinds_without_start_timestamps() {
    let reader = check("histograms", |rows| rows);
    assert!(reader.meta().stats.num_histogram_samples > 60 && reader.meta().stats.num_float_samples > 130);
}

#[test]
fn all_kinds_with_start_timestamps() {
    check("starts", |rows| rows);
    let any = expected("starts")
        .iter()
        .flat_map(SeriesRows::seen)
        .any(|(_, start, _)| start != 0);
    assert!(any, "the golden block has start timestamps");
}

#[test]
fn a_block_of_prometheus_2_42() {
    let mut reader = check("old", |rows| rows);
    let stats = reader.verify(|_, _| {}).unwrap();
    assert_eq!((stats.num_float_samples, stats.num_histogram_samples), (260, 24));
    assert_eq!(reader.index().postings("job", "b").unwrap().len(), 1);
}

/// Without the hints, of which we give less where a deleted sample lies before.
fn unhinted(rows: Vec<Seen>) -> Vec<Seen> {
    let forget = |(time, start, value)| match value {
        Value::Histogram(canonical) => {
            let mut histogram = canonical.histogram();
            if histogram.reset_hint == ResetHint::NotReset {
                histogram.reset_hint = ResetHint::Unknown;
            }
            (time, start, value_of(&histogram))
        }
        other => (time, start, other),
    };
    rows.into_iter().map(forget).collect()
}

#[test]
fn what_was_deleted_stays_deleted() {
    let mut reader = check("tombstones", unhinted);
    let with = expected("histograms")
        .iter()
        .map(|series| series.rows.len())
        .sum::<usize>();
    let without = expected("tombstones")
        .iter()
        .map(|series| series.rows.len())
        .sum::<usize>();
    assert!(without + 40 < with, "{without} of {with} samples are left");
    assert_eq!(reader.tombstones().len() as u64, reader.meta().stats.num_tombstones);

    let mut first_left = 0;
    for position in 0..reader.series_count() {
        let series = reader.series(position).unwrap();
        for chunk in &series.chunks {
            let mut runs = SeriesRuns::default();
            reader.chunk_samples(&series, chunk, &mut runs).unwrap();
            if let Some(row) = runs.histograms.iter().next() {
                assert_ne!(
                    row.histogram().reset_hint,
                    ResetHint::NotReset,
                    "the sample before is gone"
                );
                first_left += usize::from(row.timestamp != chunk.min_time);
            }
        }
    }
    assert!(first_left > 0, "a chunk has lost its first histogram");
}
