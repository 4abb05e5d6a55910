//! How the columns of each file are encoded, compressed and cut into pages (`docs/formats/parts.md`).

use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::PartSettings;
use super::run_column::DICTIONARY_BYTES;
use super::schema::*;
use crate::{ArchiveError, FileKind};

/// Of the ids there is one per series, and giving them up would cost eight bytes per sample.
pub(super) const ID_DICTIONARY_BYTES: usize = 4 << 20;

/// Of lists and maps the encoder counts elements, not rows: pages are to end with the write that fills them all the same.
const WHOLE_WRITE: usize = 1 << 20;

/// Pages of a column of histograms that make one page of a column whose rows are nearly always the same.
const EVEN_PAGES: usize = 8;

const LABEL_NAMES: [&str; 3] = [LABELS, "key_value", "key"];
const LABEL_VALUES: [&str; 3] = [LABELS, "key_value", "value"];

/// The columns of a file, as Parquet has them.
pub(super) fn columns(kind: FileKind, form: Form) -> SchemaDescriptor {
    let converted = ArrowSchemaConverter::new().convert(of(kind, form));
    converted.expect("every type of the schema is one of Parquet")
}

/// The properties of a file's writer.
pub(super) fn properties(kind: FileKind, settings: &PartSettings) -> Result<WriterProperties, ArchiveError> {
    match kind {
        // Their pages come encoded.
        FileKind::Samples | FileKind::Series => Ok(common(settings.zstd_level, WHOLE_WRITE, WHOLE_WRITE)?.build()),
        FileKind::Histograms => histograms(settings),
        FileKind::Exemplars => exemplars(settings),
        FileKind::Metadata => metadata(settings),
    }
}

fn histograms(settings: &PartSettings) -> Result<WriterProperties, ArchiveError> {
    let mut builder = common(settings.histogram_zstd_level, settings.histogram_page_rows, WHOLE_WRITE)?
        .set_max_row_group_row_count(Some(settings.sample_group_rows))
        .set_column_dictionary_page_size_limit(column(&[SERIES_ID]), ID_DICTIONARY_BYTES);
    for name in [ZERO_THRESHOLD, SUM, FLOAT_COUNT, FLOAT_ZERO_COUNT] {
        builder = without_statistics(builder, &[&[name]]);
    }
    // Nobody looks for a bucket by its count; statistics of lists would only make the page index larger.
    let lists = [
        POSITIVE_SPAN_OFFSETS,
        POSITIVE_SPAN_LENGTHS,
        POSITIVE_BUCKETS,
        FLOAT_POSITIVE_BUCKETS,
        NEGATIVE_SPAN_OFFSETS,
        NEGATIVE_SPAN_LENGTHS,
        NEGATIVE_BUCKETS,
        FLOAT_NEGATIVE_BUCKETS,
        CUSTOM_VALUES,
    ];
    for name in lists {
        builder = without_statistics(builder, &[&[name, "list", "element"]]);
    }
    let even_page_rows = EVEN_PAGES * settings.histogram_page_rows;
    // These are nearly always the same in all rows: a page of one value costs its headers and its places in the indexes, no more.
    for name in [
        PART,
        SERIES_ID,
        START_TIMESTAMP,
        RESET_HINT,
        SCHEMA,
        ZERO_THRESHOLD,
        FLOAT_COUNT,
        FLOAT_ZERO_COUNT,
    ] {
        builder = builder.set_column_data_page_row_count_limit(column(&[name]), even_page_rows);
    }
    for name in [
        FLOAT_POSITIVE_BUCKETS,
        NEGATIVE_SPAN_OFFSETS,
        NEGATIVE_SPAN_LENGTHS,
        NEGATIVE_BUCKETS,
        FLOAT_NEGATIVE_BUCKETS,
        CUSTOM_VALUES,
    ] {
        let path = column(&[name, "list", "element"]);
        builder = builder.set_column_data_page_row_count_limit(path, even_page_rows);
    }
    // Sums have all their digits, and one that comes again is the one before.
    builder = builder.set_column_dictionary_enabled(column(&[SUM]), false);
    // Buckets of one series resemble each other from row to row at a distance of one list: only ZSTD over plain numbers sees that
    // (per histogram of 40 buckets 8 B; with dictionaries 9 B, with differences 14 B).
    for name in [
        POSITIVE_BUCKETS,
        FLOAT_POSITIVE_BUCKETS,
        NEGATIVE_BUCKETS,
        FLOAT_NEGATIVE_BUCKETS,
        CUSTOM_VALUES,
    ] {
        builder = builder.set_column_dictionary_enabled(column(&[name, "list", "element"]), false);
    }
    Ok(delta(builder, &[TIMESTAMP, COUNT]).build())
}

fn exemplars(settings: &PartSettings) -> Result<WriterProperties, ArchiveError> {
    let builder = common(settings.zstd_level, settings.other_page_rows, WHOLE_WRITE)?
        .set_max_row_group_row_count(Some(settings.sample_group_rows))
        .set_column_dictionary_page_size_limit(column(&[SERIES_ID]), ID_DICTIONARY_BYTES);
    let builder = without_statistics(builder, &[&[VALUE], &LABEL_NAMES, &LABEL_VALUES]);
    Ok(delta(builder, &[TIMESTAMP]).build())
}

fn metadata(settings: &PartSettings) -> Result<WriterProperties, ArchiveError> {
    let builder = common(settings.zstd_level, settings.other_page_rows, settings.other_page_rows)?
        .set_max_row_group_row_count(Some(settings.sample_group_rows))
        .set_column_dictionary_enabled(column(&[SERIES_ID]), false);
    let builder = delta(builder, &[SERIES_ROW]);
    Ok(without_statistics(builder, &[&[UNIT], &[HELP]]).build())
}

fn common(zstd_level: i32, page_rows: usize, write_batch: usize) -> Result<WriterPropertiesBuilder, ArchiveError> {
    let level = ZstdLevel::try_new(zstd_level).map_err(|error| ArchiveError::Invalid(error.to_string()))?;
    Ok(WriterProperties::builder()
        .set_created_by(format!("emberkeep {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(level))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(write_batch.max(page_rows)))
}

fn without_statistics(mut builder: WriterPropertiesBuilder, columns: &[&[&str]]) -> WriterPropertiesBuilder {
    for steps in columns {
        builder = builder.set_column_statistics_enabled(column(steps), EnabledStatistics::None);
    }
    builder
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
