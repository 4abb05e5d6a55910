//! The rare search for files that nothing names, with what it shows of itself.

use std::path::Path;
use std::time::Duration;

use emberkeep_archive::{Catalog, Orphans, condemn_orphans};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing::info;

use crate::guard::UpkeepError;

/// Unfinished files of a directory store that are older belong to no living process.
pub const LEFTOVER_AGE: Duration = Duration::from_secs(86_400);

/// Metrics of the search.
#[derive(Debug, Clone, Default)]
pub struct OrphanMetrics {
    searches: Counter,
    files: Counter,
    bytes: Counter,
}

impl OrphanMetrics {
    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "orphan_searches",
            "Listings of the whole archive for orphans",
            self.searches.clone(),
        );
        registry.register(
            "orphan_files",
            "Files that belonged to nothing and were condemned",
            self.files.clone(),
        );
        registry.register("orphan_bytes", "Bytes of those files", self.bytes.clone());
    }
}

/// Lists the whole archive, and condemns what belongs to nothing.
///
/// # Errors
/// As [`condemn_orphans`].
pub async fn search(catalog: &Catalog, metrics: &OrphanMetrics, now_ms: i64) -> Result<Orphans, UpkeepError> {
    let found = condemn_orphans(catalog, now_ms).await?;
    metrics.searches.inc();
    metrics.files.inc_by(found.paths.len() as u64);
    metrics.bytes.inc_by(found.bytes);
    info!(
        listed = found.listed,
        orphans = found.paths.len(),
        bytes = found.bytes,
        young = found.young,
        "looked for files that nothing names"
    );
    Ok(found)
}

/// Removes what dead processes left unfinished in a directory store (`.tmp` below it); how many. No reader ever sees such files.
///
/// # Errors
/// The directory cannot be read, or does not let its files go.
pub fn remove_unfinished(archive: &Path, older_than: Duration) -> std::io::Result<u64> {
    let mut removed = 0;
    let entries = match std::fs::read_dir(archive.join(".tmp")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Its process has just finished it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // A clock that went back makes a file young, and it stays.
        let age = metadata.modified()?.elapsed().unwrap_or_default();
        if metadata.is_file() && age >= older_than {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
