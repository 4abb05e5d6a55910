//! What the blocks of an export are made of, by kind of sample, and which Prometheus reads them.
//!
//! Kept in the state file for each block, so that a run that completes another one still says it of all blocks.

use std::collections::BTreeMap;

use emberkeep_model::{Histogram, Run};
use emberkeep_tsdb::{BlockContent, Encoding, PrometheusVersion};
use serde::{Deserialize, Serialize};

use crate::Conflicts;
use emberkeep_model::excerpt::{QUOTED_BYTES_MAX, excerpt};

/// A kind of samples, as people call it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The encodings that chunks of this kind have.
    encodings: [Encoding; 2],
    samples: fn(&Content) -> u64,
}

/// All kinds, in the order of the table.
pub(super) const KINDS: [Kind; 3] = [
    Kind {
        name: "floats",
        encodings: [Encoding::Xor, Encoding::Xor2],
        samples: |content| content.floats,
    },
    Kind {
        name: "histograms",
        encodings: [Encoding::Histogram, Encoding::HistogramSt],
        samples: |content| content.histograms,
    },
    Kind {
        name: "float histograms",
        encodings: [Encoding::FloatHistogram, Encoding::FloatHistogramSt],
        samples: |content| content.float_histograms,
    },
];

/// Counts of one block, or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    floats: u64,
    histograms: u64,
    float_histograms: u64,
    /// Histograms of both flavours that have bounds of their own.
    custom_bucket_histograms: u64,
    /// Samples of all kinds with a start timestamp, in the block or not.
    start_timestamps: u64,
    /// Chunks by the number of their encoding.
    chunks: BTreeMap<u8, u64>,
    custom_bucket_chunks: u64,
    /// Samples that are in no block, because a different one of the same series and time goes before them.
    #[serde(default)]
    conflicts: u64,
    /// A series that has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conflict_example: Option<String>,
}

impl Content {
    /// Counts the floats of a series.
    pub(super) fn add_floats(&mut self, run: &Run) {
        self.floats += run.len() as u64;
        let starts = run.start_timestamps.iter();
        self.start_timestamps += starts.filter(|&&start| start != 0).count() as u64;
    }

    /// Counts a histogram.
    pub(super) fn add_histogram(&mut self, histogram: &Histogram, start_timestamp: i64) {
        if histogram.is_float() {
            self.float_histograms += 1;
        } else {
            self.histograms += 1;
        }
        self.custom_bucket_histograms += u64::from(histogram.has_custom_buckets());
        self.start_timestamps += u64::from(start_timestamp != 0);
    }

    /// Notes the chunks that the samples became.
    pub(super) fn set_chunks(&mut self, block: &BlockContent) {
        self.chunks = block
            .encodings()
            .map(|encoding| (encoding as u8, block.chunks(encoding)))
            .collect();
        self.custom_bucket_chunks = block.custom_bucket_chunks();
    }

    /// Notes what the scan of the samples found to differ.
    pub(super) fn set_conflicts(&mut self, found: &Conflicts) {
        self.conflicts = found.rows;
        self.conflict_example = found.example.as_ref().map(|series| excerpt(series, QUOTED_BYTES_MAX));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.floats += other.floats;
        self.histograms += other.histograms;
        self.float_histograms += other.float_histograms;
        self.custom_bucket_histograms += other.custom_bucket_histograms;
        self.start_timestamps += other.start_timestamps;
        for (&encoding, &chunks) in &other.chunks {
            *self.chunks.entry(encoding).or_default() += chunks;
        }
        self.custom_bucket_chunks += other.custom_bucket_chunks;
        self.conflicts += other.conflicts;
        if self.conflict_example.is_none() {
            self.conflict_example.clone_from(&other.conflict_example);
        }
    }

    pub(super) fn samples(&self, kind: Kind) -> u64 {
        (kind.samples)(self)
    }

    /// The encodings of a kind that there are chunks of, and how many.
    pub(super) fn chunks(&self, kind: Kind) -> impl Iterator<Item = (Encoding, u64)> {
        kind.encodings.into_iter().filter_map(|encoding| {
            let count = *self.chunks.get(&(encoding as u8))?;
            Some((encoding, count))
        })
    }

    /// Histograms with bounds of their own, and their chunks.
    pub(super) fn custom_buckets(&self) -> (u64, u64) {
        (self.custom_bucket_histograms, self.custom_bucket_chunks)
    }

    /// Samples with a start timestamp.
    pub(super) fn start_timestamps(&self) -> u64 {
        self.start_timestamps
    }

    /// Samples that lost against a different one of the same series and time, and are not there.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// A series that has such samples, or its beginning when its labels are long.
    #[must_use]
    pub fn conflict_example(&self) -> Option<&str> {
        self.conflict_example.as_deref()
    }

    /// The first Prometheus that reads everything.
    pub(super) fn readable_since(&self) -> Option<PrometheusVersion> {
        let custom = (self.custom_bucket_chunks > 0).then_some(PrometheusVersion::CUSTOM_BUCKETS);
        let encodings = self.chunks.keys().filter_map(|&byte| Encoding::from_byte(byte));
        encodings.map(Encoding::readable_since).chain(custom).max()
    }
}
