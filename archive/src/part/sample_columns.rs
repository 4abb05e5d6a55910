//! Rows of `samples` on their way into the encoder, column by column.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int8Array, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use emberkeep_model::{Run, UNSET_START_TIMESTAMP};

use super::{columns, decimal, schema};

/// Rows not yet handed to the encoder; all of one tenant.
#[derive(Debug, Default)]
pub(super) struct SampleColumns {
    series_ids: Vec<i64>,
    timestamps: Vec<i64>,
    /// 0 where the value is raw.
    unscaled: Vec<i64>,
    scales: Vec<i8>,
    /// Row and value of what has no decimal; rare, so not a column.
    raw: Vec<(usize, f64)>,
    /// Empty as long as none is set.
    start_timestamps: Vec<i64>,
}

impl SampleColumns {
    pub(super) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Adds rows `rows` of a run whose scale is known.
    pub(super) fn push(&mut self, series_id: i64, scale: u8, run: &Run, rows: std::ops::Range<usize>) {
        let before = self.len();
        let count = rows.len();
        self.series_ids.resize(before + count, series_id);
        self.scales
            .resize(before + count, i8::try_from(scale).expect("a scale is at most 15"));
        self.timestamps.extend_from_slice(&run.timestamps[rows.clone()]);
        self.unscaled.reserve(count);
        for (i, &value) in run.values[rows.clone()].iter().enumerate() {
            match decimal::unscaled(value, scale) {
                Some(unscaled) => self.unscaled.push(unscaled),
                None => {
                    self.unscaled.push(0);
                    self.raw.push((before + i, value));
                }
            }
        }
        if !run.start_timestamps.is_empty() {
            self.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
            self.start_timestamps.extend_from_slice(&run.start_timestamps[rows]);
        } else if !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(before + count, UNSET_START_TIMESTAMP);
        }
    }

    /// The rows as Arrow columns; none are left.
    pub(super) fn take_batch(&mut self, tenant: &str, part: i64) -> Result<RecordBatch, ParquetError> {
        let rows = self.len();
        let (unscaled_valid, raw_value) = raw_columns(std::mem::take(&mut self.raw), rows);
        let unscaled = Int64Array::new(std::mem::take(&mut self.unscaled).into(), unscaled_valid);
        let columns: Vec<ArrayRef> = vec![
            columns::tenants(tenant, rows),
            columns::parts(part, rows),
            columns::numbers(&mut self.series_ids),
            columns::times(&mut self.timestamps),
            Arc::new(unscaled),
            Arc::new(Int8Array::from(std::mem::take(&mut self.scales))),
            Arc::new(raw_value),
            columns::start_times(&mut self.start_timestamps, rows),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&schema::SAMPLES), columns)?)
    }
}

/// Which rows have an unscaled value (none given = all), and the raw values of the others.
fn raw_columns(raw: Vec<(usize, f64)>, rows: usize) -> (Option<NullBuffer>, Float64Array) {
    if raw.is_empty() {
        return (None, Float64Array::new_null(rows));
    }
    let mut is_raw = vec![false; rows];
    let mut values = vec![0.0; rows];
    for (row, value) in raw {
        is_raw[row] = true;
        values[row] = value;
    }
    let is_raw = BooleanBuffer::from(is_raw);
    (
        Some(NullBuffer::new(!&is_raw)),
        Float64Array::new(values.into(), Some(NullBuffer::new(is_raw))),
    )
}
