//! Decoding one batch of `histograms` back into what was sent.
//!
//! Only valid histograms are ever accepted, so one that is not was damaged, and everything behind this relies on their rules: it is
//! refused here. Lists are checked against each other before a histogram is made of them.

use std::ops::Range;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Float64Type, Int8Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Counts, Histogram, HistogramRun, ResetHint, Span, UNSET_START_TIMESTAMP};

use super::part_file::PartFile;
use super::schema;
use crate::ArchiveError;

/// The columns to read beside times.
pub(super) const COLUMNS: [&str; 17] = [
    schema::RESET_HINT,
    schema::SCHEMA,
    schema::ZERO_THRESHOLD,
    schema::SUM,
    schema::COUNT,
    schema::ZERO_COUNT,
    schema::FLOAT_COUNT,
    schema::FLOAT_ZERO_COUNT,
    schema::POSITIVE_SPAN_OFFSETS,
    schema::POSITIVE_SPAN_LENGTHS,
    schema::POSITIVE_BUCKETS,
    schema::FLOAT_POSITIVE_BUCKETS,
    schema::NEGATIVE_SPAN_OFFSETS,
    schema::NEGATIVE_SPAN_LENGTHS,
    schema::NEGATIVE_BUCKETS,
    schema::FLOAT_NEGATIVE_BUCKETS,
    schema::CUSTOM_VALUES,
];

/// Appends all rows of a batch, which may be of several series. `number` gives the row of the file for a row of the batch.
pub(super) fn decode(
    file: &PartFile,
    batch: &RecordBatch,
    number: &dyn Fn(usize) -> u64,
    out: &mut HistogramRun,
) -> Result<(), ArchiveError> {
    let columns =
        HistogramBatch::new(batch).ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
    let mut histogram = Histogram::default();
    for row in 0..batch.num_rows() {
        let read = columns.read(row, &mut histogram).map_err(str::to_owned);
        let is_valid = read.and_then(|()| histogram.validate().map_err(|fault| fault.to_string()));
        is_valid.map_err(|reason| file.corrupt(format!("histogram in row {}: {reason}", number(row))))?;
        let start = columns.starts.filter(|starts| starts.is_valid(row));
        let start = start.map_or(UNSET_START_TIMESTAMP, |starts| starts.value(row));
        out.push(columns.timestamps.value(row), start, &histogram);
    }
    Ok(())
}

/// The columns of one batch.
struct HistogramBatch<'a> {
    timestamps: &'a PrimitiveArray<TimestampMillisecondType>,
    /// None when the group has no start timestamps.
    starts: Option<&'a PrimitiveArray<TimestampMillisecondType>>,
    reset_hints: &'a PrimitiveArray<Int8Type>,
    schemas: &'a PrimitiveArray<Int32Type>,
    zero_thresholds: &'a Float64Array,
    sums: &'a Float64Array,
    counts: &'a Int64Array,
    zero_counts: &'a Int64Array,
    float_counts: &'a Float64Array,
    float_zero_counts: &'a Float64Array,
    positive: SpanBatch<'a>,
    negative: SpanBatch<'a>,
    custom_values: Lists<'a, Float64Type>,
}

/// Spans and buckets of one sign.
struct SpanBatch<'a> {
    offsets: Lists<'a, Int32Type>,
    lengths: Lists<'a, Int64Type>,
    buckets: Lists<'a, Int64Type>,
    float_buckets: Lists<'a, Float64Type>,
}

/// Lists of numbers, one for each row.
struct Lists<'a, P: ArrowPrimitiveType> {
    offsets: &'a OffsetBuffer<i32>,
    values: &'a PrimitiveArray<P>,
}

impl<'a, P: ArrowPrimitiveType> Lists<'a, P> {
    fn new(batch: &'a RecordBatch, name: &str) -> Option<Self> {
        let lists = batch.column_by_name(name)?.as_list_opt::<i32>()?;
        let values = lists.values().as_primitive_opt::<P>()?;
        (values.null_count() == 0).then_some(Self {
            offsets: lists.offsets(),
            values,
        })
    }

    fn row(&self, row: usize) -> &'a [P::Native] {
        let offset = |i: usize| usize::try_from(self.offsets[i]).unwrap_or(0);
        let range: Range<usize> = offset(row)..offset(row + 1);
        self.values.values().get(range).unwrap_or_default()
    }
}

impl<'a> SpanBatch<'a> {
    fn new(batch: &'a RecordBatch, names: [&str; 4]) -> Option<Self> {
        Some(Self {
            offsets: Lists::new(batch, names[0])?,
            lengths: Lists::new(batch, names[1])?,
            buckets: Lists::new(batch, names[2])?,
            float_buckets: Lists::new(batch, names[3])?,
        })
    }

