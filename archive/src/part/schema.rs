//! Columns of the files (`docs/formats/parts.md`).
//!
//! Every column is plain for other engines: numbers, texts, lists and maps of them, no unsigned integers. Digests alone are bytes, which nobody needs in order to
//! read what the part holds.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use crate::FileKind;

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
pub(super) const SERIES_ROW: &str = "series_row";
pub(super) const MIN_TIME: &str = "min_time";
pub(super) const MAX_TIME: &str = "max_time";
pub(super) const SAMPLES_ROW_START: &str = "samples_row_start";
pub(super) const SAMPLES_ROW_COUNT: &str = "samples_row_count";
pub(super) const HISTOGRAMS_ROW_START: &str = "histograms_row_start";
pub(super) const HISTOGRAMS_ROW_COUNT: &str = "histograms_row_count";
pub(super) const EXEMPLARS_ROW_START: &str = "exemplars_row_start";
pub(super) const EXEMPLARS_ROW_COUNT: &str = "exemplars_row_count";

/// Digests of the rows of each kind, and of start timestamps (`super::digest_bytes`).
pub(super) const DIGESTS: [&str; 4] = [
    "samples_digests",
    "histograms_digests",
    "exemplars_digests",
    "start_timestamps_digests",
];

pub(super) const RESET_HINT: &str = "reset_hint";
pub(super) const SCHEMA: &str = "schema";
pub(super) const ZERO_THRESHOLD: &str = "zero_threshold";
pub(super) const SUM: &str = "sum";
pub(super) const COUNT: &str = "count";
pub(super) const ZERO_COUNT: &str = "zero_count";
pub(super) const FLOAT_COUNT: &str = "float_count";
pub(super) const FLOAT_ZERO_COUNT: &str = "float_zero_count";
pub(super) const POSITIVE_SPAN_OFFSETS: &str = "positive_span_offsets";
pub(super) const POSITIVE_SPAN_LENGTHS: &str = "positive_span_lengths";
pub(super) const NEGATIVE_SPAN_OFFSETS: &str = "negative_span_offsets";
pub(super) const NEGATIVE_SPAN_LENGTHS: &str = "negative_span_lengths";
pub(super) const POSITIVE_BUCKETS: &str = "positive_buckets";
pub(super) const NEGATIVE_BUCKETS: &str = "negative_buckets";
pub(super) const FLOAT_POSITIVE_BUCKETS: &str = "float_positive_buckets";
pub(super) const FLOAT_NEGATIVE_BUCKETS: &str = "float_negative_buckets";
pub(super) const CUSTOM_VALUES: &str = "custom_values";

pub(super) const VALUE: &str = "value";

pub(super) const FAMILY: &str = "family";
pub(super) const TYPE: &str = "type";
pub(super) const UNIT: &str = "unit";
pub(super) const HELP: &str = "help";
pub(super) const FIRST_SEEN: &str = "first_seen";
pub(super) const LAST_SEEN: &str = "last_seen";

static SAMPLES: LazyLock<SchemaRef> = LazyLock::new(|| {
    file(vec![
        required(SERIES_ID, DataType::Int64),
        required(TIMESTAMP, timestamp()),
        nullable(UNSCALED, DataType::Int64),
        required(SCALE, DataType::Int8),
        nullable(RAW_VALUE, DataType::Float64),
        nullable(START_TIMESTAMP, timestamp()),
    ])
});

static SERIES: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = series_of_version_1();
    for name in [
        HISTOGRAMS_ROW_START,
        HISTOGRAMS_ROW_COUNT,
        EXEMPLARS_ROW_START,
        EXEMPLARS_ROW_COUNT,
    ] {
        fields.push(required(name, DataType::Int64));
    }
    file(fields)
});

static SERIES_OF_VERSION_1: LazyLock<SchemaRef> = LazyLock::new(|| file(series_of_version_1()));

