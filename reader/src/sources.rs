//! Where an answer comes from: the heads first, then a catalog view that covers what the heads had already committed.
//!
//! In this order a flush that happens meanwhile is seen twice and deduplicated; in the other it could be missed. A head that
//! does not answer fails the query, unless the operator allowed partial answers, which are counted, logged and marked: an answer
//! that is silently shorter must never be given.

mod look;
mod moment;
mod pinned;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use emberkeep_archive::{ArchiveError, Catalog, CatalogView, ObjectStore};
use emberkeep_service::duration;
use tokio::sync::Mutex;

pub use self::look::Look;
use self::moment::Moment;
pub use self::pinned::PinnedLook;
use crate::pace::Pace;
use crate::roster::HeadRoster;
use crate::{ReaderError, ReaderMetrics};

/// The bucket, its catalog, and the heads whose content is not there yet.
#[derive(Debug)]
pub struct Sources {
    store: Arc<dyn ObjectStore>,
    catalog: Arc<Catalog>,
    heads: HeadRoster,
    settings: LookSettings,
    metrics: ReaderMetrics,
    /// Looks that were asked for, to share one refresh between those that wait for it.
    asked: AtomicU64,
    newest: Mutex<Newest>,
    /// The moment of the past that everything is answered from.
    moment: Option<Moment>,
    /// When something was last told of heads that are missing and of looks that failed.
    told: Pace,
}

/// How heads and catalog are looked at.
#[derive(Debug, Clone)]
pub struct LookSettings {
    /// A view of the catalog that is younger is used again, if it covers the heads.
    pub refresh_interval: Duration,
    /// When the catalog cannot be read, the last view is used as long as it is younger.
    pub max_staleness: Duration,
    /// What happens when a head cannot be asked.
    pub missing_heads: MissingHeads,
    /// The moment of the past that everything is answered from, milliseconds since 1970; none for now. Heads have no part in it.
    pub as_of: Option<i64>,
}

/// What happens to a query when a head cannot be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingHeads {
    /// It fails.
    #[default]
    Fail,
    /// It is answered without what is only there, which is counted, logged and marked.
    LeaveOut,
}

impl Default for LookSettings {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::ZERO,
            max_staleness: Duration::from_secs(60),
            missing_heads: MissingHeads::default(),
            as_of: None,
        }
    }
}

/// The view that was loaded last, and how many looks had been asked for when its loading began.
#[derive(Debug, Default)]
struct Newest {
    asked_before: u64,
    view: Option<Arc<CatalogView>>,
}

impl Sources {
    /// The archive in a store, and the heads of the receivers that write to it.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, heads: impl Into<HeadRoster>) -> Self {
        Self::with_settings(store, heads, LookSettings::default(), ReaderMetrics::default())
    }

    /// As [`Self::new`], with settings of its own.
    #[must_use]
    pub fn with_settings(
        store: Arc<dyn ObjectStore>,
        heads: impl Into<HeadRoster>,
        settings: LookSettings,
        metrics: ReaderMetrics,
    ) -> Self {
        Self {
            catalog: Arc::new(Catalog::new(Arc::clone(&store))),
            store,
            heads: heads.into(),
            moment: settings.as_of.map(Moment::new),
            settings,
            metrics,
            asked: AtomicU64::new(0),
            newest: Mutex::default(),
            told: Pace::default(),
        }
    }

    /// The same archive as it was at a moment, milliseconds since 1970; as it is now without one. Heads have no past and no part in it.
    #[must_use]
    pub fn as_of(self, time_ms: Option<i64>) -> Self {
        Self {
            moment: time_ms.map(Moment::new),
            ..self
        }
    }

    /// Whether everything is answered from a moment of the past.
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.moment.is_some()
    }

    /// The catalog, for those who look at more of it than what is live.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Where the parts lie.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// A view of the catalog whose loading began after this call, or less than the refresh interval before it; at most one load
    /// runs at a time. When the catalog cannot be read now, the last view while it is younger than the bound.
    ///
    /// # Errors
    /// When the catalog cannot be read and there is no view that is young enough.
    pub async fn view(&self) -> Result<Arc<CatalogView>, ReaderError> {
        if let Some(view) = self.catalog.cached()
            && view.looked_at.elapsed() < self.settings.refresh_interval
        {
            return Ok(view);
        }
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut newest = self.newest.lock().await;
        if let Some(view) = &newest.view
            && newest.asked_before >= mine
        {
            return Ok(Arc::clone(view));
        }
        let asked_before = self.asked.load(Ordering::SeqCst);
        let view = match self.catalog.refresh().await {
            Ok(view) => view,
            Err(error) => return self.last_view(error),
        };
        self.metrics.looked();
        *newest = Newest {
            asked_before,
            view: Some(Arc::clone(&view)),
        };
        Ok(view)
    }

    /// Fails where nothing was ever committed and no head is asked either: for those whose answer would be empty and look like a good one.
    ///
    /// # Errors
    /// [`ReaderError::Bad`] with the flags that say where the archive is; or the catalog or the list of heads cannot be read.
    pub(crate) async fn must_hold_something(&self) -> Result<(), ReaderError> {
        let view = self.view().await?;
        if !view.parts.is_empty() || !view.committed.is_empty() {
            return Ok(());
        }
        match self.is_of_the_past() || self.heads.listed().await?.is_empty() {
            true => Err(ReaderError::nothing_committed()),
            false => Ok(()),
        }
    }

    /// The view of before, when a look failed for a reason that passes and the view is young enough.
    fn last_view(&self, error: ArchiveError) -> Result<Arc<CatalogView>, ReaderError> {
        self.metrics.look_failed();
        let bound = self.settings.max_staleness;
        match self.catalog.cached() {
            Some(view) if error.is_transient() && view.looked_at.elapsed() <= bound => {
                if self.told.is_time() {
                    tracing::warn!(%error, "the catalog cannot be read; the last look at it is used for a while");
                }
                self.metrics.stale_view();
                Ok(view)
            }
            Some(view) if error.is_transient() => Err(ReaderError::Unavailable(format!(
                "the last look at the catalog that succeeded is {} old, more than {} (--catalog.max-staleness): {error}",
                duration::format(Duration::from_secs(view.looked_at.elapsed().as_secs())),
                duration::format(bound),
            ))),
            _ => Err(error.into()),
        }
    }
}