    /// Reads the spans of a row; how many buckets they describe.
    fn spans(&self, row: usize, spans: &mut Vec<Span>) -> Result<u64, &'static str> {
        let (offsets, lengths) = (self.offsets.row(row), self.lengths.row(row));
        if offsets.len() != lengths.len() {
            return Err("it has spans without a length or an offset");
        }
        spans.clear();
        let mut described = 0_u64;
        for (&offset, &length) in offsets.iter().zip(lengths) {
            let length = u32::try_from(length).map_err(|_| "a span has an impossible length")?;
            described += u64::from(length);
            spans.push(Span { offset, length });
        }
        Ok(described)
    }
}

impl<'a> HistogramBatch<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        let column = |name| batch.column_by_name(name);
        let floats = |name| column(name)?.as_primitive_opt::<Float64Type>();
        let numbers = |name| column(name)?.as_primitive_opt::<Int64Type>();
        let starts = column(schema::START_TIMESTAMP);
        Some(Self {
            timestamps: column(schema::TIMESTAMP)?.as_primitive_opt()?,
            starts: starts.and_then(|starts| starts.as_primitive_opt()),
            reset_hints: column(schema::RESET_HINT)?.as_primitive_opt()?,
            schemas: column(schema::SCHEMA)?.as_primitive_opt()?,
            zero_thresholds: floats(schema::ZERO_THRESHOLD)?,
            sums: floats(schema::SUM)?,
            counts: numbers(schema::COUNT)?,
            zero_counts: numbers(schema::ZERO_COUNT)?,
            float_counts: floats(schema::FLOAT_COUNT)?,
            float_zero_counts: floats(schema::FLOAT_ZERO_COUNT)?,
            positive: SpanBatch::new(
                batch,
                [
                    schema::POSITIVE_SPAN_OFFSETS,
                    schema::POSITIVE_SPAN_LENGTHS,
                    schema::POSITIVE_BUCKETS,
                    schema::FLOAT_POSITIVE_BUCKETS,
                ],
            )?,
            negative: SpanBatch::new(
                batch,
                [
                    schema::NEGATIVE_SPAN_OFFSETS,
                    schema::NEGATIVE_SPAN_LENGTHS,
                    schema::NEGATIVE_BUCKETS,
                    schema::FLOAT_NEGATIVE_BUCKETS,
                ],
            )?,
            custom_values: Lists::new(batch, schema::CUSTOM_VALUES)?,
        })
    }

    /// Reads one row; its memory is kept.
    fn read(&self, row: usize, histogram: &mut Histogram) -> Result<(), &'static str> {
        histogram.sum = self.sums.value(row);
        histogram.schema = self.schemas.value(row);
        histogram.zero_threshold = self.zero_thresholds.value(row);
        histogram.reset_hint = match self.reset_hints.value(row) {
            hint @ 0..=3 => ResetHint::from_number(i32::from(hint)),
            _ => return Err("it has an unknown reset hint"),
        };
        let positive = self.positive.spans(row, &mut histogram.positive_spans)?;
        let negative = self.negative.spans(row, &mut histogram.negative_spans)?;
        histogram.custom_values.clear();
        histogram.custom_values.extend_from_slice(self.custom_values.row(row));
        let whole = [self.positive.buckets.row(row), self.negative.buckets.row(row)];
        let float = [
            self.positive.float_buckets.row(row),
            self.negative.float_buckets.row(row),
        ];
        let is_of = |counts: &dyn Array, zero_counts: &dyn Array| counts.is_valid(row) && zero_counts.is_valid(row);
        let is_none = |counts: &dyn Array, zero_counts: &dyn Array| counts.is_null(row) && zero_counts.is_null(row);
        let is_whole = is_of(self.counts, self.zero_counts) && is_none(self.float_counts, self.float_zero_counts);
        let is_float = is_none(self.counts, self.zero_counts) && is_of(self.float_counts, self.float_zero_counts);
        let (present, other) = match (is_whole, is_float) {
            (true, _) => (whole.map(<[i64]>::len), float.map(<[f64]>::len)),
            (_, true) => (float.map(<[f64]>::len), whole.map(<[i64]>::len)),
            _ => return Err("it has neither whole nor float counts"),
        };
        if present.map(|present| present as u64) != [positive, negative] || other != [0, 0] {
            return Err("it has other buckets than its spans describe");
        }
        histogram.counts = if is_whole {
            Counts::Integer {
                count: self.counts.value(row).cast_unsigned(),
                zero_count: self.zero_counts.value(row).cast_unsigned(),
                positive: whole[0].to_vec(),
                negative: whole[1].to_vec(),
            }
        } else {
            Counts::Float {
                count: self.float_counts.value(row),
                zero_count: self.float_zero_counts.value(row),
                positive: float[0].to_vec(),
                negative: float[1].to_vec(),
            }
        };
        Ok(())
    }
}
