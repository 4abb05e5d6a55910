//! The reader as a service: what the handlers share, and their routes.
//!
//! It has no background work and no state that a restart could lose. Health, metrics and the listener belong to whoever
//! merges the router: `reader` alone, or the process that runs receiver and compactor, too.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use emberkeep_archive::ObjectStore;
use emberkeep_model::head::HeadKinds;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::conflict_log::ConflictLog;
use crate::scan::{FamilyFilter, Query, Scan, read_families};
use crate::sources::Sources;
use crate::{Families, HeadSource, ReaderError, ReaderMetrics, ReaderSettings, api, remote_read};

/// Answers remote reads and metadata queries from an archive and the heads of its receivers.
#[derive(Debug)]
pub struct Reader {
    sources: Sources,
    settings: ReaderSettings,
    metrics: ReaderMetrics,
    conflicts: ConflictLog,
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
            conflicts: ConflictLog::default(),
            gate,
        }
    }

    /// The routes under `/api/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/api/v1/read", post(remote_read::handle))
            .merge(api::routes())
            .with_state(self)
    }

    /// Looks at heads and catalog and begins to read floats and histograms.
    ///
    /// # Errors
    /// When a head, the catalog or a part cannot be read, or a limit is passed.
    pub async fn scan(&self, query: &Query) -> Result<Scan, ReaderError> {
        let look = self.sources.look(query, HeadKinds::Samples).await?;
        let (parts, limit) = (&look.view.parts, self.settings.part_limit);
        let scan = Scan::open(self.sources.store(), parts, &look.heads, query, limit).await?;
        self.metrics.query(scan.parts());
        Ok(scan)
    }

    /// Looks at heads and catalog and begins to read exemplars.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub async fn exemplar_scan(&self, query: &Query) -> Result<Scan, ReaderError> {
        let look = self.sources.look(query, HeadKinds::Exemplars).await?;
        let (parts, limit) = (&look.view.parts, self.settings.part_limit);
        let scan = Scan::open_exemplars(self.sources.store(), parts, &look.heads, query, limit).await?;
        self.metrics.query(scan.parts());
        Ok(scan)
    }

    /// The metadata of the wanted families, of the parts that may have some for the range and of the heads. What was sent for a series belongs to the family of its metric name.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub async fn metadata(&self, query: &Query, filter: FamilyFilter<'_>) -> Result<Families, ReaderError> {
        let look = self.sources.look(query, HeadKinds::Metadata).await?;
        let limit = self.settings.part_limit;
        read_families(self.sources.store(), &look, query, filter, limit).await
    }

    /// Waits for a place among the requests being answered, remote reads and the API together, until the time of the request is over.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, ReaderError> {
        let place = timeout_at(deadline, Arc::clone(&self.gate).acquire_owned()).await;
        let permit = place.map_err(|_| {
            ReaderError::Unavailable(format!(
                "{} requests are being answered, the most at once (--read.concurrency), and none ended in time",
                self.settings.concurrency
            ))
        })?;
        permit.map_err(|_| ReaderError::Unavailable("the reader is shutting down".to_owned()))
    }

    /// Counts and logs what the scan of a query found to differ.
    pub(crate) fn tell_conflicts(&self, query: &Query, scan: &Scan) {
        self.conflicts.tell(&query.tenant, scan.conflicts(), &self.metrics);
    }

    pub(crate) fn settings(&self) -> &ReaderSettings {
        &self.settings
    }

    pub(crate) fn metrics(&self) -> &ReaderMetrics {
        &self.metrics
    }
}
