//! The series of an answer: as they are archived, or with replicas merged.

use emberkeep_model::{Labels, SeriesRuns};

use crate::replicas::MergedScan;
use crate::{Conflicts, ReaderError, Scan};

/// A running read of the series of one query, in the order of their labels.
#[derive(Debug)]
pub struct SeriesReader {
    series: Series,
    left_out: Vec<String>,
}

#[derive(Debug)]
enum Series {
    Archived(Box<Scan>),
    Merged(Box<MergedScan>),
}

impl SeriesReader {
    pub(crate) fn archived(scan: Scan, left_out: Vec<String>) -> Self {
        Self {
            series: Series::Archived(Box::new(scan)),
            left_out,
        }
    }

    pub(crate) fn merged(scan: MergedScan, left_out: Vec<String>) -> Self {
        Self {
            series: Series::Merged(Box::new(scan)),
            left_out,
        }
    }

    /// Goes on to the next series that has a row in the range; [`Self::next_piece`] then gives its rows.
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub async fn next_series(&mut self) -> Result<Option<Labels>, ReaderError> {
        match &mut self.series {
            Series::Archived(scan) => scan.next_series().await,
            Series::Merged(scan) => scan.next_series().await,
        }
    }

    /// The next rows of the series, later than all before; false when there are no more.
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub async fn next_piece(&mut self, out: &mut SeriesRuns) -> Result<bool, ReaderError> {
        match &mut self.series {
            Series::Archived(scan) => scan.next_piece(out).await,
            Series::Merged(scan) => scan.next_piece(out).await,
        }
    }

    /// The next label set that the sources list for the range, without reading rows; see [`Scan::next_labels`].
    ///
    /// # Errors
    /// When a source cannot be read.
    pub async fn next_labels(&mut self) -> Result<Option<Labels>, ReaderError> {
        match &mut self.series {
            Series::Archived(scan) => scan.next_labels().await,
            Series::Merged(scan) => scan.next_labels().await,
        }
    }

    /// Rows of the series that are behind that lost against a different one.
    #[must_use]
    pub fn conflicts(&self) -> Conflicts {
        match &self.series {
            Series::Archived(scan) => scan.conflicts().clone(),
            Series::Merged(scan) => scan.conflicts(),
        }
    }

    /// Number of parts that are read.
    #[must_use]
    pub fn parts(&self) -> usize {
        match &self.series {
            Series::Archived(scan) => scan.parts(),
            Series::Merged(scan) => scan.parts(),
        }
    }

    /// Heads that are missing in what is read, because they could not be asked and partial answers are allowed.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
}
