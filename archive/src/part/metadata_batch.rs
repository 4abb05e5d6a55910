//! The columns of one batch of metadata.

use std::ops::Range;

use arrow::array::{Array, AsArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Metadata, MetricType, SeenMetadata, TenantId};

use super::schema::{self, Form};
use super::series_batch::tenants;

/// A row before the labels of its series are known.
pub(super) struct MetadataRow {
    pub(super) family: String,
    pub(super) series: Option<SeriesPlace>,
    pub(super) seen: SeenMetadata,
}

/// Where a series stands in the series table, and what id it has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesPlace {
    pub(super) row: u64,
    pub(super) id: i64,
}

/// The columns of one batch.
pub(super) struct MetadataBatch<'a> {
    tenants: Option<&'a StringArray>,
    pub(super) families: &'a StringArray,
    series_ids: &'a Int64Array,
    series_rows: &'a Int64Array,
    pub(super) types: &'a StringArray,
    units: &'a StringArray,
    helps: &'a StringArray,
    first_seen: &'a TimestampMillisecondArray,
    last_seen: &'a TimestampMillisecondArray,
}

impl<'a> MetadataBatch<'a> {
    /// None when a column is not what it should be.
    pub(super) fn new(batch: &'a RecordBatch, form: Form) -> Option<Self> {
        let text = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
        let time = |name| {
            batch
                .column_by_name(name)?
                .as_primitive_opt::<TimestampMillisecondType>()
        };
        let number = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        Some(Self {
            tenants: tenants(batch, form)?,
            families: text(schema::FAMILY)?,
            series_ids: number(schema::SERIES_ID)?,
            series_rows: number(schema::SERIES_ROW)?,
            types: text(schema::TYPE)?,
            units: text(schema::UNIT)?,
            helps: text(schema::HELP)?,
            first_seen: time(schema::FIRST_SEEN)?,
            last_seen: time(schema::LAST_SEEN)?,
        })
    }

    /// Whether a row is of the tenant, in a file that may hold it.
    pub(super) fn is_of(&self, row: usize, tenant: &TenantId) -> bool {
        self.tenants.is_none_or(|tenants| tenants.value(row) == tenant.as_str())
    }

    /// Whether a row is of one of these series of the series table.
    pub(super) fn is_of_series(&self, row: usize, series_rows: &Range<i64>) -> bool {
        self.series_rows.is_valid(row) && series_rows.contains(&self.series_rows.value(row))
    }

    /// Whether a row says something of a family.
    pub(super) fn is_of_family(&self, row: usize) -> bool {
        !self.series_rows.is_valid(row) && !self.series_ids.is_valid(row)
    }

    /// What is wrong with it otherwise: a type that nobody knows, or a series that cannot be.
    pub(super) fn row(&self, row: usize) -> Result<MetadataRow, &'static str> {
        let metric_type = MetricType::parse(self.types.value(row)).ok_or("an unknown type")?;
        let series = match (self.series_ids.is_valid(row), self.series_rows.is_valid(row)) {
            (false, false) => None,
            (true, true) => Some(SeriesPlace {
                row: u64::try_from(self.series_rows.value(row)).map_err(|_| "a negative row of its series")?,
                id: self.series_ids.value(row),
            }),
            _ => return Err("a series without its row or its id"),
        };
        Ok(MetadataRow {
            family: self.families.value(row).to_owned(),
            series,
            seen: SeenMetadata {
                metadata: Metadata {
                    metric_type,
                    unit: self.units.value(row).to_owned(),
                    help: self.helps.value(row).to_owned(),
                },
                first_seen: self.first_seen.value(row),
                last_seen: self.last_seen.value(row),
            },
        })
    }
}
