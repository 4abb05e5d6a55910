//! What one request asks the head to hold: canonical labels and samples, in two flat arenas.
//!
//! Filled by [`crate::intake`] from a decoded body, the same way for a live request and for a replayed record. It must hold only
//! what the verdict accepted.

use std::ops::Range;

use emberkeep_model::Sample;

/// Accepted series of one request, in wire order; the same label set may occur many times.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    label_bytes: Vec<u8>,
    samples: Vec<Sample>,
    series: Vec<BatchSeries>,
}

#[derive(Debug)]
struct BatchSeries {
    labels: Range<usize>,
    samples: Range<usize>,
}

impl Batch {
    /// Adds a series by its canonical label bytes; its samples follow through [`Batch::push_sample`].
    pub(crate) fn push_series(&mut self, canonical: &[u8]) {
        let start = self.label_bytes.len();
        self.label_bytes.extend_from_slice(canonical);
        self.series.push(BatchSeries {
            labels: start..self.label_bytes.len(),
            samples: self.samples.len()..self.samples.len(),
        });
    }

    /// Adds a sample to the series pushed last.
    pub(crate) fn push_sample(&mut self, sample: Sample) {
        if let Some(series) = self.series.last_mut() {
            self.samples.push(sample);
            series.samples.end = self.samples.len();
        }
    }

    /// Canonical label bytes and samples of each series that has any.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[Sample])> {
        self.series
            .iter()
            .filter(|series| !series.samples.is_empty())
            .map(|series| {
                (
                    &self.label_bytes[series.labels.clone()],
                    &self.samples[series.samples.clone()],
                )
            })
    }

    /// Bytes held by labels, samples and series.
    pub(crate) fn bytes(&self) -> usize {
        self.label_bytes.len() + self.samples.len() * size_of::<Sample>() + self.series.len() * size_of::<BatchSeries>()
    }

    /// Number of samples.
    pub(crate) fn n_samples(&self) -> usize {
        self.samples.len()
    }
}
