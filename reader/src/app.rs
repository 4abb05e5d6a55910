//! The reader as a service: what the handlers share, and their routes.
//!
//! It has no background work and no state that a restart could lose. Health, metrics and the listener belong to whoever
//! merges the router: `reader` alone, or the process that runs receiver and compactor, too.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use emberkeep_archive::ObjectStore;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::scan::{Query, Scan};
use crate::sources::Sources;
use crate::{HeadSource, ReaderError, ReaderMetrics, api, remote_read};

/// The bounds of a reader.
#[derive(Debug, Clone)]
pub struct ReaderSettings {
    /// Samples that one query of a sampled answer may select.
    pub sample_limit: u64,
    /// Remote reads answered at the same time; others wait.
    pub concurrency: usize,
    /// Parts that one query may open.
    pub part_limit: usize,
    /// Series that one metadata answer may look at.
    pub series_limit: usize,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        // The first two are Prometheus' own.
        Self {
            sample_limit: 50_000_000,
            concurrency: 10,
            part_limit: 4_096,
            series_limit: 5_000_000,
        }
    }
}

/// Answers remote reads and metadata queries from an archive and the heads of its receivers.
#[derive(Debug)]
pub struct Reader {
    sources: Sources,
    settings: ReaderSettings,
    metrics: ReaderMetrics,
    gate: Arc<Semaphore>,
}

impl Reader {
    /// A reader of the archive in `store` and of `heads`.
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        heads: Vec<HeadSource>,
        settings: ReaderSettings,
        metrics: ReaderMetrics,
    ) -> Self {
        let gate = Arc::new(Semaphore::new(settings.concurrency.max(1)));
        Self {
            sources: Sources::new(store, heads),
            settings,
            metrics,
            gate,
        }
    }

    /// The routes under `/api/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/api/v1/read", post(remote_read::handle))
            .route("/api/v1/series", get(api::series).post(api::series))
            .route("/api/v1/labels", get(api::label_names).post(api::label_names))
            .route("/api/v1/label/{name}/values", get(api::label_values))
            .route("/api/v1/status/buildinfo", get(api::build_info))
            .with_state(self)
    }

    /// Looks at heads and catalog and begins to read.
    ///
    /// # Errors
    /// When a head, the catalog or a part cannot be read, or a limit is passed.
    pub async fn scan(&self, query: &Query) -> Result<Scan, ReaderError> {
        let look = self.sources.look(query).await?;
        let scan = Scan::open(
            self.sources.store(),
            &look.view.parts,
            &look.heads,
            query,
            self.settings.part_limit,
        )
        .await?;
        self.metrics.query(scan.parts());
        Ok(scan)
    }

    /// Waits for a place among the running remote reads.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, ReaderError> {
        let permit = Arc::clone(&self.gate).acquire_owned().await;
        permit.map_err(|_| ReaderError::Unavailable("the reader is shutting down".to_owned()))
    }

    pub(crate) fn settings(&self) -> &ReaderSettings {
        &self.settings
    }

    pub(crate) fn metrics(&self) -> &ReaderMetrics {
        &self.metrics
    }
}
