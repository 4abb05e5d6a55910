//! The index of a block, format version 2 (Prometheus: `tsdb/index/index.go`; its `tsdb/docs/format/index.md` is outdated).
//!
//! ```text
//! u32 BAAAD700 | u8 2 | symbols | series | postings | postings offset table | table of contents
//! ```
//!
//! Symbols, series, postings and the table of contents each have a module with their layout. Label indices are not written, as
//! Prometheus has not since 3.7; their two entries in the table of contents still bound what lies beside them.

mod pairs;
mod postings;
mod reader;
mod series;
mod symbols;
mod toc;
mod writer;

pub use reader::IndexReader;
pub use series::SeriesEntry;
pub use writer::IndexWriter;

const MAGIC: u32 = 0xBAAA_D700;
const VERSION: u8 = 2;

/// Start of each series entry; a series id is its offset divided by this.
const SERIES_ALIGNMENT: u64 = 16;

#[cfg(test)]
mod tests;
