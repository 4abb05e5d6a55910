//! Counts and a digest of series and samples in order, to compare what was meant with what was read back.
//!
//! The digest covers each label byte, timestamp and value bit, and every field of a histogram, so equal tallies mean equal blocks.
//! It is never stored. What a chunk is free to hold in another way is not part of it: buckets without observations, the layout of
//! spans, hints about resets (which chunks say by where they begin), resolutions finer than Prometheus stores, and everything but
//! the sum of a stale marker.

use emberkeep_model::{Histogram, HistogramRun, Labels, Run, SeriesRuns};
use xxhash_rust::xxh3::Xxh3;

use super::content::Content;
use super::{StartTimestamps, Verification};
use crate::verify::observations;

/// Samples that are hashed together.
const BATCH: usize = 512;

/// A running count.
///
/// Floats, histograms and start timestamps are hashed apart, each with the series that they are of, so that the digest does not
/// depend on the pieces in which a series comes.
#[derive(Default)]
pub(super) struct Tally {
    starts: StartTimestamps,
    verification: Verification,
    series: u64,
    samples: u64,
    /// Floats and histograms of the series at work.
    of_series: [u64; 2],
    content: Content,
    floats: Xxh3,
    histograms: Xxh3,
    started: Xxh3,
    bytes: Vec<u8>,
    histogram: Histogram,
}

impl Tally {
    /// A tally that covers start timestamps, or leaves them out, as the block does. Without verification it has no digest.
    pub(super) fn new(starts: StartTimestamps, verification: Verification) -> Self {
        Self {
            starts,
            verification,
            ..Self::default()
        }
    }

    /// Begins the next series.
    pub(super) fn begin(&mut self, labels: &Labels) {
        self.series += 1;
        let [floats, histograms] = std::mem::take(&mut self.of_series);
        if self.verification == Verification::Full {
            // How much the series before had keeps its rows apart from the labels of this one.
            self.floats.update(&floats.to_le_bytes());
            self.floats.update(&histograms.to_le_bytes());
            self.floats.update(&(labels.as_bytes().len() as u64).to_le_bytes());
            self.floats.update(labels.as_bytes());
        }
    }

    /// Adds the next rows of the series.
    pub(super) fn add(&mut self, runs: &SeriesRuns) {
        let (floats, histograms) = (runs.samples.len() as u64, runs.histograms.len() as u64);
        self.samples += floats + histograms;
        self.of_series[0] += floats;
        self.of_series[1] += histograms;
        self.add_floats(&runs.samples);
        self.add_histograms(&runs.histograms);
    }

    fn add_floats(&mut self, run: &Run) {
        self.content.add_floats(run);
        if self.verification == Verification::LeftOut {
            return;
        }
        for (timestamps, values) in run.timestamps.chunks(BATCH).zip(run.values.chunks(BATCH)) {
            self.bytes.clear();
            for (timestamp, value) in timestamps.iter().zip(values) {
                let mut row = [0; 16];
                row[..8].copy_from_slice(&timestamp.to_le_bytes());
                row[8..].copy_from_slice(&value.to_bits().to_le_bytes());
                self.bytes.extend_from_slice(&row);
            }
            self.floats.update(&self.bytes);
        }
        if self.starts == StartTimestamps::Kept {
            let starts = run.timestamps.iter().zip(&run.start_timestamps);
            for (timestamp, start) in starts.filter(|(_, start)| **start != 0) {
                self.started.update(&self.series.to_le_bytes());
                self.started.update(&timestamp.to_le_bytes());
                self.started.update(&start.to_le_bytes());
            }
        }
    }

    fn add_histograms(&mut self, run: &HistogramRun) {
        for row in run.iter() {
            row.decode_into(&mut self.histogram);
            self.content.add_histogram(&self.histogram, row.start_timestamp);
            if self.verification == Verification::LeftOut {
                continue;
            }
            self.bytes.clear();
            self.bytes.extend_from_slice(&self.series.to_le_bytes());
            self.bytes.extend_from_slice(&row.timestamp.to_le_bytes());
            if self.starts == StartTimestamps::Kept {
                self.bytes.extend_from_slice(&row.start_timestamp.to_le_bytes());
            }
            self.histogram.reduce_to_stored();
            observations(&self.histogram, &mut self.bytes);
            self.histograms.update(&self.bytes);
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

    /// Of everything so far, floats, histograms, start timestamps.
    pub(super) fn digest(&self) -> ([u64; 2], [u128; 3]) {
        let hashes = [&self.floats, &self.histograms, &self.started];
        (self.of_series, hashes.map(Xxh3::digest128))
    }
}

#[cfg(test)]
mod tests;
