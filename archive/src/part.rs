//! A part: one immutable set of sibling Parquet files with one part number (layout in `docs/formats/parts.md`).
//!
//! Rows lie in the order tenant, labels, time, so one series is one contiguous run of rows, and the series table says which.
//! What a part holds is never changed; a correction is another part.

pub mod decimal;
mod footer;
mod info;
mod metadata;
mod reader;
mod sample_batch;
mod sample_columns;
mod sample_groups;
mod sample_window;
mod scan;
mod schema;
mod series_columns;
mod series_pages;
mod writer;

#[cfg(test)]
mod tests;

pub use info::{FileSummary, PartFiles, PartInfo, PartSettings, PartSummary, TenantSummary, part_number};
pub use reader::PartReader;
pub use scan::{PartScan, ScanQuery, SeriesRows};
pub use writer::PartWriter;
