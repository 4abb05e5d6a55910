//! Decoding one batch of `samples`: the hot loop of every read. Columns as typed slices, no access by row where a scale lasts.

use arrow::array::{Array, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int8Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Run, UNSET_START_TIMESTAMP};

use super::part_file::PartFile;
use super::{decimal, schema};
use crate::ArchiveError;

/// Appends all rows of a batch, which may be of several series.
pub(super) fn decode(file: &PartFile, batch: &RecordBatch, out: &mut Run) -> Result<(), ArchiveError> {
    let column = |name: &str| batch.column_by_name(name);
    let missing = || file.corrupt("a column has another type than the footer says");
    let timestamps = column(schema::TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
    let unscaled = column(schema::UNSCALED).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let scales = column(schema::SCALE).and_then(|c| c.as_primitive_opt::<Int8Type>());
    let raw = column(schema::RAW_VALUE).and_then(|c| c.as_primitive_opt::<Float64Type>());
    let starts = column(schema::START_TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());

    let (before, rows) = (out.len(), batch.num_rows());
    out.timestamps
        .extend_from_slice(timestamps.ok_or_else(missing)?.values());
    let (unscaled, scales) = (unscaled.ok_or_else(missing)?, scales.ok_or_else(missing)?);
    let raw = raw.filter(|raw| raw.null_count() < raw.len());
    decode_values(file, unscaled, scales.values(), raw, &mut out.values)?;
    match starts.filter(|starts| starts.null_count() < starts.len()) {
        Some(starts) => {
            out.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
            out.start_timestamps
                .extend(starts.iter().map(|start| start.unwrap_or(UNSET_START_TIMESTAMP)));
        }
        None if !out.start_timestamps.is_empty() => out.start_timestamps.resize(before + rows, UNSET_START_TIMESTAMP),
        None => {}
    }
    Ok(())
}

fn decode_values(
    file: &PartFile,
    unscaled: &Int64Array,
    scales: &[i8],
    raw: Option<&Float64Array>,
    out: &mut Vec<f64>,
) -> Result<(), ArchiveError> {
    let no_scale = || file.corrupt("a sample has a scale outside of 0 to 15");
    let is_plain = raw.is_none() && unscaled.null_count() == 0;
    let mut row = 0;
    for same in scales.chunk_by(|a, b| a == b) {
        let power = decimal::power(same[0]).ok_or_else(no_scale)?;
        let rows = row..row + same.len();
        row = rows.end;
        if is_plain {
            out.extend(unscaled.values()[rows].iter().map(|&unscaled| unscaled as f64 / power));
            continue;
        }
        for row in rows {
            out.push(match raw {
                Some(raw) if raw.is_valid(row) => raw.value(row),
                _ if unscaled.is_valid(row) => unscaled.value(row) as f64 / power,
                _ => return Err(file.corrupt("a sample has no value")),
            });
        }
    }
    Ok(())
}
