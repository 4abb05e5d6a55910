//! The columns of one batch of metadata.

use arrow::array::{Array, AsArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Metadata, MetricType, SeenMetadata};

use super::schema;

/// A row before the labels of its series are known.
pub(super) struct MetadataRow {
    pub(super) family: String,
    pub(super) series: Option<i64>,
    pub(super) seen: SeenMetadata,
}

/// The columns of one batch.
pub(super) struct MetadataBatch<'a> {
    pub(super) tenants: &'a StringArray,
    pub(super) families: &'a StringArray,
    series_ids: &'a Int64Array,
    pub(super) types: &'a StringArray,
    units: &'a StringArray,
    helps: &'a StringArray,
    first_seen: &'a TimestampMillisecondArray,
    last_seen: &'a TimestampMillisecondArray,
}

impl<'a> MetadataBatch<'a> {
    /// None when a column is not what it should be.
    pub(super) fn new(batch: &'a RecordBatch) -> Option<Self> {
        let text = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
        let time = |name| {
            batch
                .column_by_name(name)?
                .as_primitive_opt::<TimestampMillisecondType>()
        };
        Some(Self {
            tenants: text(schema::TENANT)?,
            families: text(schema::FAMILY)?,
            series_ids: batch
                .column_by_name(schema::SERIES_ID)?
                .as_primitive_opt::<Int64Type>()?,
            types: text(schema::TYPE)?,
            units: text(schema::UNIT)?,
            helps: text(schema::HELP)?,
            first_seen: time(schema::FIRST_SEEN)?,
            last_seen: time(schema::LAST_SEEN)?,
        })
    }

    /// None for a type that nobody knows.
    pub(super) fn row(&self, row: usize) -> Option<MetadataRow> {
        Some(MetadataRow {
            family: self.families.value(row).to_owned(),
            series: self.series_ids.is_valid(row).then(|| self.series_ids.value(row)),
            seen: SeenMetadata {
                metadata: Metadata {
                    metric_type: MetricType::parse(self.types.value(row))?,
                    unit: self.units.value(row).to_owned(),
                    help: self.helps.value(row).to_owned(),
                },
                first_seen: self.first_seen.value(row),
                last_seen: self.last_seen.value(row),
            },
        })
    }
}
