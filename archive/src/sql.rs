//! SQL over exactly the files that are live in one view of the catalog, for engines that read Parquet themselves.
//!
//! A pattern over the bucket would also see orphans, parts that were merged since, and one sample in several parts. The text comes from
//! `deploy/sql/`, where it can be read; only the lists of files are filled in here. It must give each sample once, by the total order of DESIGN §4,
//! and never compute with a value.

use crate::{CatalogView, FileKind};

const DUCKDB: &str = include_str!("../../deploy/sql/duckdb.sql");
const DUCKDB_EMPTY: &str = include_str!("../../deploy/sql/duckdb-empty.sql");

/// DuckDB statements that create the views `samples` and `series`. `location` makes of an object name what DuckDB opens, a path or URL.
#[must_use]
pub fn duckdb_view(view: &CatalogView, location: &dyn Fn(&str) -> String) -> String {
    let files = |kind: FileKind| {
        let paths = view.parts.iter().filter_map(|part| part.file(kind).ok());
        let quoted: Vec<String> = paths
            .map(|file| format!("  '{}'", location(&file.path).replace('\'', "''")))
            .collect();
        quoted.join(",\n")
    };
    let header = format!("-- Root {}, {} parts.\n", view.root_n, view.parts.len());
    if view.parts.is_empty() {
        return header + DUCKDB_EMPTY;
    }
    let text = DUCKDB.replace("{samples_files}", &files(FileKind::Samples));
    header + &text.replace("{series_files}", &files(FileKind::Series))
}
