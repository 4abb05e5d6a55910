//! SQL over exactly the files that are live in one view, for engines that read Parquet themselves.

/// Placeholder until the view is written.
pub fn duckdb_view() {}
