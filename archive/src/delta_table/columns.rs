//! Columns of the tables: those of the files (`docs/formats/parts.md`), and tenant and date, which are in the path.
//!
//! All may be null, because a column that must not be asks more of a reader than older ones can; none ever is where the files say so.
//! The names and types are what others build on: a column is added at most.

use delta_kernel::schema::{ArrayType, DataType, MapType, StructField, StructType};

use crate::{ArchiveError, FileKind};

/// The partition columns, in the order in which they stand in the path.
pub(super) const PARTITIONS: [&str; 2] = ["tenant", "date"];

/// Microseconds to Delta, whose readers take the files' milliseconds as well. `long` instead would be shorter to explain, but engines
/// refuse it over a timestamp, or read seconds.
const TIME: DataType = DataType::TIMESTAMP;

fn own(kind: FileKind) -> Vec<(&'static str, DataType)> {
    let row = [("part", DataType::LONG), ("series_id", DataType::LONG)];
    let more: Vec<(&str, DataType)> = match kind {
        FileKind::Samples => vec![
            ("timestamp", TIME),
            ("unscaled", DataType::LONG),
            ("scale", DataType::BYTE),
            ("raw_value", DataType::DOUBLE),
            ("start_timestamp", TIME),
        ],
        FileKind::Series => vec![
            ("metric_name", DataType::STRING),
            ("labels", labels()),
            ("min_time", TIME),
            ("max_time", TIME),
            ("samples_row_start", DataType::LONG),
            ("samples_row_count", DataType::LONG),
            ("histograms_row_start", DataType::LONG),
            ("histograms_row_count", DataType::LONG),
            ("exemplars_row_start", DataType::LONG),
            ("exemplars_row_count", DataType::LONG),
        ],
        FileKind::Histograms => vec![
            ("timestamp", TIME),
            ("start_timestamp", TIME),
            ("reset_hint", DataType::BYTE),
            ("schema", DataType::INTEGER),
            ("zero_threshold", DataType::DOUBLE),
            ("sum", DataType::DOUBLE),
            ("count", DataType::LONG),
            ("zero_count", DataType::LONG),
            ("float_count", DataType::DOUBLE),
            ("float_zero_count", DataType::DOUBLE),
            ("positive_span_offsets", list(DataType::INTEGER)),
            ("positive_span_lengths", list(DataType::LONG)),
            ("positive_buckets", list(DataType::LONG)),
            ("float_positive_buckets", list(DataType::DOUBLE)),
            ("negative_span_offsets", list(DataType::INTEGER)),
            ("negative_span_lengths", list(DataType::LONG)),
            ("negative_buckets", list(DataType::LONG)),
            ("float_negative_buckets", list(DataType::DOUBLE)),
            ("custom_values", list(DataType::DOUBLE)),
        ],
        FileKind::Exemplars => vec![("timestamp", TIME), ("value", DataType::DOUBLE), ("labels", labels())],
        FileKind::Metadata => {
            return vec![
                ("part", DataType::LONG),
                ("family", DataType::STRING),
                ("series_id", DataType::LONG),
                ("series_row", DataType::LONG),
                ("type", DataType::STRING),
                ("unit", DataType::STRING),
                ("help", DataType::STRING),
                ("first_seen", TIME),
                ("last_seen", TIME),
            ];
        }
    };
    row.into_iter().chain(more).collect()
}

/// The columns of the table of a kind.
pub(super) fn of(kind: FileKind) -> Result<StructType, ArchiveError> {
    let partitions = PARTITIONS.into_iter().zip([DataType::STRING, DataType::DATE]);
    let fields = own(kind).into_iter().chain(partitions);
    let fields = fields.map(|(name, data_type)| StructField::nullable(name, data_type));
    StructType::try_new(fields).map_err(|error| ArchiveError::Invalid(format!("columns of a table: {error}")))
}

fn labels() -> DataType {
    MapType::new(DataType::STRING, DataType::STRING, true).into()
}

fn list(element: DataType) -> DataType {
    ArrayType::new(element, true).into()
}
