//! Tests of the XOR2 encoding: any bits, times and start timestamps round-trip, and damage is an error.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::Sample;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let step =
        prop_oneof![4 => Just(15_000i64), 2 => 10_000i64..20_000, 1 => -1_000_000i64..1_000_000, 1 => any::<i64>()];
    let value = prop_oneof![
        3 => (0u32..3).prop_map(|n| f64::from(n).to_bits()),
        1 => Just(STALE_MARKER_BITS),
        2 => any::<u64>(),
        2 => (any::<u64>(), 0u32..64, 0u32..64).prop_map(|(v, l, t)| (v >> l) << t),
    ];
    let start = prop_oneof![4 => Just(0i64), 4 => Just(-77), 1 => any::<i64>()];
    (any::<i64>(), vec((step, value, start), 0..300), any::<bool>()).prop_map(|(begin, steps, starts)| {
        let mut time = begin;
        let sample = |(step, value, start)| {
            time = time.wrapping_add(step);
            Sample {
                timestamp: time,
                value: f64::from_bits(value),
                start_timestamp: if starts { start } else { 0 },
            }
        };
        steps.into_iter().map(sample).collect()
    })
}

fn encoded(samples: &[Sample]) -> Vec<u8> {
    let run: Run = samples.iter().copied().collect();
    let mut chunk = Vec::new();
    encode(&run.timestamps, &run.values, &run.start_timestamps, &mut chunk);
    chunk
}

fn bits(samples: impl Iterator<Item = Sample>) -> Vec<(i64, u64, i64)> {
    samples
        .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
        .collect()
}

proptest! {
    #[test]
    fn any_samples_round_trip(samples in samples()) {
        let chunk = encoded(&samples);
        prop_assert_eq!(usize::from(count(&chunk).unwrap()), samples.len());
        let mut run = Run::default();
        decode(&chunk, &mut run).unwrap();
        prop_assert_eq!(bits(run.iter()), bits(samples.into_iter()));
    }

    #[test]
    fn a_shortened_chunk_is_damage_and_leaves_the_run(samples in samples(), cut: prop::sample::Index) {
        let chunk = encoded(&samples);
        let cut = cut.index(chunk.len());
        let mut run = Run::default();
        run.push(Sample { timestamp: 1, value: 2.0, start_timestamp: 3 });
        let before = run.clone();
        prop_assert!(decode(&chunk[..cut], &mut run).is_err());
        prop_assert_eq!(run, before);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &mut Run::default());
    }
}

#[test]
fn start_timestamps_stay_as_long_as_the_run() {
    let sample = |timestamp, start_timestamp| Sample {
        timestamp,
        value: 1.0,
        start_timestamp,
    };
    let mut run = Run::default();
    decode(&encoded(&[sample(1, 0)]), &mut run).unwrap();
    assert!(run.start_timestamps.is_empty());
    decode(&encoded(&[sample(2, 0), sample(3, 9)]), &mut run).unwrap();
    decode(&encoded(&[sample(4, 0)]), &mut run).unwrap();
    assert_eq!(run.start_timestamps, [0, 0, 9, 0]);
}

#[test]
fn no_start_timestamps_and_zeros_are_the_same_chunk() {
    let times: Vec<i64> = (0..300).collect();
    let values = vec![1.0; 300];
    let (mut without, mut with) = (Vec::new(), Vec::new());
    encode(&times, &values, &[], &mut without);
    encode(&times, &values, &[0; 300], &mut with);
    assert_eq!(without, with);
    assert_eq!(
        without[2], 0x7f,
        "beyond 127 samples Prometheus stores them in any case"
    );
}
