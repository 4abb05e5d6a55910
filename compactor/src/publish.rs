//! Publication of what is live as Delta tables, as a part of upkeep (`docs/open-tables.md`).
//!
//! Nothing of ours reads the tables, so a publication that fails is told and tried again after the next pass, and holds up nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use emberkeep_archive::delta_table::{Publication, Publisher};
use emberkeep_archive::{ArchiveError, Live, ObjectStore};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing::info;

/// Metrics of publication.
#[derive(Debug, Clone, Default)]
pub struct PublishMetrics {
    parts: Gauge<i64, AtomicI64>,
    waiting: Gauge<i64, AtomicI64>,
    root: Gauge<i64, AtomicI64>,
    commits: Counter,
    failures: Counter,
}

impl PublishMetrics {
    /// Shows them in the registry.
    pub fn register(&self, registry: &mut Registry) {
        let gauges = [
            ("tables_parts", "Parts in the published tables.", &self.parts),
            (
                "tables_waiting_parts",
                "Live parts of level 1 and above that are not in the published tables until they are merged.",
                &self.waiting,
            ),
            (
                "tables_root",
                "Root that the published tables are the image of.",
                &self.root,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
            (
                "tables_commits",
                "Versions of published tables that were written.",
                &self.commits,
            ),
            (
                "tables_failures",
                "Publications that ended with an error.",
                &self.failures,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }
}

/// The published tables of one archive.
#[derive(Debug)]
pub struct OpenTables {
    publisher: Publisher,
    metrics: PublishMetrics,
}

impl OpenTables {
    /// The tables of the archive `dataset` in a store; what went may be read for `undelete_days` more.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, dataset: &str, undelete_days: u64, metrics: PublishMetrics) -> Self {
        Self {
            publisher: Publisher::new(store, dataset, undelete_days),
            metrics,
        }
    }

    /// Brings the tables to what is live. Asks nothing of the store when nothing has changed since the last time.
    ///
    /// # Errors
    /// As [`Publisher::publish`]; the next publication puts right what this one left.
    pub async fn publish(&self, live: &Live) -> Result<Publication, ArchiveError> {
        let started = Instant::now();
        let parts: Vec<_> = live.parts().cloned().collect();
        let published = self.publisher.publish(live.root_n(), &parts, live.masks()).await;
        let done = published.inspect_err(|_| {
            self.metrics.failures.inc();
        })?;
        self.metrics.parts.set(signed(done.parts));
        self.metrics.waiting.set(signed(done.waiting));
        self.metrics.root.set(i64::try_from(live.root_n()).unwrap_or(i64::MAX));
        self.metrics.commits.inc_by(done.commits);
        if done.commits > 0 {
            info!(
                root = live.root_n(),
                parts = done.parts,
                waiting = done.waiting,
                files_added = done.added,
                files_removed = done.removed,
                commits = done.commits,
                duration = ?started.elapsed(),
                "tables published"
            );
        }
        Ok(done)
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
