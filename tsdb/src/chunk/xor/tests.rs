//! Tests of the XOR encoding: any bits and times round-trip, and damage is an error.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Timestamps of all kinds: regular, jittering, anywhere.
fn samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let other = || prop_oneof![2 => 14_990i64..15_010, 1 => -600_000i64..600_000, 1 => any::<i64>()];
    // Of one kind or the other for a while: what is regular is taken many at a time.
    let step = prop_oneof![
        1 => vec(prop_oneof![4 => Just(15_000i64), 4 => other()], 1..80),
        1 => vec(prop_oneof![60 => Just(15_000i64), 1 => other()], 1..80),
    ];
    let value = prop_oneof![
        3 => (0u32..100_000).prop_map(|n| f64::from(n).to_bits()),
        1 => Just(emberkeep_model::STALE_MARKER_BITS),
        1 => Just(0),
        2 => any::<u64>(),
        2 => (any::<u64>(), 0u32..64, 0u32..64).prop_map(|(v, l, t)| (v >> l) << t),
    ];
    (any::<i64>(), vec(step, 0..8), vec(value, 0..300)).prop_map(|(start, steps, values)| {
        let mut time = start;
        let steps = steps.into_iter().flatten();
        steps
            .zip(values)
            .map(|(step, value)| {
                time = time.wrapping_add(step);
                (time, value)
            })
            .collect()
    })
}

fn encoded(samples: &[(i64, u64)]) -> Vec<u8> {
    let timestamps: Vec<i64> = samples.iter().map(|s| s.0).collect();
    let values: Vec<f64> = samples.iter().map(|s| f64::from_bits(s.1)).collect();
    let mut chunk = Vec::new();
    encode(&timestamps, &values, &mut chunk);
    chunk
}

/// The same chunk bit by bit as the format is told, each field with a write of its own.
fn by_the_letter(samples: &[(i64, u64)]) -> Vec<u8> {
    let mut out = u16::try_from(samples.len()).unwrap().to_be_bytes().to_vec();
    let (mut bits, mut xor, mut delta) = (BitWriter::new(&mut out), XorState::default(), 0_i64);
    for (i, &(time, value)) in samples.iter().enumerate() {
        match i {
            0 => {
                bits.write_uvarint(zigzag(time));
                bits.write(value, 64);
                xor = XorState::starting_at(f64::from_bits(value));
                continue;
            }
            1 => {
                delta = time.wrapping_sub(samples[0].0);
                bits.write_uvarint(delta.cast_unsigned());
            }
            _ => {
                let now = time.wrapping_sub(samples[i - 1].0);
                let dod = now.wrapping_sub(delta);
                delta = now;
                let forms = [(14, 2, 0b10), (17, 3, 0b110), (20, 4, 0b1110)];
                let fitting = forms
                    .iter()
                    .find(|(n, ..)| (-(1_i64 << (n - 1)) + 1..=1 << (n - 1)).contains(&dod));
                match (dod, fitting) {
                    (0, _) => bits.write(0, 1),
                    (_, Some(&(n, length, prefix))) => {
                        bits.write(prefix, length);
                        bits.write(dod.cast_unsigned() & ((1 << n) - 1), n);
                    }
                    (_, None) => {
                        bits.write(0b1111, 4);
                        bits.write(dod.cast_unsigned(), 64);
                    }
                }
            }
        }
        xor.write(&mut bits, 0, 0, value);
    }
    bits.finish();
    out
}

fn decoded(chunk: &[u8]) -> Result<Vec<(i64, u64)>, TsdbError> {
    let mut run = Run::default();
    decode(chunk, &mut run)?;
    Ok(run
        .timestamps
        .iter()
        .copied()
        .zip(run.values.iter().map(|v| v.to_bits()))
        .collect())
}

/// The samples of a chunk field by field, each asked for when it is needed and not before.
fn read_by_the_letter(chunk: &[u8]) -> Result<Vec<(i64, u64)>, Damage> {
    let (count, rest) = header(chunk)?;
    let mut samples = Vec::new();
    let (mut bits, mut xor, mut time, mut delta) = (BitReader::new(rest), XorState::default(), 0_i64, 0_i64);
    for n in 0..count {
        match n {
            0 => {
                time = unzigzag(bits.take_uvarint()?);
                xor.last = bits.take_wide(64)?;
                samples.push((time, xor.last));
                continue;
            }
            1 => delta = bits.take_uvarint()?.cast_signed(),
            _ => {
                bits.refill();
                delta = delta.wrapping_add(take_dod(&mut bits)?);
            }
        }
        time = time.wrapping_add(delta);
        xor.read(&mut bits)?;
        samples.push((time, xor.last));
    }
    Ok(samples)
}

proptest! {
    #[test]
    fn any_samples_round_trip(samples in samples()) {
        let chunk = encoded(&samples);
        prop_assert_eq!(usize::from(count(&chunk).unwrap()), samples.len());
        prop_assert_eq!(decoded(&chunk).unwrap(), samples);
    }

    #[test]
    fn the_bytes_are_those_of_the_format(samples in samples()) {
        prop_assert_eq!(encoded(&samples), by_the_letter(&samples));
    }

    #[test]
    fn a_shortened_chunk_is_damage(samples in samples(), cut: prop::sample::Index) {
        let chunk = encoded(&samples);
        let cut = cut.index(chunk.len());
        prop_assert!(decoded(&chunk[..cut]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(decoded(&bytes).ok(), read_by_the_letter(&bytes).ok());
    }

    #[test]
    fn a_changed_chunk_is_read_by_the_letter(
        samples in samples(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut chunk = encoded(&samples);
        for (place, byte) in changes {
            let place = place.index(chunk.len());
            chunk[place] = byte;
        }
        prop_assert_eq!(decoded(&chunk).ok(), read_by_the_letter(&chunk).ok());
    }
}

#[test]
fn damage_leaves_the_run_as_it_was() {
    let mut run = Run::default();
    decode(&encoded(&[(1, 1), (2, 2)]), &mut run).unwrap();
    let before = run.clone();
    let chunk = encoded(&[(3, 3), (4, u64::MAX), (5, 7)]);
    assert!(decode(&chunk[..chunk.len() - 3], &mut run).is_err());
    assert_eq!(run, before);
    decode(&chunk, &mut run).unwrap();
    assert_eq!(run.timestamps, [1, 2, 3, 4, 5]);
}

#[test]
fn decoding_keeps_start_timestamps_as_long_as_the_run() {
    let mut run = Run::default();
    run.push(emberkeep_model::Sample {
        timestamp: 1,
        value: 1.0,
        start_timestamp: 9,
    });
    decode(&encoded(&[(2, 2), (3, 3)]), &mut run).unwrap();
    assert_eq!(run.start_timestamps, [9, 0, 0]);
}

#[test]
fn the_largest_chunk() {
    let samples: Vec<(i64, u64)> = (0..MAX_SAMPLES as i64)
        .map(|n| (n * n * n, (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    assert_eq!(decoded(&encoded(&samples)).unwrap(), samples);
}
