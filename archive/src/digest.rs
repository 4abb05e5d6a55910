//! Digests: what proves that two places hold the same rows, without bringing the rows together (DESIGN §4).
//!
//! A row becomes 64 bits, and those of all rows of one series, kind and aligned window of two hours are added modulo 2^64. So a digest does
//! not depend on the order of rows nor on where a part or a block was cut, as long as equal rows were made one before. Pure: rows in,
//! numbers out. It must never be changed: digests lie in parts for ever.

use emberkeep_model::{ExemplarRun, HistogramRun, SeriesRuns, UNSET_START_TIMESTAMP};
use xxhash_rust::xxh3::xxh3_64;

use crate::RunSlice;

mod window_sums;

pub use window_sums::{WINDOW_MS, WindowSums};

/// Windows in a UTC day.
pub(crate) const WINDOWS_A_DAY: i64 = 86_400_000 / WINDOW_MS;

/// What XXH3-64 (seed 0) mixes into the first and the second half of 16 bytes: words of its secret at 24, 32 and at 40, 48.
const FLIPS: [u64; 2] = [
    0x1f67_b3b7_a4a4_4072 ^ 0x78e5_c0cc_4ee6_79cb,
    0x2172_ffcc_7dd0_5a82 ^ 0x8e24_43f7_7446_08b8,
];

/// The digests of the settled rows of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digests {
    /// Floats, without start timestamps.
    pub samples: WindowSums,
    /// Histograms, without start timestamps.
    pub histograms: WindowSums,
    /// Exemplars.
    pub exemplars: WindowSums,
    /// Start timestamps of floats and histograms that have one: other systems do not keep them.
    pub start_timestamps: WindowSums,
}

impl Digests {
    /// Adds rows of all kinds.
    pub fn add(&mut self, runs: &SeriesRuns) {
        self.add_samples(RunSlice::from(&runs.samples));
        self.add_histograms(&runs.histograms);
        self.add_exemplars(&runs.exemplars);
    }

    /// Adds floats, whose times do not fall.
    pub fn add_samples(&mut self, run: RunSlice<'_>) {
        for rows in window_sums::stretches(run.timestamps) {
            let times = &run.timestamps[rows.clone()];
            let values = &run.values[rows.clone()];
            let sum = |sum: u64, (&time, &value): (&i64, &f64)| sum.wrapping_add(of_sample(time, value));
            self.samples.add(times[0], times.iter().zip(values).fold(0, sum));
            if let Some(starts) = run.start_timestamps.get(rows).filter(|starts| !starts.is_empty()) {
                self.add_starts(times, starts);
            }
        }
    }

    /// Adds histograms, whose times do not fall.
    pub fn add_histograms(&mut self, run: &HistogramRun) {
        let mut row_bytes = Vec::new();
        for row in run.iter() {
            row_bytes.clear();
            row_bytes.extend_from_slice(&row.timestamp.to_le_bytes());
            row_bytes.extend_from_slice(row.canonical);
            self.histograms.add(row.timestamp, xxh3_64(&row_bytes));
            self.add_starts(&[row.timestamp], &[row.start_timestamp]);
        }
    }

    /// Adds exemplars.
    pub fn add_exemplars(&mut self, run: &ExemplarRun) {
        let mut row_bytes = Vec::new();
        for exemplar in run.as_slice() {
            row_bytes.clear();
            row_bytes.extend_from_slice(&exemplar.timestamp.to_le_bytes());
            row_bytes.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
            row_bytes.extend_from_slice(exemplar.labels.as_bytes());
            self.exemplars.add(exemplar.timestamp, xxh3_64(&row_bytes));
        }
    }

    /// Forgets the rows, keeps the memory.
    pub fn clear(&mut self) {
        for sums in self.by_kind_mut() {
            sums.clear();
        }
    }

    /// All of one window of time.
    fn add_starts(&mut self, times: &[i64], starts: &[i64]) {
        for (&time, &start) in times.iter().zip(starts) {
            if start != UNSET_START_TIMESTAMP {
                self.start_timestamps
                    .add(time, hash_of_two(time.cast_unsigned(), start.cast_unsigned()));
            }
        }
    }

    /// In the order of the columns that keep them.
    pub(crate) fn by_kind(&self) -> [&WindowSums; 4] {
        [&self.samples, &self.histograms, &self.exemplars, &self.start_timestamps]
    }

    pub(crate) fn by_kind_mut(&mut self) -> [&mut WindowSums; 4] {
        let Self {
            samples,
            histograms,
            exemplars,
            start_timestamps,
        } = self;
        [samples, histograms, exemplars, start_timestamps]
    }
}

/// The digest of one float: XXH3-64 of timestamp and bits of the value, 8 bytes each, little endian.
#[inline]
fn of_sample(timestamp: i64, value: f64) -> u64 {
    hash_of_two(timestamp.cast_unsigned(), value.to_bits())
}

/// XXH3-64 (seed 0) of two words, little endian. What the library does for 16 bytes, without finding out each time that there are 16.
#[inline]
fn hash_of_two(first: u64, second: u64) -> u64 {
    let (low, high) = (first ^ FLIPS[0], second ^ FLIPS[1]);
    let product = u128::from(low) * u128::from(high);
    let folded = (product >> 64) as u64 ^ product as u64;
    let mixed = low
        .swap_bytes()
        .wrapping_add(high)
        .wrapping_add(folded)
        .wrapping_add(16);
    let mixed = (mixed ^ (mixed >> 37)).wrapping_mul(0x1656_6791_9e37_79f9);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests;
