//! Rows of `histograms` on their way into the encoder, column by column.
//!
//! Everything stands there as it was sent: spans with their gaps and empty ones, every float with its bits.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int8Array, Int32Array, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use emberkeep_model::{Counts, Histogram, HistogramRow, Span};

use super::columns::{self, Lists};
use super::schema;
use crate::FileKind;

/// Bytes that a row takes beside its lists.
const ROW_BYTES: usize = 96;

/// Rows not yet handed to the encoder; all of one tenant.
#[derive(Debug, Default)]
pub(super) struct HistogramColumns {
    series_ids: Vec<i64>,
    timestamps: Vec<i64>,
    start_timestamps: Vec<i64>,
    reset_hints: Vec<i8>,
    schemas: Vec<i32>,
    zero_thresholds: Vec<f64>,
    sums: Vec<f64>,
    is_float: Vec<bool>,
    /// 0 in the flavour that a row does not have.
    counts: Vec<i64>,
    zero_counts: Vec<i64>,
    float_counts: Vec<f64>,
    float_zero_counts: Vec<f64>,
    positive: SpanColumns,
    negative: SpanColumns,
    custom_values: Lists<f64>,
    bytes: usize,
    /// Reused, so that rows cost no allocation.
    histogram: Histogram,
}

/// Spans and buckets of one sign.
#[derive(Debug, Default)]
struct SpanColumns {
    offsets: Lists<i32>,
    lengths: Lists<i64>,
    buckets: Lists<i64>,
    float_buckets: Lists<f64>,
}

impl SpanColumns {
    fn push(&mut self, spans: &[Span], buckets: &[i64], float_buckets: &[f64]) -> usize {
        self.offsets.push(spans.iter().map(|span| span.offset));
        self.lengths.push(spans.iter().map(|span| i64::from(span.length)));
        self.buckets.push(buckets.iter().copied());
        self.float_buckets.push(float_buckets.iter().copied());
        12 * spans.len() + 8 * (buckets.len() + float_buckets.len())
    }

    fn take(&mut self) -> Result<[ArrayRef; 4], ParquetError> {
        Ok([
            self.offsets.take::<Int32Type>()?,
            self.lengths.take::<Int64Type>()?,
            self.buckets.take::<Int64Type>()?,
            self.float_buckets.take::<Float64Type>()?,
        ])
    }
}

impl HistogramColumns {
    pub(super) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Bytes of the rows before encoding.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, series_id: i64, row: &HistogramRow<'_>) {
        row.decode_into(&mut self.histogram);
        let histogram = &self.histogram;
        self.series_ids.push(series_id);
        self.timestamps.push(row.timestamp);
        self.start_timestamps.push(row.start_timestamp);
        self.reset_hints.push(histogram.reset_hint as i8);
        self.schemas.push(histogram.schema);
        self.zero_thresholds.push(histogram.zero_threshold);
        self.sums.push(histogram.sum);
        self.is_float.push(histogram.is_float());
        let (whole, float, positive, negative) = match &histogram.counts {
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            } => {
                let whole = (count.cast_signed(), zero_count.cast_signed());
                (
                    whole,
                    (0.0, 0.0),
                    (positive.as_slice(), &[][..]),
                    (negative.as_slice(), &[][..]),
                )
            }
            Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            } => (
                (0, 0),
                (*count, *zero_count),
                (&[][..], positive.as_slice()),
                (&[][..], negative.as_slice()),
            ),
        };
        self.counts.push(whole.0);
        self.zero_counts.push(whole.1);
        self.float_counts.push(float.0);
        self.float_zero_counts.push(float.1);
        let positive = self.positive.push(&histogram.positive_spans, positive.0, positive.1);
        let negative = self.negative.push(&histogram.negative_spans, negative.0, negative.1);
        self.custom_values.push(histogram.custom_values.iter().copied());
        self.bytes += ROW_BYTES + positive + negative + 8 * histogram.custom_values.len();
    }

    /// The rows as Arrow columns; none are left.
    pub(super) fn take_batch(&mut self, tenant: Option<&str>, part: i64) -> Result<RecordBatch, ParquetError> {
        let rows = self.len();
        self.bytes = 0;
        let columns_form = columns::form(tenant);
        let is_float = BooleanBuffer::from(std::mem::take(&mut self.is_float));
        let (whole, float) = (NullBuffer::new(!&is_float), NullBuffer::new(is_float));
        let integers = |numbers: &mut Vec<i64>| -> ArrayRef {
            Arc::new(Int64Array::new(std::mem::take(numbers).into(), Some(whole.clone())))
        };
        let floats = |numbers: &mut Vec<f64>| -> ArrayRef {
            Arc::new(Float64Array::new(std::mem::take(numbers).into(), Some(float.clone())))
        };
        let mut columns = columns::of_all(tenant, part, rows);
        let own: Vec<ArrayRef> = vec![
            columns::numbers(&mut self.series_ids),
            columns::times(&mut self.timestamps),
            columns::start_times(&mut self.start_timestamps, rows),
            Arc::new(Int8Array::from(std::mem::take(&mut self.reset_hints))),
            Arc::new(Int32Array::from(std::mem::take(&mut self.schemas))),
            Arc::new(Float64Array::from(std::mem::take(&mut self.zero_thresholds))),
            Arc::new(Float64Array::from(std::mem::take(&mut self.sums))),
            integers(&mut self.counts),
            integers(&mut self.zero_counts),
            floats(&mut self.float_counts),
            floats(&mut self.float_zero_counts),
        ];
        columns.extend(own);
        columns.extend(self.positive.take()?);
        columns.extend(self.negative.take()?);
        columns.push(self.custom_values.take::<Float64Type>()?);
        Ok(RecordBatch::try_new(
            schema::of(FileKind::Histograms, columns_form).clone(),
            columns,
        )?)
    }
}
