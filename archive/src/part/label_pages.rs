//! The column `labels` of the series table while it is written: names, values, and the levels that say which are of one series.

use parquet::errors::ParquetError;

use emberkeep_model::canonical_pairs;

use super::chunk::{ChunkWriter, Packer};
use super::chunk_file::Chunks;
use super::hybrid::Levels;
use super::place_column::PlaceColumn;

/// Two column chunks, of which one page is open.
pub(super) struct LabelPages {
    names: PlaceColumn,
    values: PlaceColumn,
    rows: u32,
    /// 0 for the first label of a series.
    repeats: Levels,
    /// 0 for a series without labels.
    is_there: Levels,
    levels: Vec<u8>,
    /// Of the open page, as they came.
    label_bytes: usize,
}

impl LabelPages {
    pub(super) fn new(names: ChunkWriter, values: ChunkWriter) -> Self {
        Self {
            names: PlaceColumn::new(names),
            values: PlaceColumn::new(values),
            rows: 0,
            repeats: Levels::default(),
            is_there: Levels::default(),
            levels: Vec::new(),
            label_bytes: 0,
        }
    }

    /// Bytes of the pages that have ended.
    pub(super) fn bytes(&self) -> usize {
        self.names.bytes() + self.values.bytes()
    }

    /// Bytes of the labels in the open page.
    pub(super) fn page_bytes(&self) -> usize {
        self.label_bytes
    }

    /// Adds a label set, given by its canonical bytes.
    pub(super) fn push(&mut self, canonical: &[u8]) {
        let mut count = 0;
        for (name, value) in canonical_pairs(canonical) {
            self.names.push(name, count);
            self.values.push(value, count);
            count += 1;
        }
        self.repeats.push(false);
        match u32::try_from(count).expect("a label set is small") {
            0 => self.is_there.push(false),
            count => {
                self.repeats.push_many(true, count - 1);
                self.is_there.push_many(true, count);
            }
        }
        self.label_bytes += canonical.len();
        self.rows += 1;
    }

    /// Ends the page.
    pub(super) fn end_page(&mut self, packer: &mut Packer) -> Result<(), ParquetError> {
        self.levels.clear();
        self.repeats.put(&mut self.levels);
        self.is_there.put(&mut self.levels);
        let values = [self.repeats.count(), self.is_there.zeros()];
        self.names.end_page(self.rows, &self.levels, values, packer)?;
        self.values.end_page(self.rows, &self.levels, values, packer)?;
        self.repeats.clear();
        self.is_there.clear();
        (self.rows, self.label_bytes) = (0, 0);
        Ok(())
    }

    /// Appends both chunks; none are left.
    pub(super) fn close(&mut self, packer: &mut Packer, chunks: &mut Chunks) -> Result<(), ParquetError> {
        chunks.push(self.names.close(packer)?);
        chunks.push(self.values.close(packer)?);
        Ok(())
    }
}
