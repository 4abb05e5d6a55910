//! Rows of `series` on their way into the encoder.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, MapArray, StringArray, StringBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use emberkeep_model::{Labels, Run};

use super::schema;

/// Rows not yet handed to the encoder; all of one tenant.
#[derive(Debug, Default)]
pub(super) struct SeriesColumns {
    series_ids: Vec<i64>,
    metric_names: StringBuilder,
    label_names: StringBuilder,
    label_values: StringBuilder,
    label_counts: Vec<usize>,
    min_times: Vec<i64>,
    max_times: Vec<i64>,
    row_starts: Vec<i64>,
    row_counts: Vec<i64>,
}

impl SeriesColumns {
    pub(super) fn len(&self) -> usize {
        self.series_ids.len()
    }

    /// Adds a series whose samples are the run, from `row_start` on. The run is not empty.
    pub(super) fn push(&mut self, series_id: i64, labels: &Labels, run: &Run, row_start: u64) {
        self.series_ids.push(series_id);
        self.metric_names.append_value(labels.metric_name());
        let mut count = 0;
        for (name, value) in labels.iter() {
            self.label_names.append_value(name);
            self.label_values.append_value(value);
            count += 1;
        }
        self.label_counts.push(count);
        self.min_times.extend(run.timestamps.first());
        self.max_times.extend(run.timestamps.last());
        self.row_starts
            .push(i64::try_from(row_start).expect("a file has fewer than 2^63 rows"));
        self.row_counts
            .push(i64::try_from(run.len()).expect("a run has fewer than 2^63 rows"));
    }

    /// The rows as Arrow columns; none are left.
    pub(super) fn take_batch(&mut self, tenant: &str, part: i64) -> Result<RecordBatch, ParquetError> {
        let rows = self.len();
        let time = |times: &mut Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from(std::mem::take(times)).with_timezone("UTC"))
        };
        let number = |numbers: &mut Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(std::mem::take(numbers))) };
        let entries: Vec<ArrayRef> = vec![
            Arc::new(self.label_names.finish()),
            Arc::new(self.label_values.finish()),
        ];
        let labels = MapArray::try_new(
            schema::label_entries(),
            OffsetBuffer::from_lengths(std::mem::take(&mut self.label_counts)),
            StructArray::try_new(schema::label_fields(), entries, None)?,
            None,
            false,
        )?;
        let columns = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(tenant, rows))) as ArrayRef,
            Arc::new(Int64Array::from(vec![part; rows])),
            number(&mut self.series_ids),
            Arc::new(self.metric_names.finish()),
            Arc::new(labels),
            time(&mut self.min_times),
            time(&mut self.max_times),
            number(&mut self.row_starts),
            number(&mut self.row_counts),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&schema::SERIES), columns)?)
    }
}
