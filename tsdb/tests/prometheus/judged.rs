//! Which histograms are valid, and what becomes of those that are too fine to be stored: as Prometheus has it.

use std::ffi::OsStr;

use emberkeep_model::histogram::bucket_indices;
use emberkeep_model::{Counts, Histogram, Span};
use serde::Deserialize;

use crate::generated::{Distribution, Random};
use crate::oracle::ask;
use crate::rows::{HistogramRow, value_of};

const CASES: usize = 6000;

#[derive(Deserialize)]
struct Verdict {
    error: String,
    reduced: Option<HistogramRow>,
}

/// Breaks a histogram, or makes it strange and leaves it valid.
fn damage(random: &mut Random, histogram: &mut Histogram) {
    let strange = random.one_of(&[0, 1, -1, 7, i32::MAX, i32::MIN]);
    match random.below(12) {
        0 => {
            let finer = 9 + random.below(44) as i32;
            histogram.schema = random.one_of(&[-10, -9, -5, -4, 8, 9, 52, 53, -53, i32::MIN, finer, finer]);
        }
        1 => histogram.sum = random.float(),
        2 => histogram.zero_threshold = random.float(),
        3 => histogram.custom_values.push(random.float()),
        4 => histogram.custom_values.truncate(random.below(3) as usize),
        5 => {
            let length = random.one_of(&[0, 0, 1, u32::MAX]);
            histogram.positive_spans.push(Span {
                offset: strange,
                length,
            });
        }
        6 => histogram.negative_spans.push(Span {
            offset: strange,
            length: 0,
        }),
        7 => {
            if let Some(span) = histogram.positive_spans.last_mut() {
                span.offset = strange;
            }
        }
        8 => {
            if let Some(span) = histogram.negative_spans.first_mut() {
                span.length = span.length.wrapping_sub(1);
            }
        }
        9 => histogram.custom_values.reverse(),
        _ => damage_counts(random, &mut histogram.counts),
    }
}

fn damage_counts(random: &mut Random, counts: &mut Counts) {
    match counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => match random.below(5) {
            0 => *count = count.wrapping_sub(1),
            1 => *count = count.wrapping_add(random.one_of(&[1, 1 << 63])),
            2 => *zero_count = zero_count.wrapping_sub(1),
            3 => positive.iter_mut().for_each(|bucket| *bucket = bucket.wrapping_neg()),
            _ => drop(negative.pop()),
        },
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => match random.below(5) {
            0 => *count = random.float(),
            1 => *zero_count = random.float(),
            2 => positive.push(random.float()),
            3 => positive.iter_mut().for_each(|bucket| *bucket = random.float()),
            _ => drop(negative.pop()),
        },
    }
}

fn cases() -> Vec<Histogram> {
    let mut random = Random(0x656d_6265_726b_6565);
    let mut cases = Vec::new();
    while cases.len() < CASES {
        let mut distribution = Distribution::new(&mut random);
        for _ in 0..random.below(12) {
            distribution.change(&mut random);
        }
        let mut histogram = distribution.histogram(&mut random);
        if histogram.schema >= 0 && random.one_in(3) {
            histogram.schema = 9 + random.below(44) as i32;
        }
        for _ in 0..random.one_of(&[0, 0, 1, 1, 1, 2]) {
            damage(&mut random, &mut histogram);
        }
        cases.push(histogram);
    }
    cases
}

/// Whether Prometheus can count the buckets: it subtracts 1 from an index in 32 bits, and goes round at the least of them.
fn is_within_reach(histogram: &Histogram) -> bool {
    let sides = [&histogram.positive_spans, &histogram.negative_spans];
    let mut indices = sides.into_iter().flat_map(|spans| bucket_indices(spans));
    indices.all(|index| i32::try_from(index - 1).is_ok() && i32::try_from(index + 1).is_ok())
}

#[test]
fn histograms_are_judged_as_prometheus_judges_them() {
    let cases = cases();
    let lines: Vec<String> = cases
        .iter()
        .map(|histogram| serde_json::to_string(&HistogramRow::of(histogram)).unwrap())
        .collect();
    let answers = ask(&[OsStr::new("validate")], lines.join("\n"));
    assert_eq!(answers.lines().count(), CASES);
    let (mut valid, mut broken, mut reduced) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(answers.lines()) {
        let verdict: Verdict = serde_json::from_str(answer).unwrap();
        match (case.validate(), verdict.error.as_str()) {
            (Ok(()), "") => valid += 1,
            (Err(_), error) if !error.is_empty() => broken += 1,
            (ours, error) => wrong.push(format!("{case:?}: here {ours:?}, Prometheus says {error:?}")),
        }
        if let Some(theirs) = verdict.reduced.filter(|_| is_within_reach(case)) {
            reduced += 1;
            let mut ours = case.clone();
            ours.reduce_to_stored();
            let theirs = theirs.histogram();
            if value_of(&ours) != value_of(&theirs) {
                wrong.push(format!("{case:?}: reduced to {ours:?}, by Prometheus to {theirs:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are judged wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    // The generator must keep producing what is worth comparing.
    assert!(
        valid > 2000 && broken > 1500 && reduced > 500,
        "{valid} valid, {broken} broken, {reduced} reduced"
    );
}
