//! Decoding one batch of `exemplars`.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Exemplar, ExemplarRun};

use super::label_batch::LabelBatch;
use super::part_file::PartFile;
use super::schema;
use crate::ArchiveError;

/// Appends all rows of a batch, which may be of several series.
pub(super) fn decode(file: &PartFile, batch: &RecordBatch, out: &mut ExemplarRun) -> Result<(), ArchiveError> {
    let column = |name: &str| batch.column_by_name(name);
    let missing = || file.corrupt("a column has another type than the footer says");
    let timestamps = column(schema::TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
    let values = column(schema::VALUE).and_then(|c| c.as_primitive_opt::<Float64Type>());
    let (timestamps, values) = (timestamps.ok_or_else(missing)?, values.ok_or_else(missing)?);
    let labels = LabelBatch::new(batch).ok_or_else(missing)?;
    for row in 0..batch.num_rows() {
        out.push(Exemplar {
            timestamp: timestamps.value(row),
            value: values.value(row),
            labels: labels.labels(row).map_err(|error| file.corrupt(error))?,
        });
    }
    Ok(())
}
