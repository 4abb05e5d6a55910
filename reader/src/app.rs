//! The reader as a service: what the handlers share, and their routes.
//!
//! It has no background work and no state that a restart could lose; parts stay open between queries, within a bound. Health, metrics and the listener belong to whoever
//! merges the router: `reader` alone, or the process that runs receiver and compactor, too.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use emberkeep_archive::{KeptParts, ObjectStore};
use emberkeep_model::head::HeadKinds;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::conflict_log::ConflictLog;
use crate::replicas::MergedScan;
use crate::roster::HeadRoster;
use crate::scan::{FamilyFilter, Ground, Opened, Query, Scan, read_families};
use crate::sources::{Look, PinnedLook, Sources};
use crate::{Families, ReaderError, ReaderMetrics, ReaderSettings, ReplicaLabels, SeriesReader, api, remote_read};

/// Answers remote reads and metadata queries from an archive and the heads of its receivers.
#[derive(Debug)]
pub struct Reader {
    sources: Sources,
    settings: ReaderSettings,
    metrics: ReaderMetrics,
    conflicts: ConflictLog,
    gate: Arc<Semaphore>,
    kept: KeptParts,
}

impl Reader {
    /// A reader of the archive in `store` and of `heads`.
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        heads: impl Into<HeadRoster>,
        settings: ReaderSettings,
        metrics: ReaderMetrics,
    ) -> Self {
        let gate = Arc::new(Semaphore::new(settings.concurrency.max(1)));
        metrics.bound(settings.concurrency.max(1), settings.kept_bytes);
        Self {
            sources: Sources::with_settings(store, heads, settings.look.clone(), metrics.clone()),
            kept: KeptParts::new(settings.kept_bytes),
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

    /// Looks at heads and catalog and begins to read floats and histograms, every replica as it is archived.
    ///
    /// # Errors
    /// When a head, the catalog or a part cannot be read, or a limit is passed.
    pub async fn scan(&self, query: &Query) -> Result<Scan, ReaderError> {
        let (_, opened) = self.open(query, HeadKinds::Samples, None).await?;
        opened.scan().await
    }

    /// As [`Self::scan`], for exemplars.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub async fn exemplar_scan(&self, query: &Query) -> Result<Scan, ReaderError> {
        let (_, opened) = self.open(query, HeadKinds::Exemplars, None).await?;
        opened.scan().await
    }

    /// Looks at heads and catalog and begins to read floats and histograms, with the replicas that these labels tell apart as
    /// one.
    ///
    /// # Errors
    /// As [`Self::scan`], and when there are too many replicas.
    pub async fn read(&self, query: &Query, replicas: &ReplicaLabels) -> Result<SeriesReader, ReaderError> {
        self.read_as_of(query, replicas, None).await
    }

    /// As [`Self::read`], from the root that was live at a moment, milliseconds since 1970, and without the heads; none for now.
    ///
    /// # Errors
    /// As [`Self::read`], and when no root of that time is retained.
    pub async fn read_as_of(
        &self,
        query: &Query,
        replicas: &ReplicaLabels,
        as_of: Option<i64>,
    ) -> Result<SeriesReader, ReaderError> {
        self.read_kinds(query, replicas, HeadKinds::Samples, as_of).await
    }

    /// As [`Self::read`], for exemplars.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_exemplars(&self, query: &Query, replicas: &ReplicaLabels) -> Result<SeriesReader, ReaderError> {
        self.read_kinds(query, replicas, HeadKinds::Exemplars, None).await
    }

    /// The metadata of the wanted families, of the parts that may have some for the range and of the heads. What was sent for a
    /// series belongs to the family of its metric name.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub async fn metadata(&self, query: &Query, filter: FamilyFilter<'_>) -> Result<Families, ReaderError> {
        Ok(self.metadata_of(query, filter).await?.0)
    }

    /// As [`Self::metadata`], with the heads that are missing in it.
    pub(crate) async fn metadata_of(
        &self,
        query: &Query,
        filter: FamilyFilter<'_>,
    ) -> Result<(Families, Vec<String>), ReaderError> {
        let look = self.sources.look(query, HeadKinds::Metadata).await?;
        let limit = self.settings.part_limit;
        let families = read_families(self.sources.store(), &look, query, filter, limit).await?;
        Ok((families, look.left_out))
    }

    async fn read_kinds(
        &self,
        query: &Query,
        replicas: &ReplicaLabels,
        kinds: HeadKinds,
        as_of: Option<i64>,
    ) -> Result<SeriesReader, ReaderError> {
        let (look, opened) = self.open(query, kinds, as_of).await?;
        if replicas.is_empty() {
            return Ok(SeriesReader::archived(opened.scan().await?, look.left_out));
        }
        let merged = MergedScan::open(&opened, replicas, self.settings.part_limit).await?;
        Ok(SeriesReader::merged(merged, look.left_out))
    }

    async fn open(&self, query: &Query, kinds: HeadKinds, as_of: Option<i64>) -> Result<(Look, Opened), ReaderError> {
        let look = match as_of {
            Some(moment) => self.sources.look_as_of(moment).await?,
            None => self.sources.look(query, kinds).await?,
        };
        let ground = Ground {
            kept: Some(&self.kept),
            ..Ground::of(self.sources.store(), &look)
        };
        let opened = Opened::open(ground, query, kinds, self.settings.part_limit).await?;
        self.metrics.query(opened.parts(), self.kept.bytes());
        Ok((look, opened))
    }

    /// Keeps the files of the moment that everything is answered from, when that is one of the past, and says which root it is.
    ///
    /// # Errors
    /// When no root of that time is retained, or the catalog cannot be read.
    pub async fn hold_past(&self, who: &str) -> Result<Option<PinnedLook>, ReaderError> {
        let Some(moment) = self.settings.look.as_of else {
            return Ok(None);
        };
        self.sources.tell_moment().await?;
        let look = self.sources.look_as_of(moment).await?;
        Ok(Some(self.sources.hold(look, who).await))
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
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
    pub(crate) fn tell_conflicts(&self, query: &Query, series: &SeriesReader) {
        self.conflicts.tell(&query.tenant, &series.conflicts(), &self.metrics);
    }

    pub(crate) fn settings(&self) -> &ReaderSettings {
        &self.settings
    }

    pub(crate) fn metrics(&self) -> &ReaderMetrics {
        &self.metrics
    }
}
