//! A digest is the sum of the library's hash over rows, whatever their order and however they were cut.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use emberkeep_model::{Exemplar, Labels, Run, Sample};
use proptest::prelude::*;

use super::*;

fn sample() -> impl Strategy<Value = Sample> {
    let time = prop_oneof![0_i64..86_400_000, any::<i64>(), -20_000_000_i64..0];
    (time, any::<u64>(), prop_oneof![Just(0), any::<i64>()]).prop_map(|(timestamp, bits, start_timestamp)| Sample {
        timestamp,
        value: f64::from_bits(bits),
        start_timestamp,
    })
}

fn run(mut samples: Vec<Sample>) -> Run {
    samples.sort_by_key(|sample| sample.timestamp);
    samples.dedup_by_key(|sample| sample.timestamp);
    samples.into_iter().collect()
}

fn words(first: i64, second: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn it_is_the_librarys_hash(first: u64, second: u64) {
        let bytes = words(first.cast_signed(), second);
        prop_assert_eq!(hash_of_two(first, second), xxh3_64(&bytes));
    }

    #[test]
    fn it_is_the_sum_over_the_rows_of_a_window(samples in prop::collection::vec(sample(), 0..60)) {
        let run = run(samples);
        let (mut floats, mut starts) = (BTreeMap::<i64, u64>::new(), BTreeMap::<i64, u64>::new());
        for sample in run.iter() {
            let window = sample.timestamp.div_euclid(WINDOW_MS) * WINDOW_MS;
            let digest = xxh3_64(&words(sample.timestamp, sample.value.to_bits()));
            let sum = floats.entry(window).or_default();
            *sum = sum.wrapping_add(digest);
            if sample.start_timestamp != 0 {
                let digest = xxh3_64(&words(sample.timestamp, sample.start_timestamp.cast_unsigned()));
                let sum = starts.entry(window).or_default();
                *sum = sum.wrapping_add(digest);
            }
        }
        let mut digests = Digests::default();
        digests.add_samples(RunSlice::from(&run));
        prop_assert_eq!(digests.samples.iter().collect::<Vec<_>>(), floats.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(digests.start_timestamps.iter().collect::<Vec<_>>(), starts.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn it_does_not_depend_on_cuts(samples in prop::collection::vec(sample(), 0..60), chosen: u64) {
        let whole = run(samples);
        let (mut one, mut other) = (Run::default(), Run::default());
        for (i, sample) in whole.iter().enumerate() {
            if chosen >> (i % 64) & 1 == 0 { one.push(sample) } else { other.push(sample) }
        }
        let (mut all, mut pieces) = (Digests::default(), Digests::default());
        all.add_samples(RunSlice::from(&whole));
        pieces.add_samples(RunSlice::from(&other));
        pieces.add_samples(RunSlice::from(&one));
        prop_assert_eq!(&all, &pieces);
        let mut joined = Digests::default();
        joined.add_samples(RunSlice::from(&one));
        let mut rest = Digests::default();
        rest.add_samples(RunSlice::from(&other));
        joined.samples.join(&rest.samples);
        prop_assert_eq!(all.samples, joined.samples);
    }

    #[test]
    fn the_sums_of_a_day_come_back(day in -800_000_i32..800_000, rows in prop::collection::vec((0_i64..86_400_000, any::<u64>()), 0..20)) {
        let mut sums = WindowSums::default();
        for (time, digest) in rows {
            sums.add(i64::from(day) * 86_400_000 + time, digest);
        }
        let (mut bytes, mut back) = (Vec::new(), WindowSums::default());
        prop_assert!(sums.put(day, &mut bytes));
        prop_assert_eq!(back.read(day, &bytes), Some(()));
        prop_assert_eq!(&back, &sums);
        prop_assert!(bytes.len() <= 1 + 12 * 8);
        prop_assert_eq!(sums.put(day + 1, &mut bytes), sums.iter().next().is_none());
    }

    #[test]
    fn bytes_that_are_no_sums_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut sums = WindowSums::default();
        let is_possible = bytes.is_empty() || (bytes.len() % 8 == 1 && usize::from(bytes[0]) + bytes.len() / 8 <= 12);
        prop_assert_eq!(sums.read(0, &bytes).is_some(), is_possible);
    }
}

/// Digests lie in parts for ever: these must not change.
#[test]
fn digests_are_persisted_and_must_not_change() {
    let mut runs = SeriesRuns::default();
    runs.samples.push(Sample {
        timestamp: 1_700_000_000_000,
        value: 1.5,
        start_timestamp: 7,
    });
    runs.exemplars.push(Exemplar {
        timestamp: -1,
        value: -0.0,
        labels: Labels::from_pairs([("trace_id", "x")]).unwrap(),
    });
    runs.histograms
        .push(7_200_000, 0, &emberkeep_model::Histogram::default());
    let mut digests = Digests::default();
    digests.add(&runs);
    let found = digests.by_kind().map(|sums| sums.iter().collect::<Vec<_>>());
    let expected = [
        vec![(1_699_999_200_000, 15_351_992_467_590_400_432)],
        vec![(7_200_000, 8_491_313_185_743_829_317)],
        vec![(-7_200_000, 17_306_982_717_467_346_757)],
        vec![(1_699_999_200_000, 4_590_024_997_202_884_634)],
    ];
    assert_eq!(found, expected);
}
