//! SQL over exactly the files that are live in one view of the catalog, for engines that read Parquet themselves.
//!
//! A pattern over the bucket would also see orphans, parts that were merged since, and one sample in several parts. The text comes from
//! `deploy/sql/`, where it can be read; only the lists of files and deletions are filled in here. It must give each row once, by the total
//! order of DESIGN §4, without what is deleted, and never compute with a value. Kinds that no part has are views without rows.

mod deletions;
mod dialect;
mod files;

use crate::{ArchiveError, CatalogView, FileKind, Mask};
use files::Scan;

pub use dialect::SqlEngine;

/// Of a series table only what every version has.
const SERIES: Scan = Scan {
    name: "series_of_parts",
    kind: FileKind::Series,
    besides: None,
    has_tenant: true,
    columns: "part, series_id, metric_name, labels, min_time, max_time, samples_row_count",
    condition: "",
};

const SAMPLES: Scan = Scan {
    name: "samples_of_parts",
    kind: FileKind::Samples,
    besides: None,
    has_tenant: false,
    columns: "part, series_id, timestamp, unscaled, scale, raw_value, start_timestamp",
    condition: "",
};

/// What of histograms decides about samples.
const HISTOGRAM_SUMS: Scan = Scan {
    name: "histograms_of_parts",
    kind: FileKind::Histograms,
    besides: None,
    has_tenant: false,
    columns: "part, series_id, timestamp, sum",
    condition: "",
};

/// The views over files of DuckDB, which has views of all kinds. Parts of version 1 say nothing of histograms in their series tables.
const OF_DUCKDB: [Scan; 6] = [
    SERIES,
    Scan {
        name: "histogram_series_of_parts",
        kind: FileKind::Series,
        besides: Some(FileKind::Histograms),
        has_tenant: true,
        columns: "labels",
        condition: " WHERE histograms_row_count > 0",
    },
    SAMPLES,
    Scan {
        columns: "* EXCLUDE (tenant)",
        ..HISTOGRAM_SUMS
    },
    Scan {
        name: "exemplars_of_parts",
        kind: FileKind::Exemplars,
        besides: None,
        has_tenant: false,
        columns: "part, series_id, timestamp, value, labels",
        condition: "",
    },
    Scan {
        name: "metadata_of_parts",
        kind: FileKind::Metadata,
        besides: None,
        has_tenant: true,
        columns: "part, family, series_id, type, unit, help, first_seen, last_seen",
        condition: "",
    },
];

/// The views over files of the others, which have views of series and samples.
const OF_OTHERS: [Scan; 3] = [SERIES, SAMPLES, HISTOGRAM_SUMS];

/// Text that creates the views in an engine: of DuckDB `series`, `samples`, `histograms`, `histogram_buckets`, `exemplars` and `metadata`, of
/// the others `series` and `samples`. `location` makes of an object name what the engine opens, a path or URL.
///
/// # Errors
/// [`ArchiveError::Invalid`] when a deletion that still hides something has a pattern that cannot be written for the engine: silently
/// leaving deleted rows in is not a choice.
pub fn view(engine: SqlEngine, view: &CatalogView, location: &dyn Fn(&str) -> String) -> Result<String, ArchiveError> {
    let (empty, views) = engine.texts();
    let scans: &[Scan] = match engine {
        SqlEngine::DuckDb => &OF_DUCKDB,
        SqlEngine::Spark | SqlEngine::ClickHouse | SqlEngine::Polars => &OF_OTHERS,
    };
    let comment = engine.comment();
    let mut text = format!("{comment} Root {}, {} parts.\n{empty}", view.root_n, view.parts.len());
    for scan in scans {
        text.push_str(&scan.view(engine, view, location));
    }
    // Deletions that are applied to all parts have nothing to hide.
    let hides = |mask: &&Mask| view.parts.iter().any(|part| mask.concerns(part));
    let masks: Vec<&Mask> = view.masks.iter().filter(hides).collect();
    text.push_str(&deletions::view(engine, &masks)?);
    Ok(text + "\n" + views)
}
