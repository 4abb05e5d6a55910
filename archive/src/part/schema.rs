//! Columns of the files, and how each is encoded (`docs/formats/parts.md`).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::PartSettings;
use crate::ArchiveError;

pub(super) const TENANT: &str = "tenant";
pub(super) const PART: &str = "part";
pub(super) const SERIES_ID: &str = "series_id";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const UNSCALED: &str = "unscaled";
pub(super) const SCALE: &str = "scale";
pub(super) const RAW_VALUE: &str = "raw_value";
pub(super) const START_TIMESTAMP: &str = "start_timestamp";
pub(super) const METRIC_NAME: &str = "metric_name";
pub(super) const LABELS: &str = "labels";
pub(super) const MIN_TIME: &str = "min_time";
pub(super) const MAX_TIME: &str = "max_time";
pub(super) const SAMPLES_ROW_START: &str = "samples_row_start";
pub(super) const SAMPLES_ROW_COUNT: &str = "samples_row_count";

/// Larger dictionaries are given up, because a reader holds a whole one for each open part.
const DICTIONARY_BYTES: usize = 128 << 10;

/// Of the ids there is one per series, and giving them up would cost eight bytes per sample.
const ID_DICTIONARY_BYTES: usize = 4 << 20;

pub(super) static SAMPLES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(TENANT, DataType::Utf8, false),
        Field::new(PART, DataType::Int64, false),
        Field::new(SERIES_ID, DataType::Int64, false),
        Field::new(TIMESTAMP, timestamp(), false),
        Field::new(UNSCALED, DataType::Int64, true),
        Field::new(SCALE, DataType::Int8, false),
        Field::new(RAW_VALUE, DataType::Float64, true),
        Field::new(START_TIMESTAMP, timestamp(), true),
    ]))
});

pub(super) static SERIES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(TENANT, DataType::Utf8, false),
        Field::new(PART, DataType::Int64, false),
        Field::new(SERIES_ID, DataType::Int64, false),
        Field::new(METRIC_NAME, DataType::Utf8, false),
        Field::new(LABELS, DataType::Map(label_entries(), false), false),
        Field::new(MIN_TIME, timestamp(), false),
        Field::new(MAX_TIME, timestamp(), false),
        Field::new(SAMPLES_ROW_START, DataType::Int64, false),
        Field::new(SAMPLES_ROW_COUNT, DataType::Int64, false),
    ]))
});

/// `TIMESTAMP(MILLIS, UTC)`.
fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The names that the Parquet specification gives to the parts of a map; other engines look for them.
pub(super) fn label_entries() -> Arc<Field> {
    Arc::new(Field::new("key_value", DataType::Struct(label_fields()), false))
}

pub(super) fn label_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ])
}

pub(super) fn samples_properties(settings: &PartSettings) -> Result<WriterProperties, ArchiveError> {
    // A page ends with the write that fills it, for every column alike: batches are smaller than a page, and the encoder must
    // not cut them further (`write_batch_size`).
    let builder = common(settings, settings.sample_page_rows, settings.sample_page_rows)?
        .set_max_row_group_row_count(Some(settings.sample_group_rows))
        .set_column_dictionary_page_size_limit(column(&[SERIES_ID]), ID_DICTIONARY_BYTES)
        // Engines disagree on what a minimum is when there are NaN.
        .set_column_statistics_enabled(column(&[RAW_VALUE]), EnabledStatistics::None);
    Ok(delta(builder, &[TIMESTAMP, UNSCALED]).build())
}

pub(super) fn series_properties(settings: &PartSettings) -> Result<WriterProperties, ArchiveError> {
    // Of a map the encoder counts labels, not rows.
    let builder = common(settings, settings.series_page_rows, 1 << 20)?
        .set_max_row_group_row_count(Some(settings.series_group_rows))
        .set_column_dictionary_enabled(column(&[SERIES_ID]), false)
        .set_column_statistics_enabled(column(&[LABELS, "key_value", "key"]), EnabledStatistics::None)
        .set_column_statistics_enabled(column(&[LABELS, "key_value", "value"]), EnabledStatistics::None);
    let mut builder = delta(builder, &[MIN_TIME, MAX_TIME, SAMPLES_ROW_START, SAMPLES_ROW_COUNT]);
    // What is a few bytes for each page gains nothing, and costs a reader a context for each column and open part.
    for name in [TENANT, PART, SAMPLES_ROW_START, SAMPLES_ROW_COUNT] {
        builder = builder.set_column_compression(column(&[name]), Compression::UNCOMPRESSED);
    }
    Ok(builder.build())
}

fn common(
    settings: &PartSettings,
    page_rows: usize,
    write_batch: usize,
) -> Result<WriterPropertiesBuilder, ArchiveError> {
    let level = ZstdLevel::try_new(settings.zstd_level).map_err(|error| ArchiveError::Invalid(error.to_string()))?;
    Ok(WriterProperties::builder()
        .set_created_by(format!("emberkeep {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(level))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(write_batch.max(page_rows)))
}

fn delta(mut builder: WriterPropertiesBuilder, columns: &[&str]) -> WriterPropertiesBuilder {
    for name in columns {
        builder = builder
            .set_column_dictionary_enabled(column(&[name]), false)
            .set_column_encoding(column(&[name]), Encoding::DELTA_BINARY_PACKED);
    }
    builder
}

fn column(steps: &[&str]) -> ColumnPath {
    ColumnPath::new(steps.iter().map(|&step| step.to_owned()).collect())
}
