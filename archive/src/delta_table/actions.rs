//! What a commit says of files, as columns for the kernel, and what it said, read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;

use super::columns::PARTITIONS;
use crate::{FileEntry, FileKind, PartEntry, names};

/// A file as it stands in a table: its path below the table, and what goes with it.
pub(super) type Files = BTreeMap<String, Added>;

/// What a commit says of a file that comes.
#[derive(Debug, Clone)]
pub(super) struct Added {
    tenant: String,
    date: String,
    bytes: u64,
    rows: u64,
    modified: i64,
}

/// The files of a kind of these parts, as the table of the kind names them.
pub(super) fn files(kind: FileKind, parts: &[Arc<PartEntry>]) -> Files {
    let of_kind = parts.iter().filter_map(|part| {
        let file = part.find(kind)?;
        let tenant = part.tenants.keys().next()?;
        let added = Added {
            tenant: tenant.clone(),
            date: names::date(part.day?),
            bytes: file.bytes,
            rows: file.rows,
            // Objects are never changed, so when the part was made is when its file was.
            modified: i64::try_from(part.ulid.timestamp_ms()).unwrap_or(i64::MAX),
        };
        Some((path_in_table(kind, file)?, added))
    });
    of_kind.collect()
}

/// A path in a table is relative, and a URL: the percent sign of an escape in an object name is escaped itself. Nothing else in our names
/// needs it. None when the file does not lie below its table.
fn path_in_table(kind: FileKind, file: &FileEntry) -> Option<String> {
    let below = file.path.strip_prefix(kind.as_str())?.strip_prefix('/')?;
    Some(below.replace('%', "%25"))
}

/// The part whose file a table names so; none when it is not a name that we make.
pub(super) fn part_at(kind: FileKind, path: &str) -> Option<ulid::Ulid> {
    let object = format!("{}/{}", kind.as_str(), path.replace("%25", "%"));
    let object = object_store::path::Path::parse(object).ok()?;
    names::parse_compacted(&object).map(|(_, _, _, ulid)| ulid)
}

/// The columns that the kernel wants for files that come. Of statistics only the number of rows is said: bounds that are not tight would
/// answer a query for a minimum wrongly, and dates prune already.
pub(super) fn added(files: &[(&String, &Added)]) -> Result<RecordBatch, ArrowError> {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut partitions = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for (_, file) in files {
        for (name, value) in PARTITIONS.into_iter().zip([&file.tenant, &file.date]) {
            partitions.keys().append_value(name);
            partitions.values().append_value(value);
        }
        partitions.append(true)?;
    }
    let numbers = |of: fn(&Added) -> u64| -> ArrayRef {
        let number = |(_, file): &(&String, &Added)| i64::try_from(of(file)).unwrap_or(i64::MAX);
        Arc::new(files.iter().map(|file| Some(number(file))).collect::<Int64Array>())
    };
    let modified: Int64Array = files.iter().map(|(_, file)| Some(file.modified)).collect();
    let statistics = StructArray::new(
        Fields::from(vec![Field::new("numRecords", DataType::Int64, true)]),
        vec![numbers(|file| file.rows)],
        None,
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "path",
            Arc::new(StringArray::from_iter_values(files.iter().map(|(path, _)| path))),
        ),
        ("partitionValues", Arc::new(partitions.finish())),
        ("size", numbers(|file| file.bytes)),
        ("modificationTime", Arc::new(modified)),
        ("stats", Arc::new(statistics)),
    ];
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), *name == "stats");
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(
        Arc::new(schema),
        columns.into_iter().map(|(_, column)| column).collect(),
    )
}
