//! Files as a rebuild reads them: Parquet with the footer that the files of our parts have, and hardly anything in it.

use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::Int64Type;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// A file that says `footer` of itself, with a note and as many rows as there are numbers.
pub(crate) fn parquet(footer: &str, note: &str, ids: &[u64]) -> Bytes {
    let schema = parse_message_type("message file { required int64 id; }").expect("it is a schema");
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![pair("emberkeep", footer), pair("note", note)]))
        .build();
    let mut writer =
        SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).expect("memory takes everything");
    if !ids.is_empty() {
        let values: Vec<i64> = ids.iter().map(|id| id.cast_signed()).collect();
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("it is readable").expect("one column");
        let written = column.typed::<Int64Type>().write_batch(&values, None, None);
        written.expect("memory takes everything");
        column.close().expect("a whole column");
        group.close().expect("a whole group");
    }
    writer.into_inner().expect("a whole file").into()
}
