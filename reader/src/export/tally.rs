//! Counts and a digest of series and samples in order, to compare what was meant with what was read back.
//!
//! The digest covers each label byte, timestamp and value bit, so equal tallies mean equal blocks. It is never stored.

use emberkeep_model::{Labels, Run};
use xxhash_rust::xxh3::Xxh3;

/// Samples that are hashed together.
const BATCH: usize = 512;

/// A running count.
#[derive(Default)]
pub(super) struct Tally {
    series: u64,
    samples: u64,
    start_timestamps: u64,
    hash: Xxh3,
    bytes: Vec<u8>,
}

impl Tally {
    pub(super) fn add(&mut self, labels: &Labels, run: &Run) {
        self.series += 1;
        self.samples += run.len() as u64;
        self.start_timestamps += run.start_timestamps.iter().filter(|&&start| start != 0).count() as u64;
        self.hash.update(&(labels.as_bytes().len() as u64).to_le_bytes());
        self.hash.update(labels.as_bytes());
        self.hash.update(&(run.len() as u64).to_le_bytes());
        for (timestamps, values) in run.timestamps.chunks(BATCH).zip(run.values.chunks(BATCH)) {
            self.bytes.clear();
            for (timestamp, value) in timestamps.iter().zip(values) {
                self.bytes.extend_from_slice(&timestamp.to_le_bytes());
                self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            self.hash.update(&self.bytes);
        }
    }

    /// Series and samples.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.series, self.samples)
    }

    /// Samples with a start timestamp; not part of the digest, because a block has none.
    pub(super) fn start_timestamps(&self) -> u64 {
        self.start_timestamps
    }

    pub(super) fn digest(&self) -> u128 {
        self.hash.digest128()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use emberkeep_model::Sample;

    use super::*;

    fn digest(series: &[(&str, &[(i64, f64)])]) -> u128 {
        let mut tally = Tally::default();
        for (name, samples) in series {
            let run = samples
                .iter()
                .map(|&(timestamp, value)| Sample {
                    timestamp,
                    value,
                    start_timestamp: 0,
                })
                .collect();
            tally.add(&Labels::from_pairs([("__name__", *name)]).unwrap(), &run);
        }
        tally.digest()
    }

    #[test]
    fn every_bit_counts() {
        let base = digest(&[("a", &[(1, 0.0), (2, 1.0)]), ("b", &[(1, 1.0)])]);
        for other in [
            digest(&[("a", &[(1, -0.0), (2, 1.0)]), ("b", &[(1, 1.0)])]),
            digest(&[("a", &[(1, 0.0), (3, 1.0)]), ("b", &[(1, 1.0)])]),
            digest(&[("a", &[(1, 0.0), (2, 1.0)]), ("c", &[(1, 1.0)])]),
            digest(&[("a", &[(1, 0.0)]), ("b", &[(2, 1.0), (1, 1.0)])]),
            digest(&[("a", &[(1, 0.0), (2, 1.0)])]),
        ] {
            assert_ne!(base, other);
        }
    }
}
