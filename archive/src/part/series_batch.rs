//! The columns of one batch of the series table.

use std::ops::Range;

use arrow::array::{AsArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use super::label_batch::LabelBatch;
use super::schema;

/// The columns of one batch of the series table.
pub(super) struct SeriesBatch<'a> {
    pub(super) tenants: &'a StringArray,
    pub(super) labels: LabelBatch<'a>,
    pub(super) min_times: &'a TimestampMillisecondArray,
    pub(super) max_times: &'a TimestampMillisecondArray,
    pub(super) samples: RowsBatch<'a>,
    pub(super) histograms: RowsBatch<'a>,
    pub(super) exemplars: RowsBatch<'a>,
}

/// Where the rows of one kind lie; no columns when the version had no such kind.
pub(super) struct RowsBatch<'a>(Option<(&'a Int64Array, &'a Int64Array)>);

impl<'a> RowsBatch<'a> {
    fn new(batch: &'a RecordBatch, [start, count]: [&str; 2]) -> Option<Self> {
        let number = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        Some(Self(Some((number(start)?, number(count)?))))
    }

    /// Rows that can be; none of them for a kind that is not there.
    pub(super) fn row(&self, row: usize) -> Option<Range<u64>> {
        let Some((starts, counts)) = self.0 else {
            return Some(0..0);
        };
        let start = u64::try_from(starts.value(row)).ok()?;
        let count = u64::try_from(counts.value(row)).ok()?;
        Some(start..start.checked_add(count)?)
    }
}

impl<'a> SeriesBatch<'a> {
    /// None when a column is not what it should be.
    pub(super) fn new(batch: &'a RecordBatch, has_all_kinds: bool) -> Option<Self> {
        let time = |name| {
            batch
                .column_by_name(name)?
                .as_primitive_opt::<TimestampMillisecondType>()
        };
        let newer = |names| match has_all_kinds {
            true => RowsBatch::new(batch, names),
            false => Some(RowsBatch(None)),
        };
        Some(Self {
            tenants: batch.column_by_name(schema::TENANT)?.as_string_opt::<i32>()?,
            labels: LabelBatch::new(batch)?,
            min_times: time(schema::MIN_TIME)?,
            max_times: time(schema::MAX_TIME)?,
            samples: RowsBatch::new(batch, [schema::SAMPLES_ROW_START, schema::SAMPLES_ROW_COUNT])?,
            histograms: newer([schema::HISTOGRAMS_ROW_START, schema::HISTOGRAMS_ROW_COUNT])?,
            exemplars: newer([schema::EXEMPLARS_ROW_START, schema::EXEMPLARS_ROW_COUNT])?,
        })
    }
}
