//! Blocks that we write hold for Prometheus what was sent, and it can encode every chunk of them anew.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use emberkeep_model::histogram::bucket_indices;
use emberkeep_model::{Counts, Histogram, Labels, ResetHint, SeriesRuns, Span, TimeRange};
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockReader, BlockWriter};
use ulid::Ulid;

use crate::generated::{Random, series};
use crate::oracle::ask;
use crate::rows::{Seen, Value, seen, series_lines};

const SERIES: usize = 150;
const WINDOW: TimeRange = TimeRange {
    start: 222_224 * BLOCK_DURATION_MS,
    end: 222_225 * BLOCK_DURATION_MS,
};

/// What a sample means, whatever its spans: buckets that are not zero by their index, counts by their bits.
#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    Float(u64),
    Stale { float: bool },
    Histogram(Distribution),
}

#[derive(Debug, Clone, PartialEq)]
struct Distribution {
    float: bool,
    gauge: bool,
    schema: i32,
    /// Zero threshold, sum and custom bounds.
    floats: Vec<u64>,
    /// Count, zero count.
    counts: [u64; 2],
    positive: BTreeMap<i64, u64>,
    negative: BTreeMap<i64, u64>,
}

fn distribution(histogram: &Histogram) -> Distribution {
    let places = |spans: &[Span], counts: Vec<u64>| {
        let all = bucket_indices(spans).zip(counts);
        all.filter(|&(_, count)| count != 0).collect()
    };
    let whole = |counts: &[i64]| counts.iter().map(|&count| count as u64).collect();
    let parts = |counts: &[f64]| counts.iter().map(|count| count.to_bits()).collect();
    let (counts, positive, negative) = match &histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => ([*count, *zero_count], whole(positive), whole(negative)),
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => (
            [count.to_bits(), zero_count.to_bits()],
            parts(positive),
            parts(negative),
        ),
    };
    let floats = [&histogram.zero_threshold, &histogram.sum];
    Distribution {
        float: histogram.is_float(),
        gauge: histogram.reset_hint == ResetHint::Gauge,
        schema: histogram.schema,
        floats: floats
            .into_iter()
            .chain(&histogram.custom_values)
            .map(|value| value.to_bits())
            .collect(),
        counts,
        positive: places(&histogram.positive_spans, positive),
        negative: places(&histogram.negative_spans, negative),
    }
}

fn meanings(rows: &[Seen]) -> Vec<(i64, i64, Meaning)> {
    let meaning = |value: &Value| match value {
        Value::Float(bits) => Meaning::Float(*bits),
        Value::Stale { float } => Meaning::Stale { float: *float },
        Value::Histogram(histogram) => Meaning::Histogram(distribution(&histogram.histogram())),
    };
    rows.iter()
        .map(|(time, start, value)| (*time, *start, meaning(value)))
        .collect()
}

/// That no count falls, neither of integers nor of floats that are not negative: their bits rise as they do.
fn grows(before: &Distribution, after: &Distribution) -> bool {
    let side = |before: &BTreeMap<i64, u64>, after: &BTreeMap<i64, u64>| {
        before
            .iter()
            .all(|(index, count)| after.get(index).is_some_and(|after| after >= count))
    };
    before
        .counts
        .iter()
        .zip(&after.counts)
        .all(|(before, after)| after >= before)
        && side(&before.positive, &after.positive)
        && side(&before.negative, &after.negative)
        && (before.schema, before.float) == (after.schema, after.float)
}

/// Where Prometheus will say that there was no reset, and compute rates by it, there was none.
fn hints_are_true(rows: &[Seen]) -> usize {
    let meanings = meanings(rows);
    let mut claims = 0;
    for (i, (.., value)) in rows.iter().enumerate() {
        let Value::Histogram(histogram) = value else { continue };
        if histogram.histogram().reset_hint != ResetHint::NotReset {
            continue;
        }
        claims += 1;
        match (&meanings[i - 1].2, &meanings[i].2) {
            (Meaning::Histogram(before), Meaning::Histogram(after)) => assert!(grows(before, after), "{:?}", rows[i]),
            (before, _) => panic!("{:?} claims that there was no reset after {before:?}", rows[i]),
        }
    }
    claims
}

fn labels(number: usize) -> Labels {
    let number = format!("{number:03}");
    Labels::from_pairs([("__name__", "generated"), ("number", number.as_str())]).unwrap()
}

fn check(seed: u64, starts: bool) {
    let mut random = Random(seed);
    let all: Vec<SeriesRuns> = (0..SERIES)
        .map(|_| series(&mut random, WINDOW.start, WINDOW.end, starts))
        .collect();
    let output = tempfile::tempdir().unwrap();
    let ulid = Ulid::from_parts(1_600_000_000_000, seed.into());
    let mut writer = BlockWriter::create(output.path(), ulid, WINDOW).unwrap();
    if starts {
        writer = writer.with_start_timestamps();
    }
    for (number, runs) in all.iter().enumerate() {
        writer.push(&labels(number), runs).unwrap();
    }
    writer.finish().unwrap().unwrap();
    let block = output.path().join(ulid.to_string());
    ours(&block, &all);

    let dumped = series_lines(&ask(&[OsStr::new("dump"), block.as_os_str()], String::new()));
    assert_eq!(dumped.len(), SERIES);
    let mut claims = 0;
    for (number, (found, sent)) in dumped.iter().zip(&all).enumerate() {
        assert_eq!(found.labels(), labels(number));
        let found = found.seen();
        claims += hints_are_true(&found);
        assert_eq!(meanings(&found), meanings(&seen(sent)), "series {number}");
    }
    assert!(claims > 1000, "{claims} samples say that there was no reset");

    let scratch = tempfile::tempdir().unwrap();
    let arguments = [OsStr::new("recode"), block.as_os_str(), scratch.path().as_os_str()];
    let recoded = series_lines(&ask(&arguments, String::new()));
    assert_eq!(recoded.len(), SERIES);
    // Start timestamps do not survive a compaction of Prometheus in its default settings.
    let timed = |rows: Vec<(i64, i64, Meaning)>| {
        rows.into_iter()
            .map(|(time, _, value)| (time, value))
            .collect::<Vec<_>>()
    };
    for (number, (found, sent)) in recoded.iter().zip(&all).enumerate() {
        assert_eq!(
            timed(meanings(&found.seen())),
            timed(meanings(&seen(sent))),
            "series {number}"
        );
    }
}

/// Our own reader gives back the same.
fn ours(block: &Path, all: &[SeriesRuns]) {
    let mut reader = BlockReader::open(block).unwrap();
    let mut number = 0;
    reader
        .verify(|_, runs| {
            assert_eq!(meanings(&seen(runs)), meanings(&seen(&all[number])), "series {number}");
            number += 1;
        })
        .unwrap();
    assert_eq!(number, all.len());
}

#[test]
fn prometheus_reads_and_encodes_anew_what_we_write() {
    check(1, false);
}

#[test]
fn also_with_start_timestamps() {
    check(2, true);
}
