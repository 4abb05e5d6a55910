//! The column `labels` of one batch, of series or of exemplars.

use std::ops::Range;

use arrow::array::{AsArray, MapArray, StringArray};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Labels, LabelsError};

use super::schema;

/// Label pairs of all rows, and which are of which row.
pub(super) struct LabelBatch<'a> {
    map: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> LabelBatch<'a> {
    /// None when the column is not what it should be.
    pub(super) fn new(batch: &'a RecordBatch) -> Option<Self> {
        let map = batch.column_by_name(schema::LABELS)?.as_map_opt()?;
        Some(Self {
            map,
            names: map.keys().as_string_opt::<i32>()?,
            values: map.values().as_string_opt::<i32>()?,
        })
    }

    /// The labels of a row.
    pub(super) fn labels(&self, row: usize) -> Result<Labels, LabelsError> {
        Labels::from_pairs(self.pairs(row).map(|i| (self.names.value(i), self.values.value(i))))
    }

    fn pairs(&self, row: usize) -> Range<usize> {
        let offsets = self.map.value_offsets();
        let offset = |i: usize| usize::try_from(offsets[i]).unwrap_or(0);
        offset(row)..offset(row + 1)
    }
}
