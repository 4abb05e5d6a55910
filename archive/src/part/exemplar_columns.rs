//! Rows of `exemplars` on their way into the encoder.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use emberkeep_model::Exemplar;

use super::columns::{self, LabelColumn};
use super::schema;
use crate::FileKind;

/// Bytes that a row takes beside its labels.
const ROW_BYTES: usize = 40;

/// Rows not yet handed to the encoder; all of one tenant.
#[derive(Debug, Default)]
pub(super) struct ExemplarColumns {
    series_ids: Vec<i64>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
    labels: LabelColumn,
    bytes: usize,
}

impl ExemplarColumns {
    pub(super) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Bytes of the rows before encoding.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, series_id: i64, exemplar: &Exemplar) {
        self.series_ids.push(series_id);
        self.timestamps.push(exemplar.timestamp);
        self.values.push(exemplar.value);
        self.labels.push(&exemplar.labels);
        self.bytes += ROW_BYTES + exemplar.labels.as_bytes().len();
    }

    /// The rows as Arrow columns; none are left.
    pub(super) fn take_batch(&mut self, tenant: Option<&str>, part: i64) -> Result<RecordBatch, ParquetError> {
        let rows = self.len();
        self.bytes = 0;
        let mut columns = columns::of_all(tenant, part, rows);
        let own: Vec<ArrayRef> = vec![
            columns::numbers(&mut self.series_ids),
            columns::times(&mut self.timestamps),
            Arc::new(Float64Array::from(std::mem::take(&mut self.values))),
            self.labels.take()?,
        ];
        columns.extend(own);
        Ok(RecordBatch::try_new(
            schema::of(FileKind::Exemplars, columns::form(tenant)).clone(),
            columns,
        )?)
    }
}
