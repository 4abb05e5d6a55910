//! What a series holds beside floats: histograms, exemplars and metadata, in order of arrival.

use emberkeep_model::{Exemplar, ExemplarRun, HistogramRun};

use super::variants::Variants;
use crate::batch::BatchOthers;

/// What it costs to have anything beside floats: its slot, and the table's reserve.
const OVERHEAD: usize = 2 * size_of::<(u32, Others)>();

/// Rows that are not floats.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) histograms: HistogramRun,
    pub(super) exemplars: ExemplarRun,
    pub(super) metadata: Variants,
}

impl Others {
    /// Adds what a request holds, and returns by how many bytes it grew.
    pub(super) fn append(&mut self, batch: &BatchOthers<'_>, arrival: i64) -> usize {
        let is_new = self.histograms.is_empty() && self.exemplars.is_empty() && self.metadata.is_empty();
        let mut grown = if is_new { OVERHEAD } else { 0 };
        let before = self.histograms.heap_bytes();
        self.histograms.append(batch.histograms, batch.histogram_range());
        grown += self.histograms.heap_bytes() - before;
        for exemplar in batch.exemplars {
            grown += size_of::<Exemplar>() + exemplar.labels.as_bytes().len() + 16;
            self.exemplars.push(exemplar.clone());
        }
        if let Some(metadata) = batch.metadata {
            grown += self.metadata.see(metadata, arrival);
        }
        grown
    }
}
