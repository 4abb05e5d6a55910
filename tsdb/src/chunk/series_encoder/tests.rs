//! Whatever a series does, its chunks hold it, and each is one that Prometheus can re-encode.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use emberkeep_model::histogram::ResetHint;
use emberkeep_model::{SeriesRuns, TimeRange};
use proptest::prelude::*;

use super::super::generated::{series, steps};
use super::super::meaning::{Meaning, bits, meanings};
use super::*;
use crate::chunk::decode;

/// A chunk with what it decodes to.
#[derive(Debug, PartialEq)]
struct Chunk {
    encoding: Encoding,
    span: (i64, i64),
    samples: usize,
    custom_buckets: bool,
    data: Vec<u8>,
}

fn encode(pieces: &[SeriesRuns], starts: bool) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut sink = |chunk: EncodedChunk<'_>| {
        chunks.push(Chunk {
            encoding: chunk.encoding,
            span: (chunk.min_time, chunk.max_time),
            samples: chunk.samples,
            custom_buckets: chunk.custom_buckets,
            data: chunk.data.to_vec(),
        });
        Ok::<(), Infallible>(())
    };
    let mut encoder = if starts {
        SeriesEncoder::with_start_timestamps()
    } else {
        SeriesEncoder::new()
    };
    for piece in pieces {
        encoder.push(&piece.samples, &piece.histograms, &mut sink).unwrap();
    }
    encoder.finish(&mut sink).unwrap();
    chunks
}

fn decoded(chunk: &Chunk) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    decode(chunk.encoding, &chunk.data, &mut runs.samples, &mut runs.histograms).unwrap();
    runs
}

fn is_zero(bits: u64, is_float: bool) -> bool {
    bits == 0 || (is_float && f64::from_bits(bits) == 0.0)
}

fn falls(before: u64, after: u64, is_float: bool) -> bool {
    if is_float {
        f64::from_bits(before) > f64::from_bits(after)
    } else {
        before > after
    }
}

/// Whether Prometheus lets `next` follow `last` in a chunk, by a plain reading of its rules.
fn may_follow(last: &Meaning, next: &Meaning, hint: ResetHint, in_gauge_chunk: bool) -> bool {
    let float = last.is_float;
    let nan = |bits: u64| f64::from_bits(bits).is_nan();
    if last.is_float != next.is_float || in_gauge_chunk != next.gauge || hint == ResetHint::Reset {
        return false;
    }
    if next.stale {
        return true;
    }
    if last.stale
        || (last.schema, last.threshold, &last.bounds) != (next.schema, next.threshold, &next.bounds)
        || nan(last.threshold)
    {
        return false;
    }
    if next.gauge {
        return true;
    }
    let sides = last.buckets.iter().zip(&next.buckets);
    let buckets_fall = sides
        .into_iter()
        .any(|(before, after)| bucket_falls(before, after, float));
    !falls(last.count, next.count, float) && !falls(last.zero_count, next.zero_count, float) && !buckets_fall
}

fn bucket_falls(before: &BTreeMap<i64, u64>, after: &BTreeMap<i64, u64>, float: bool) -> bool {
    before.iter().any(|(index, &count)| match after.get(index) {
        Some(&after) => falls(count, after, float),
        // The map leaves zeros out, so a bucket that is not there may have been sent with 0, too: both fall below a count.
        None => !is_zero(count, float),
    })
}

/// Splits a series at a time.
fn split(runs: &SeriesRuns, at: i64) -> [SeriesRuns; 2] {
    let ranges = [(i64::MIN, at), (at, i64::MAX)];
    ranges.map(|(start, end)| {
        let mut piece = runs.clone();
        piece.retain_range(TimeRange { start, end });
        piece
    })
}

