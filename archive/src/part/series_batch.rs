//! The columns of one batch of the series table.

use arrow::array::{AsArray, BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::TenantId;

use super::label_batch::LabelBatch;
use super::schema::{self, Form};

/// The columns of one batch of the series table.
pub(super) struct SeriesBatch<'a> {
    tenants: Option<&'a StringArray>,
    pub(super) labels: LabelBatch<'a>,
    times: [&'a TimestampMillisecondArray; 2],
    /// None of a kind that the version did not have.
    rows: [Option<&'a Int64Array>; 6],
    digests: [Option<&'a BinaryArray>; 4],
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
        let number = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let rows = [
            number(schema::SAMPLES_ROW_START),
            number(schema::SAMPLES_ROW_COUNT),
            number(schema::HISTOGRAMS_ROW_START),
            number(schema::HISTOGRAMS_ROW_COUNT),
            number(schema::EXEMPLARS_ROW_START),
            number(schema::EXEMPLARS_ROW_COUNT),
        ];
        let needed = match form {
            Form::Floats => 2,
            Form::Flush | Form::Compacted => 6,
        };
        if rows[..needed].iter().any(Option::is_none) {
            return None;
        }
        Some(Self {
            tenants: tenants(batch, form)?,
            labels: LabelBatch::new(batch)?,
            times: [time(schema::MIN_TIME)?, time(schema::MAX_TIME)?],
            rows,
            digests: schema::DIGESTS.map(|name| batch.column_by_name(name)?.as_binary_opt::<i32>()),
        })
    }

    /// Whether a row is of the tenant, in a file that may hold it.
    pub(super) fn is_of(&self, row: usize, tenant: &TenantId) -> bool {
        self.tenants.is_none_or(|tenants| tenants.value(row) == tenant.as_str())
    }

    /// Times and row numbers, in the order of the file.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Option<&'a [i64]>> + use<'a> {
        let rows = self.rows.map(|column| column.map(|column| column.values().as_ref()));
        let times = self.times.map(|column| Some(column.values().as_ref()));
        times.into_iter().chain(rows)
    }

    /// Columns of digests; none that were not asked for, or are not there.
    pub(super) fn digest_columns(&self) -> [Option<&'a BinaryArray>; 4] {
        self.digests
    }
}
