//! Series that became equal because labels were taken off, for an export: refused, or one series with all their rows.
//!
//! Not how replicas are merged when they are asked for: there the samples of one are given. It must never leave out a row but for the
//! total order, and never join two series unless that was asked for.

use emberkeep_model::SeriesRuns;

use super::merged_scan::StreamScan;
use crate::{Conflicts, ReaderError};

/// What becomes of two series that are equal without the labels that were taken off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Doubles {
    /// An error that names both.
    #[default]
    Refused,
    /// One series with the rows of both; of two rows at one time the total order keeps one.
    Joined,
}

/// The series being read.
#[derive(Debug, Default)]
pub(super) struct SampleUnion {
    doubles: Doubles,
    streams: Vec<usize>,
    is_given: bool,
    conflicts: Conflicts,
}

impl SampleUnion {
    pub(super) fn new(doubles: Doubles) -> Self {
        Self {
            doubles,
            ..Self::default()
        }
    }

    /// Begins a series that some streams stand at.
    pub(super) fn start(&mut self, streams: &[usize]) {
        self.streams.clear();
        self.streams.extend_from_slice(streams);
        self.is_given = false;
    }

    /// Replaces `out` with the next rows; false when there are none. Rows of several streams are held until all are known.
    ///
    /// # Errors
    /// When a source cannot be read, or two streams have rows and that is refused.
    pub(super) async fn next_piece(
        &mut self,
        streams: &mut [StreamScan],
        out: &mut SeriesRuns,
    ) -> Result<bool, ReaderError> {
        out.clear();
        if let [only] = self.streams.as_slice() {
            return streams[*only].scan.next_piece(out).await;
        }
        if std::mem::replace(&mut self.is_given, true) {
            return Ok(false);
        }
        let mut with_rows: Option<usize> = None;
        let mut piece = SeriesRuns::default();
        for &stream in &self.streams {
            let rows_before = out.len();
            while streams[stream].scan.next_piece(&mut piece).await? {
                out.append(&piece);
            }
            if out.len() == rows_before {
                continue;
            }
            if let (Some(other), Doubles::Refused) = (with_rows, self.doubles) {
                return Err(equal(&streams[other], &streams[stream]));
            }
            with_rows = Some(stream);
        }
        let lost = out.settle();
        if lost > 0 {
            self.conflicts.rows += lost;
            let first = self
                .streams
                .first()
                .and_then(|&stream| streams[stream].archived.as_ref());
            self.conflicts.example = self.conflicts.example.take().or_else(|| first.cloned());
        }
        Ok(!out.is_empty())
    }

    /// Adds the rows that lost against one of another series.
    pub(super) fn add_conflicts(&self, all: &mut Conflicts) {
        all.rows += self.conflicts.rows;
        if all.example.is_none() {
            all.example.clone_from(&self.conflicts.example);
        }
    }
}

fn equal(first: &StreamScan, second: &StreamScan) -> ReaderError {
    let shown = |stream: &StreamScan| stream.archived.as_ref().map(ToString::to_string).unwrap_or_default();
    ReaderError::Bad(format!(
        "series {} and {} are the same without the labels that are stripped: strip fewer, select one of them with --match, or join \
         their samples with --join-equal",
        shown(first),
        shown(second)
    ))
}
