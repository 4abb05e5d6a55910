//! A part: one immutable set of sibling Parquet files with one part number (layout in `docs/formats/parts.md`).
//!
//! Rows lie in the order tenant, labels, time, so one series is one contiguous run of rows of each kind, and the series table says which.
//! What a part holds is never changed; a correction is another part.

mod bounds;
mod chunk;
mod chunk_file;
mod columns;
mod compacted_entry;
pub mod decimal;
mod delta;
mod delta_values;
mod described;
mod digest_pages;
mod encoding;
mod exemplar_batch;
mod exemplar_columns;
mod extremes;
mod family_cursor;
mod file_keys;
mod file_sink;
mod file_writer;
mod footer;
mod found_series;
mod histogram_batch;
mod histogram_columns;
mod hybrid;
mod info;
mod kept_parts;
mod label_batch;
mod label_pages;
mod label_texts;
mod label_translation;
mod metadata_batch;
mod metadata_cursor;
mod metadata_pass;
mod metadata_rows;
mod needles;
mod page_filter;
mod page_header;
mod pages_ahead;
mod part_file;
mod place_column;
mod raw_pages;
mod reader;
mod row_groups;
mod row_kind;
mod row_window;
mod run_column;
mod run_slice;
mod sample_batch;
mod sample_columns;
mod sample_page;
mod scaled_floats;
mod scaling;
mod scan;
mod schema;
mod sealing;
mod series_batch;
mod series_columns;
mod series_ids;
mod series_labels;
mod series_metadata;
mod series_pages;
mod series_slice;
mod tenants_in_rows;
mod time_span;
mod varint;
mod writer;

#[cfg(test)]
mod tests;

pub use described::DescribedFile;
pub use family_cursor::{FamilyCursor, FamilyMetadata};
pub use info::{Compaction, FileSummary, PartInfo, PartOrigin, PartSettings, PartSummary, TenantSummary, part_number};
pub use kept_parts::KeptParts;
pub use label_translation::LabelTranslation;
pub use metadata_cursor::MetadataCursor;
pub use part_file::file_stamp;
pub use reader::PartReader;
pub use run_slice::RunSlice;
pub use scan::{PartScan, ScanKinds, ScanQuery, SeriesRows};
pub use series_metadata::SeriesMetadata;
pub(crate) use tenants_in_rows::tenants_in_rows;
pub use time_span::TimeSpan;
pub use writer::PartWriter;
