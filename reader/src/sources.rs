//! Where an answer comes from: the heads first, then a catalog view that covers what the heads had already committed.
//!
//! In this order a flush that happens meanwhile is seen twice and deduplicated; in the other it could be missed. A head that
//! does not answer fails the query: an answer that is silently shorter must never be given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emberkeep_archive::{ArchiveError, Catalog, CatalogView, ObjectStore};
use emberkeep_model::head::{HeadAnswer, HeadKinds, HeadPosition, HeadQuery};
use futures::future::try_join_all;
use tokio::sync::Mutex;

use crate::scan::Query;
use crate::{HeadSource, ReaderError};

/// The bucket, its catalog, and the heads whose content is not there yet.
#[derive(Debug)]
pub struct Sources {
    store: Arc<dyn ObjectStore>,
    catalog: Catalog,
    heads: Vec<HeadSource>,
    /// Looks that were asked for, to share one refresh between those that wait for it.
    asked: AtomicU64,
    newest: Mutex<Newest>,
}

/// The view that was loaded last, and how many looks had been asked for when its loading began.
#[derive(Debug, Default)]
struct Newest {
    asked_before: u64,
    view: Option<Arc<CatalogView>>,
}

/// Everything that a query may be answered from, as of one moment.
#[derive(Debug, Clone)]
pub struct Look {
    /// The answers of the heads, at least one for each head.
    pub heads: Vec<Arc<HeadAnswer>>,
    /// A view that covers the position of each head.
    pub view: Arc<CatalogView>,
}

impl Sources {
    /// The archive in a store, and the heads of the receivers that write to it.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, heads: Vec<HeadSource>) -> Self {
        let catalog = Catalog::new(Arc::clone(&store));
        Self {
            store,
            catalog,
            heads,
            asked: AtomicU64::new(0),
            newest: Mutex::default(),
        }
    }

    /// Where the parts lie.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Reads what the heads hold of these kinds, then the catalog. Of metadata all is asked for: which families belong to the
    /// selected series is the caller's to know.
    ///
    /// # Errors
    /// When a head or the catalog cannot be read.
    pub async fn look(&self, query: &Query, kinds: HeadKinds) -> Result<Look, ReaderError> {
        let everything = [Arc::from([])];
        let selectors = match kinds {
            HeadKinds::Samples | HeadKinds::Exemplars => query.selection.selectors(),
            HeadKinds::Metadata => &everything,
        };
        let mut questions = Vec::new();
        for head in &self.heads {
            for matchers in selectors {
                let question = HeadQuery {
                    tenant: query.tenant.clone(),
                    range: query.range,
                    matchers: Arc::clone(matchers),
                    kinds,
                };
                questions.push(head.read(question));
            }
        }
        let heads: Vec<Arc<HeadAnswer>> = try_join_all(questions).await?.into_iter().map(Arc::new).collect();
        let mut view = self.view().await?;
        for answer in &heads {
            if !covers(&view, &answer.position) {
                view = self
                    .catalog
                    .covering(&answer.position.receiver, answer.position.committed)
                    .await?;
            }
        }
        match heads.iter().find(|answer| !covers(&view, &answer.position)) {
            Some(missed) => Err(ReaderError::Unavailable(format!(
                "the catalog does not show commit {} of receiver `{}` yet; does it write to this archive?",
                missed.position.committed, missed.position.receiver
            ))),
            None => Ok(Look { heads, view }),
        }
    }

    /// A view of the catalog whose loading began after this call; at most one load runs at a time.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn view(&self) -> Result<Arc<CatalogView>, ArchiveError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut newest = self.newest.lock().await;
        if let Some(view) = &newest.view
            && newest.asked_before >= mine
        {
            return Ok(Arc::clone(view));
        }
        let asked_before = self.asked.load(Ordering::SeqCst);
        let view = self.catalog.refresh().await?;
        *newest = Newest {
            asked_before,
            view: Some(Arc::clone(&view)),
        };
        Ok(view)
    }
}

/// Whether a view shows everything that a head had committed when it was read.
fn covers(view: &CatalogView, position: &HeadPosition) -> bool {
    view.covers(&position.receiver, position.committed)
}
