//! One decoded batch of `samples`: the hot loop of every read. Whole runs at a time over typed slices, no access by row.

use std::ops::Range;

use arrow::array::{Array, AsArray, Float64Array, Int8Array, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::{Float64Type, Int8Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Run, TimeRange, UNSET_START_TIMESTAMP};

use super::metadata::PartFile;
use super::{decimal, schema};
use crate::ArchiveError;

/// One decoded batch.
#[derive(Debug)]
pub(super) struct SampleBatch {
    timestamps: TimestampMillisecondArray,
    unscaled: Int64Array,
    scales: Int8Array,
    raw: Option<Float64Array>,
    starts: Option<TimestampMillisecondArray>,
    /// Rows taken so far.
    pub(super) at: usize,
}

impl SampleBatch {
    pub(super) fn new(file: &PartFile, batch: &RecordBatch) -> Result<Self, ArchiveError> {
        let column = |name: &str| batch.column_by_name(name);
        let missing = || file.corrupt("a column has another type than the footer says");
        let timestamps = column(schema::TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        let unscaled = column(schema::UNSCALED).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let scales = column(schema::SCALE).and_then(|c| c.as_primitive_opt::<Int8Type>());
        let raw = column(schema::RAW_VALUE).and_then(|c| c.as_primitive_opt::<Float64Type>());
        let starts = column(schema::START_TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        Ok(Self {
            timestamps: timestamps.cloned().ok_or_else(missing)?,
            unscaled: unscaled.cloned().ok_or_else(missing)?,
            scales: scales.cloned().ok_or_else(missing)?,
            raw: raw.filter(|raw| raw.null_count() < raw.len()).cloned(),
            starts: starts.filter(|starts| starts.null_count() < starts.len()).cloned(),
            at: 0,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.timestamps.len()
    }

    /// Appends the rows that lie in the time range.
    pub(super) fn append(
        &self,
        file: &PartFile,
        rows: Range<usize>,
        range: TimeRange,
        out: &mut Run,
    ) -> Result<(), ArchiveError> {
        let times = &self.timestamps.values()[rows.clone()];
        let first = times.partition_point(|&time| time < range.start);
        let count = times[first..].partition_point(|&time| time < range.end);
        let rows = rows.start + first..rows.start + first + count;
        if rows.is_empty() {
            return Ok(());
        }
        let before = out.len();
        out.timestamps.extend_from_slice(&times[first..first + count]);
        self.append_values(file, rows.clone(), &mut out.values)?;
        match &self.starts {
            Some(starts) if rows.clone().any(|row| starts.is_valid(row)) => {
                out.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
                let start = |row| {
                    if starts.is_valid(row) {
                        starts.value(row)
                    } else {
                        UNSET_START_TIMESTAMP
                    }
                };
                out.start_timestamps.extend(rows.map(start));
            }
            _ if !out.start_timestamps.is_empty() => out.start_timestamps.resize(out.len(), UNSET_START_TIMESTAMP),
            _ => {}
        }
        Ok(())
    }

    fn append_values(&self, file: &PartFile, rows: Range<usize>, out: &mut Vec<f64>) -> Result<(), ArchiveError> {
        let scales = &self.scales.values()[rows.clone()];
        let unscaled = &self.unscaled.values()[rows.clone()];
        let scale = scales[0];
        let no_scale = || file.corrupt("a sample has a scale outside of 0 to 15");
        if self.raw.is_none() && self.unscaled.null_count() == 0 && scales.iter().all(|other| *other == scale) {
            let power = decimal::power(scale).ok_or_else(no_scale)?;
            out.extend(unscaled.iter().map(|&unscaled| unscaled as f64 / power));
            return Ok(());
        }
        for (i, row) in rows.enumerate() {
            out.push(match &self.raw {
                Some(raw) if raw.is_valid(row) => raw.value(row),
                _ if self.unscaled.is_valid(row) => decimal::decode(unscaled[i], scales[i]).ok_or_else(no_scale)?,
                _ => return Err(file.corrupt("a sample has no value")),
            });
        }
        Ok(())
    }
}
