//! The digest columns of the series table while it is written: bytes, null for a kind that a series does not have.

use parquet::basic::Encoding;
use parquet::errors::ParquetError;

use super::bounds::Bounds;
use super::chunk::{ChunkWriter, DataPage, Packer};
use super::chunk_file::Chunks;
use super::hybrid::Levels;
use super::run_column::put_text;

/// A column chunk for each kind, of which one page is open.
pub(super) struct DigestPages {
    columns: [DigestColumn; 4],
    content: Vec<u8>,
}

struct DigestColumn {
    chunk: ChunkWriter,
    is_there: Levels,
    /// PLAIN.
    values: Vec<u8>,
}

impl DigestPages {
    pub(super) fn new(chunks: [ChunkWriter; 4]) -> Self {
        let column = |chunk: ChunkWriter| DigestColumn {
            chunk: chunk.without_statistics(),
            is_there: Levels::default(),
            values: Vec::new(),
        };
        Self {
            columns: chunks.map(column),
            content: Vec::new(),
        }
    }

    /// Bytes of the pages that have ended.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.chunk.bytes()).sum()
    }

    /// Adds the digests of a series by kind; no bytes stand for null.
    pub(super) fn push(&mut self, digests: [&[u8]; 4]) {
        for (column, digest) in self.columns.iter_mut().zip(digests) {
            column.is_there.push(!digest.is_empty());
            if !digest.is_empty() {
                put_text(&mut column.values, digest);
            }
        }
    }

    /// Ends the page.
    pub(super) fn end_page(&mut self, packer: &mut Packer) -> Result<(), ParquetError> {
        for column in &mut self.columns {
            self.content.clear();
            column.is_there.put(&mut self.content);
            self.content.extend_from_slice(&column.values);
            let rows = column.is_there.count();
            let page = DataPage {
                nulls: column.is_there.zeros(),
                ..DataPage::required(rows, Encoding::PLAIN, &self.content, Bounds::Nothing)
            };
            column.chunk.push(page, packer)?;
            column.is_there.clear();
            column.values.clear();
        }
        Ok(())
    }

    /// Appends the chunks; none are left.
    pub(super) fn close(&mut self, packer: &mut Packer, chunks: &mut Chunks) -> Result<(), ParquetError> {
        for column in &mut self.columns {
            chunks.push(column.chunk.close(None, packer)?);
        }
        Ok(())
    }
}
