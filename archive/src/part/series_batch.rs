//! The columns of one batch of the series table.

use std::ops::Range;

use arrow::array::{Array, AsArray, BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::TenantId;

use super::label_batch::LabelBatch;
use super::schema::{self, Form};
use crate::digest::Digests;

/// The columns of one batch of the series table.
pub(super) struct SeriesBatch<'a> {
    tenants: Option<&'a StringArray>,
    pub(super) labels: LabelBatch<'a>,
    pub(super) min_times: &'a TimestampMillisecondArray,
    pub(super) max_times: &'a TimestampMillisecondArray,
    pub(super) samples: RowsBatch<'a>,
    pub(super) histograms: RowsBatch<'a>,
    pub(super) exemplars: RowsBatch<'a>,
    digests: [Option<&'a BinaryArray>; 4],
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

/// The column of tenants of a flush; none in a file that has rows of one tenant alone. None at all when it should be there and is not.
pub(super) fn tenants(batch: &RecordBatch, form: Form) -> Option<Option<&StringArray>> {
    match form {
        Form::Floats | Form::Flush => Some(Some(batch.column_by_name(schema::TENANT)?.as_string_opt::<i32>()?)),
        Form::Compacted => Some(None),
    }
}

impl<'a> SeriesBatch<'a> {
    /// None when a column is not what it should be.
    pub(super) fn new(batch: &'a RecordBatch, form: Form) -> Option<Self> {
        let time = |name| {
            batch
                .column_by_name(name)?
                .as_primitive_opt::<TimestampMillisecondType>()
        };
        let newer = |names| match form {
            Form::Floats => Some(RowsBatch(None)),
            Form::Flush | Form::Compacted => RowsBatch::new(batch, names),
        };
        Some(Self {
            tenants: tenants(batch, form)?,
            labels: LabelBatch::new(batch)?,
            min_times: time(schema::MIN_TIME)?,
            max_times: time(schema::MAX_TIME)?,
            samples: RowsBatch::new(batch, [schema::SAMPLES_ROW_START, schema::SAMPLES_ROW_COUNT])?,
            histograms: newer([schema::HISTOGRAMS_ROW_START, schema::HISTOGRAMS_ROW_COUNT])?,
            exemplars: newer([schema::EXEMPLARS_ROW_START, schema::EXEMPLARS_ROW_COUNT])?,
            digests: schema::DIGESTS.map(|name| batch.column_by_name(name)?.as_binary_opt::<i32>()),
        })
    }

    /// Whether a row is of the tenant, in a file that may hold it.
    pub(super) fn is_of(&self, row: usize, tenant: &TenantId) -> bool {
        self.tenants.is_none_or(|tenants| tenants.value(row) == tenant.as_str())
    }

    /// The stored digests of a row; none when they cannot be. A file of which they were not asked for, or that has none, has none of
    /// any kind.
    pub(super) fn digests(&self, row: usize, day: Option<i32>) -> Option<Digests> {
        let mut digests = Digests::default();
        for (sums, column) in digests.by_kind_mut().into_iter().zip(self.digests) {
            if let Some(column) = column.filter(|column| column.is_valid(row)) {
                sums.read(day?, column.value(row))?;
            }
        }
        Some(digests)
    }
}
