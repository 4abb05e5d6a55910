//! Rows of a series that are not floats: histograms and exemplars, in order of arrival.

use emberkeep_model::{Exemplar, ExemplarRun, HistogramRun};

use crate::batch::BatchOthers;

/// What it costs to have any: its slot, and the table's reserve.
const OVERHEAD: usize = 2 * size_of::<(u32, Others)>();

/// Rows that are not floats.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) histograms: HistogramRun,
    pub(super) exemplars: ExemplarRun,
}

impl Others {
    /// Adds what a request holds, and returns by how many bytes it grew.
    pub(super) fn append(&mut self, batch: &BatchOthers<'_>) -> usize {
        let is_new = self.histograms.is_empty() && self.exemplars.is_empty();
        let mut grown = if is_new { OVERHEAD } else { 0 };
        let before = self.histograms.heap_bytes();
        self.histograms.append(batch.histograms, batch.histogram_range());
        grown += self.histograms.heap_bytes() - before;
        for exemplar in batch.exemplars {
            grown += size_of::<Exemplar>() + exemplar.labels.as_bytes().len() + 16;
            self.exemplars.push(exemplar.clone());
        }
        grown
    }
}
