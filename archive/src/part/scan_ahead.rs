//! What a scan fetches before it is asked for: windows of the series table, and rows of the series that wait.

use std::sync::Arc;

use super::reader::OpenFiles;
use super::row_window::RowFile;
use super::table_ahead::{self, TableAhead};

/// How many bytes a scan may fetch before they are asked for, so that a store far away is not waited for at every step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AheadBytes {
    /// Of rows, each of floats and of histograms; held and under way together.
    pub rows: u64,
    /// Of the series table.
    pub series: u64,
}

/// What is fetched before it is asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) table: TableAhead,
    /// Of the series table.
    pub(super) window_bytes: u64,
    pub(super) samples: Option<RowFile>,
    pub(super) histograms: Option<RowFile>,
    pub(super) reading: Reading,
}

/// Whether rows will be asked for, and not only series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Series,
    Rows,
}

impl Ahead {
    pub(super) fn new(files: &Arc<OpenFiles>, most: AheadBytes, least_window: u64) -> Self {
        let of_rows = |file: &Option<RowFile>| file.as_ref().map(|file| file.with_ahead(most.rows));
        Self {
            table: TableAhead::default(),
            window_bytes: (most.series / table_ahead::WINDOWS).max(least_window),
            samples: of_rows(&files.samples),
            histograms: of_rows(&files.histograms),
            reading: Reading::Series,
        }
    }
}
