//! Counts and a digest of series and samples in order, to compare what was meant with what was read back.
//!
//! The digest covers each label byte, timestamp and value bit, and every field of a histogram, so equal tallies mean equal blocks.
//! It is never stored. What a chunk is free to hold in another way is not part of it: buckets without observations, the layout of
//! spans, hints about resets (which chunks say by where they begin), resolutions finer than Prometheus stores, and everything but
//! the sum of a stale marker.

use emberkeep_model::{Histogram, HistogramRun, Labels, Run, SeriesRuns};
use xxhash_rust::xxh3::Xxh3;

use super::StartTimestamps;
use super::content::Content;
use crate::verify::observations;

/// Samples that are hashed together.
const BATCH: usize = 512;

/// A running count.
#[derive(Default)]
pub(super) struct Tally {
    starts: StartTimestamps,
    series: u64,
    samples: u64,
    content: Content,
    hash: Xxh3,
    bytes: Vec<u8>,
    histogram: Histogram,
}

impl Tally {
    /// A tally that covers start timestamps, or leaves them out, as the block does.
    pub(super) fn new(starts: StartTimestamps) -> Self {
        Self {
            starts,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, labels: &Labels, runs: &SeriesRuns) {
        let (floats, histograms) = (runs.samples.len() as u64, runs.histograms.len() as u64);
        self.series += 1;
        self.samples += floats + histograms;
        self.hash.update(&(labels.as_bytes().len() as u64).to_le_bytes());
        self.hash.update(labels.as_bytes());
        self.hash.update(&floats.to_le_bytes());
        self.hash.update(&histograms.to_le_bytes());
        self.floats(&runs.samples);
        self.histograms(&runs.histograms);
    }

    fn floats(&mut self, run: &Run) {
        self.content.add_floats(run);
        for (timestamps, values) in run.timestamps.chunks(BATCH).zip(run.values.chunks(BATCH)) {
            self.bytes.clear();
            for (timestamp, value) in timestamps.iter().zip(values) {
                self.bytes.extend_from_slice(&timestamp.to_le_bytes());
                self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            self.hash.update(&self.bytes);
        }
        if self.starts == StartTimestamps::Kept && !run.start_timestamps.iter().all(|&start| start == 0) {
            for start in &run.start_timestamps {
                self.hash.update(&start.to_le_bytes());
            }
        }
    }

    fn histograms(&mut self, run: &HistogramRun) {
        for row in run.iter() {
            self.bytes.clear();
            self.bytes.extend_from_slice(&row.timestamp.to_le_bytes());
            if self.starts == StartTimestamps::Kept {
                self.bytes.extend_from_slice(&row.start_timestamp.to_le_bytes());
            }
            row.decode_into(&mut self.histogram);
            self.content.add_histogram(&self.histogram, row.start_timestamp);
            self.histogram.reduce_to_stored();
            observations(&self.histogram, &mut self.bytes);
            self.hash.update(&self.bytes);
        }
    }

    /// Series and samples.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.series, self.samples)
    }

    /// The samples by kind.
    pub(super) fn into_content(self) -> Content {
        self.content
    }

    pub(super) fn digest(&self) -> u128 {
        self.hash.digest128()
    }
}

#[cfg(test)]
mod tests;
