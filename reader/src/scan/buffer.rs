//! The rows that one source has shown of the series being merged, and that are not emitted yet.
//!
//! One kind in each: a source has a time line for each kind, and the merge must know of every one of them how far it has come.

use std::ops::Range;

use emberkeep_model::{Exemplar, ExemplarRun, HistogramRun, Run, SeriesRuns};

use super::hidden::Hidden;

/// Bytes of one float row: time, value, start timestamp.
pub(super) const FLOAT_BYTES: usize = 24;
/// Bytes of a row beside the canonical bytes of its histogram or labels.
const ROW_BYTES: usize = 24;
/// What a histogram is taken to weigh before the first is seen: more than usual, so that the first look is not a large one.
const HISTOGRAM_BYTES: usize = 16 * 1024;
/// What an exemplar is taken to weigh before the first is seen.
const EXEMPLAR_BYTES: usize = 512;

/// Rows of one kind, in time order.
#[derive(Debug)]
pub(super) enum Buffer {
    Floats(Run),
    Histograms(HistogramRun),
    Exemplars(ExemplarRun),
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(run) => run.len(),
            Self::Histograms(run) => run.len(),
            Self::Exemplars(run) => run.len(),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Floats(run) => run.clear(),
            Self::Histograms(run) => run.clear(),
            Self::Exemplars(run) => run.clear(),
        }
    }

    pub(super) fn timestamp(&self, i: usize) -> i64 {
        match self {
            Self::Floats(run) => run.timestamps[i],
            Self::Histograms(run) => run.timestamps()[i],
            Self::Exemplars(run) => run.as_slice()[i].timestamp,
        }
    }

    /// How many rows from position `from` on lie at or before a time.
    pub(super) fn count_until(&self, from: usize, horizon: i64) -> usize {
        let until = |times: &[i64]| times[from..].partition_point(|&t| t <= horizon);
        match self {
            Self::Floats(run) => until(&run.timestamps),
            Self::Histograms(run) => until(run.timestamps()),
            Self::Exemplars(run) => run.as_slice()[from..].partition_point(|e| e.timestamp <= horizon),
        }
    }

    /// The newest time below which the rows not read yet cannot lie, when there are such. Samples of one source rise strictly;
    /// exemplars may share a timestamp, so the rest of the last one may still come.
    pub(super) fn complete_until(&self) -> Option<i64> {
        let last = self.timestamp(self.len().checked_sub(1)?);
        match self {
            // A row that is not read may share the timestamp of the last one read only if its part breaks its own order.
            Self::Floats(_) | Self::Histograms(_) => Some(last),
            Self::Exemplars(_) => Some(last.saturating_sub(1)),
        }
    }

    /// Lets go of the hidden rows from position `from` on.
    pub(super) fn leave_out(&mut self, from: usize, hidden: &Hidden) {
        let Some(shown) = hidden.shown(from, self.len(), |position| self.timestamp(position)) else {
            return;
        };
        let kept = std::iter::once(0..from).chain(shown);
        match self {
            Self::Floats(run) => {
                let mut left = Run::default();
                kept.for_each(|rows| append_floats(run, rows, &mut left));
                *run = left;
            }
            Self::Histograms(run) => {
                let mut left = HistogramRun::default();
                kept.for_each(|rows| left.append(run, rows));
                *run = left;
            }
            Self::Exemplars(run) => *run = kept.flat_map(|rows| run.as_slice()[rows].iter().cloned()).collect(),
        }
    }

    /// What a row weighs before one was seen.
    pub(super) fn usual_row_bytes(&self) -> usize {
        match self {
            Self::Floats(_) => FLOAT_BYTES,
            Self::Histograms(_) => HISTOGRAM_BYTES,
            Self::Exemplars(_) => EXEMPLAR_BYTES,
        }
    }

    /// What the rows at some positions weigh.
    pub(super) fn bytes(&self, rows: Range<usize>) -> usize {
        match self {
            Self::Floats(_) => rows.len() * FLOAT_BYTES,
            Self::Histograms(run) => rows.map(|i| ROW_BYTES + run.row(i).canonical.len()).sum(),
            Self::Exemplars(run) => run.as_slice()[rows].iter().map(exemplar_bytes).sum(),
        }
    }

    /// Appends the rows at some positions.
    pub(super) fn append_to(&self, rows: Range<usize>, out: &mut SeriesRuns) {
        match self {
            Self::Floats(run) => append_floats(run, rows, &mut out.samples),
            Self::Histograms(run) => out.histograms.append(run, rows),
            Self::Exemplars(run) => {
                for exemplar in &run.as_slice()[rows] {
                    out.exemplars.push(exemplar.clone());
                }
            }
        }
    }
}

fn exemplar_bytes(exemplar: &Exemplar) -> usize {
    size_of::<Exemplar>() + ROW_BYTES + exemplar.labels.as_bytes().len()
}

fn append_floats(from: &Run, rows: Range<usize>, to: &mut Run) {
    let before = to.len();
    if !from.start_timestamps.is_empty() && to.start_timestamps.is_empty() {
        to.start_timestamps.resize(before, 0);
    }
    to.timestamps.extend_from_slice(&from.timestamps[rows.clone()]);
    to.values.extend_from_slice(&from.values[rows.clone()]);
    if let Some(starts) = from.start_timestamps.get(rows) {
        to.start_timestamps.extend_from_slice(starts);
    } else if !to.start_timestamps.is_empty() {
        to.start_timestamps.resize(to.timestamps.len(), 0);
    }
}
