//! Rows of `series` on their way into the encoder.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use emberkeep_model::Labels;

use super::columns::{self, LabelColumn};
use super::{TimeSpan, schema};

/// Rows not yet handed to the encoder; all of one tenant.
#[derive(Debug, Default)]
pub(super) struct SeriesColumns {
    series_ids: Vec<i64>,
    metric_names: StringBuilder,
    labels: LabelColumn,
    min_times: Vec<i64>,
    max_times: Vec<i64>,
    samples: RowColumns,
    histograms: RowColumns,
    exemplars: RowColumns,
}

/// Where the rows of one kind lie.
#[derive(Debug, Default)]
struct RowColumns {
    starts: Vec<i64>,
    counts: Vec<i64>,
}

impl RowColumns {
    fn push(&mut self, rows: &Range<u64>) {
        let number = |n: u64| i64::try_from(n).expect("a file has fewer than 2^63 rows");
        self.starts.push(number(rows.start));
        self.counts.push(number(rows.end - rows.start));
    }

    fn take(&mut self) -> [ArrayRef; 2] {
        [columns::numbers(&mut self.starts), columns::numbers(&mut self.counts)]
    }
}

/// Where the rows of a series lie in each file; without any, where they would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowsByKind {
    pub(super) samples: Range<u64>,
    pub(super) histograms: Range<u64>,
    pub(super) exemplars: Range<u64>,
}

impl SeriesColumns {
    pub(super) fn len(&self) -> usize {
        self.series_ids.len()
    }

    /// Adds a series with its oldest and newest time.
    pub(super) fn push(&mut self, series_id: i64, labels: &Labels, times: TimeSpan, rows: &RowsByKind) {
        self.series_ids.push(series_id);
        self.metric_names.append_value(labels.metric_name());
        self.labels.push(labels);
        self.min_times.push(times.min_time);
        self.max_times.push(times.max_time);
        self.samples.push(&rows.samples);
        self.histograms.push(&rows.histograms);
        self.exemplars.push(&rows.exemplars);
    }

    /// The rows as Arrow columns; none are left.
    pub(super) fn take_batch(&mut self, tenant: &str, part: i64) -> Result<RecordBatch, ParquetError> {
        let rows = self.len();
        let mut columns = vec![
            columns::tenants(tenant, rows),
            columns::parts(part, rows),
            columns::numbers(&mut self.series_ids),
            Arc::new(self.metric_names.finish()),
            self.labels.take()?,
            columns::times(&mut self.min_times),
            columns::times(&mut self.max_times),
        ];
        columns.extend(self.samples.take());
        columns.extend(self.histograms.take());
        columns.extend(self.exemplars.take());
        Ok(RecordBatch::try_new(Arc::clone(&schema::SERIES), columns)?)
    }
}
