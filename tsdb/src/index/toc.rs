//! The table of contents: where each section starts, in the last 52 bytes of the index.
//!
//! Label indices no longer exist, but Mimir and Thanos bound the last postings list by their offsets: the former is always the end of
//! the series, the latter always the postings offset table.

use crate::bytes::{Cursor, crc32c};
use crate::error::Damage;

/// Six offsets and a CRC-32C.
pub(super) const TOC_BYTES: usize = 52;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Toc {
    pub(super) symbols: u64,
    /// Right after the symbols, before the padding of the first series.
    pub(super) series: u64,
    /// The end of the series, before the padding of the first postings list.
    pub(super) postings: u64,
    pub(super) postings_table: u64,
}

impl Toc {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TOC_BYTES);
        for offset in [
            self.symbols,
            self.series,
            self.postings,
            self.postings_table,
            self.postings,
            self.postings_table,
        ] {
            out.extend_from_slice(&offset.to_be_bytes());
        }
        let sum = crc32c(&out);
        out.extend_from_slice(&sum.to_be_bytes());
        out
    }

    /// From the last bytes of an index.
    pub(super) fn decode(index: &[u8]) -> Result<Self, Damage> {
        let tail = index
            .last_chunk::<TOC_BYTES>()
            .ok_or("it is shorter than its table of contents")?;
        let content = Cursor::new(tail).summed(TOC_BYTES as u64 - 4)?;
        let mut cursor = Cursor::new(content);
        let [symbols, series] = [cursor.u64()?, cursor.u64()?];
        // Old writers put label indices between series and postings; they are never read.
        cursor.bytes(16)?;
        Ok(Self {
            symbols,
            series,
            postings: cursor.u64()?,
            postings_table: cursor.u64()?,
        })
    }
}