fn check(runs: &SeriesRuns, with_starts: bool, keep_starts: bool) -> Result<(), TestCaseError> {
    let chunks = encode(std::slice::from_ref(runs), keep_starts);
    let sent = meanings(&runs.histograms);
    let mut all = SeriesRuns::default();
    let mut row = 0;
    // Of the chunk before: its last histogram, and whether its size was a reason to cut it.
    let mut last: Option<(Meaning, bool)> = None;
    for (n, chunk) in chunks.iter().enumerate() {
        let content = decoded(chunk);
        prop_assert_eq!(content.len(), chunk.samples);
        prop_assert_eq!(content.time_span(), Some(chunk.span));
        prop_assert!(content.samples.is_empty() != content.histograms.is_empty());
        prop_assert!(n == 0 || chunks[n - 1].span.1 < chunk.span.0, "chunks overlap");
        prop_assert!(chunk.samples <= 120);
        let any_start = content.samples.iter().any(|sample| sample.start_timestamp != 0)
            || content.histograms.iter().any(|row| row.start_timestamp != 0);
        prop_assert_eq!(chunk.encoding.has_start_timestamps(), any_start);
        let histograms = meanings(&content.histograms);
        let gauge = histograms.first().is_some_and(|(_, _, first)| first.gauge);
        let mut spans = None;
        for (i, (_, _, meaning)) in histograms.iter().enumerate() {
            let sent_hint = runs.histograms.row(row).histogram().reset_hint;
            let read = content.histograms.row(i).histogram();
            prop_assert!(read.is_stale() || chunk.custom_buckets == (read.schema == -53));
            let hint = match (meaning.stale, meaning.gauge, i) {
                (true, ..) => ResetHint::Unknown,
                (_, true, _) => ResetHint::Gauge,
                (_, _, 0) => ResetHint::Unknown,
                _ => ResetHint::NotReset,
            };
            prop_assert_eq!(read.reset_hint, hint);
            if i > 0 {
                prop_assert!(may_follow(&histograms[i - 1].2, meaning, sent_hint, gauge));
            } else if let Some((last, false)) = &last {
                prop_assert!(
                    !may_follow(last, meaning, sent_hint, last.gauge),
                    "chunk {} need not begin",
                    n
                );
            }
            if !read.is_stale() {
                let read = (read.positive_spans, read.negative_spans);
                prop_assert_eq!(spans.get_or_insert_with(|| read.clone()), &read);
            }
            row += 1;
        }
        let size = chunk.data.len();
        let large = chunk.samples == 120 || (chunk.samples >= 10 && size >= 1024) || size >= 64 << 10;
        last = histograms
            .into_iter()
            .next_back()
            .map(|(_, _, meaning)| (meaning, large));
        all.append(&content);
    }
    let starts = |(time, other, start)| (time, other, if keep_starts && with_starts { start } else { 0 });
    let floats: Vec<_> = bits(&runs.samples).into_iter().map(starts).collect();
    prop_assert_eq!(bits(&all.samples), floats);
    let sent: Vec<_> = sent
        .into_iter()
        .map(|(time, start, meaning)| (time, if keep_starts { start } else { 0 }, meaning))
        .collect();
    prop_assert_eq!(meanings(&all.histograms), sent);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn chunks_hold_what_was_sent(steps in steps(250), with_starts: bool, keep_starts: bool) {
        check(&series(&steps, with_starts), with_starts, keep_starts)?;
    }

    #[test]
    fn pieces_do_not_matter(steps in steps(250), at in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = series(&steps, true);
        let times: Vec<i64> = whole.samples.timestamps.iter().chain(whole.histograms.timestamps()).copied().collect();
        let mut pieces = vec![whole.clone()];
        if !times.is_empty() {
            let mut at: Vec<i64> = at.iter().map(|index| *index.get(&times)).collect();
            at.sort_unstable();
            for time in at {
                let last = pieces.pop().unwrap();
                pieces.extend(split(&last, time));
            }
        }
        prop_assert_eq!(encode(&pieces, true), encode(&[whole], true));
    }
}

mod rules;
