//! SQL over exactly the files that are live in one view of the catalog, for engines that read Parquet themselves.
//!
//! A pattern over the bucket would also see orphans, parts that were merged since, and one sample in several parts. The text comes from
//! `deploy/sql/`, where it can be read; only the lists of files are filled in here. It must give each row once, by the total order of DESIGN §4,
//! and never compute with a value. Kinds that no part has are views without rows.

use crate::{CatalogView, FileKind, PartEntry};

/// Views over files, none of them there.
const DUCKDB_EMPTY: &str = include_str!("../../deploy/sql/duckdb-empty.sql");

/// Views over those views.
const DUCKDB: &str = include_str!("../../deploy/sql/duckdb.sql");

/// The views over files: of which kind and of which parts, and what is taken of them. Of a series table only what every version has, but of
/// parts with histograms, which version 1 did not have.
const FILES: [(&str, FileKind, Option<FileKind>, &str); 6] = [
    (
        "series_of_parts",
        FileKind::Series,
        None,
        "SELECT tenant, part, series_id, metric_name, labels, min_time, max_time, samples_row_count FROM {files}",
    ),
    (
        "histogram_series_of_parts",
        FileKind::Series,
        Some(FileKind::Histograms),
        "SELECT tenant, labels FROM {files} WHERE histograms_row_count > 0",
    ),
    (
        "samples_of_parts",
        FileKind::Samples,
        None,
        "SELECT part, series_id, timestamp, unscaled, scale, raw_value, start_timestamp FROM {files}",
    ),
    (
        "histograms_of_parts",
        FileKind::Histograms,
        None,
        "SELECT * EXCLUDE (tenant) FROM {files}",
    ),
    (
        "exemplars_of_parts",
        FileKind::Exemplars,
        None,
        "SELECT part, series_id, timestamp, value, labels FROM {files}",
    ),
    (
        "metadata_of_parts",
        FileKind::Metadata,
        None,
        "SELECT tenant, part, family, series_id, type, unit, help, first_seen, last_seen FROM {files}",
    ),
];

/// DuckDB statements that create the views `series`, `samples`, `histograms`, `histogram_buckets`, `exemplars` and `metadata`. `location`
/// makes of an object name what DuckDB opens, a path or URL.
#[must_use]
pub fn duckdb_view(view: &CatalogView, location: &dyn Fn(&str) -> String) -> String {
    let mut text = format!("-- Root {}, {} parts.\n{DUCKDB_EMPTY}", view.root_n, view.parts.len());
    for (name, kind, besides, select) in FILES {
        let is_meant = |part: &PartEntry| besides.is_none_or(|besides| part.find(besides).is_some());
        let parts = view.parts.iter().filter(|part| is_meant(part));
        let quoted: Vec<String> = parts
            .filter_map(|part| part.find(kind))
            .map(|file| format!("  '{}'", location(&file.path).replace('\'', "''")))
            .collect();
        if !quoted.is_empty() {
            let files = format!("read_parquet([\n{}\n], hive_partitioning = false)", quoted.join(",\n"));
            let select = select.replace("{files}", &files);
            text.push_str(&format!("\nCREATE OR REPLACE VIEW {name} AS\n{select};\n"));
        }
    }
    text + "\n" + DUCKDB
}