static HISTOGRAMS: LazyLock<SchemaRef> = LazyLock::new(|| {
    file(vec![
        required(SERIES_ID, DataType::Int64),
        required(TIMESTAMP, timestamp()),
        nullable(START_TIMESTAMP, timestamp()),
        required(RESET_HINT, DataType::Int8),
        required(SCHEMA, DataType::Int32),
        required(ZERO_THRESHOLD, DataType::Float64),
        required(SUM, DataType::Float64),
        nullable(COUNT, DataType::Int64),
        nullable(ZERO_COUNT, DataType::Int64),
        nullable(FLOAT_COUNT, DataType::Float64),
        nullable(FLOAT_ZERO_COUNT, DataType::Float64),
        list(POSITIVE_SPAN_OFFSETS, DataType::Int32),
        list(POSITIVE_SPAN_LENGTHS, DataType::Int64),
        list(POSITIVE_BUCKETS, DataType::Int64),
        list(FLOAT_POSITIVE_BUCKETS, DataType::Float64),
        list(NEGATIVE_SPAN_OFFSETS, DataType::Int32),
        list(NEGATIVE_SPAN_LENGTHS, DataType::Int64),
        list(NEGATIVE_BUCKETS, DataType::Int64),
        list(FLOAT_NEGATIVE_BUCKETS, DataType::Float64),
        list(CUSTOM_VALUES, DataType::Float64),
    ])
});

static EXEMPLARS: LazyLock<SchemaRef> = LazyLock::new(|| {
    file(vec![
        required(SERIES_ID, DataType::Int64),
        required(TIMESTAMP, timestamp()),
        required(VALUE, DataType::Float64),
        required(LABELS, DataType::Map(label_entries(), false)),
    ])
});

static METADATA: LazyLock<SchemaRef> = LazyLock::new(|| {
    file(vec![
        required(FAMILY, DataType::Utf8),
        nullable(SERIES_ID, DataType::Int64),
        nullable(SERIES_ROW, DataType::Int64),
        required(TYPE, DataType::Utf8),
        required(UNIT, DataType::Utf8),
        required(HELP, DataType::Utf8),
        required(FIRST_SEEN, timestamp()),
        required(LAST_SEEN, timestamp()),
    ])
});

/// Which columns the files of a part have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A flush of version 1: floats alone.
    Floats,
    /// A flush: rows of all tenants.
    Flush,
    /// From level 1: rows of one tenant, which has no column, and digests of each series.
    Compacted,
}

static COMPACTED: LazyLock<[SchemaRef; 5]> = LazyLock::new(|| {
    FileKind::ALL.map(|kind| {
        let fields = of(kind, Form::Flush)
            .fields()
            .iter()
            .skip(1)
            .map(|field| field.as_ref().clone());
        let digests = DIGESTS.map(|name| nullable(name, DataType::Binary));
        let more = match kind {
            FileKind::Series => digests.to_vec(),
            _ => Vec::new(),
        };
        Arc::new(Schema::new(fields.chain(more).collect::<Vec<_>>()))
    })
});

/// The columns that a file of this kind has, at least.
pub(super) fn of(kind: FileKind, form: Form) -> &'static SchemaRef {
    match kind {
        _ if form == Form::Compacted => &COMPACTED[kind as usize],
        FileKind::Samples => &SAMPLES,
        FileKind::Series if form == Form::Floats => &SERIES_OF_VERSION_1,
        FileKind::Series => &SERIES,
        FileKind::Histograms => &HISTOGRAMS,
        FileKind::Exemplars => &EXEMPLARS,
        FileKind::Metadata => &METADATA,
    }
}

fn series_of_version_1() -> Vec<Field> {
    vec![
        required(SERIES_ID, DataType::Int64),
        required(METRIC_NAME, DataType::Utf8),
        required(LABELS, DataType::Map(label_entries(), false)),
        required(MIN_TIME, timestamp()),
        required(MAX_TIME, timestamp()),
        required(SAMPLES_ROW_START, DataType::Int64),
        required(SAMPLES_ROW_COUNT, DataType::Int64),
    ]
}

/// What every file of a flush begins with, and its own columns.
fn file(own: Vec<Field>) -> SchemaRef {
    let mut fields = vec![required(TENANT, DataType::Utf8), required(PART, DataType::Int64)];
    fields.extend(own);
    Arc::new(Schema::new(fields))
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn list(name: &str, element: DataType) -> Field {
    required(name, DataType::List(list_element(element)))
}

/// The name that the Parquet specification gives to the element of a list; other engines look for it.
pub(super) fn list_element(element: DataType) -> FieldRef {
    Arc::new(required("element", element))
}

/// `TIMESTAMP(MILLIS, UTC)`.
fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The names that the Parquet specification gives to the parts of a map; other engines look for them.
pub(super) fn label_entries() -> FieldRef {
    Arc::new(Field::new("key_value", DataType::Struct(label_fields()), false))
}

pub(super) fn label_fields() -> Fields {
    Fields::from(vec![required("key", DataType::Utf8), required("value", DataType::Utf8)])
}
