//! A moment of the past, and the root that was live then.
//!
//! A root never changes, so it is looked up once for as long as it is read. Heads hold what was never committed and have no past: an
//! answer of the past leaves them out.

use std::sync::Arc;

use emberkeep_archive::{ArchiveError, CatalogView};
use emberkeep_service::time_expr::format_rfc3339;
use tokio::sync::OnceCell;

use super::{Look, Sources};
use crate::ReaderError;

/// A moment that is read again and again.
#[derive(Debug)]
pub(super) struct Moment {
    time_ms: i64,
    view: OnceCell<Arc<CatalogView>>,
}

impl Moment {
    pub(super) fn new(time_ms: i64) -> Self {
        Self {
            time_ms,
            view: OnceCell::new(),
        }
    }

    pub(super) async fn look(&self, sources: &Sources) -> Result<Look, ReaderError> {
        let view = self.view.get_or_try_init(|| sources.view_as_of(self.time_ms)).await?;
        Ok(of_the_past(Arc::clone(view)))
    }
}

impl Sources {
    /// What was live at a moment of the past, milliseconds since 1970, from the roots that are retained. Heads have no part in it.
    ///
    /// # Errors
    /// [`ReaderError::Bad`] when no root of that time is retained, naming the oldest that is; or the catalog cannot be read.
    pub async fn look_as_of(&self, time_ms: i64) -> Result<Look, ReaderError> {
        Ok(of_the_past(self.view_as_of(time_ms).await?))
    }

    /// Says which root answers, when a moment of the past does.
    ///
    /// # Errors
    /// As [`Sources::look_as_of`].
    pub async fn tell_moment(&self) -> Result<(), ReaderError> {
        if let Some(moment) = &self.moment {
            let view = moment.look(self).await?.view;
            let made = view.root_created_at.map(format_rfc3339).unwrap_or_default();
            tracing::info!(
                as_of = format_rfc3339(moment.time_ms),
                root = view.root_n,
                made,
                "the past is read"
            );
        }
        Ok(())
    }

    async fn view_as_of(&self, time_ms: i64) -> Result<Arc<CatalogView>, ReaderError> {
        match self.catalog.as_of(time_ms).await {
            Err(ArchiveError::Refused(_)) => Err(self.too_old(time_ms).await?),
            found => Ok(found?),
        }
    }

    async fn too_old(&self, time_ms: i64) -> Result<ReaderError, ReaderError> {
        let floor = self.catalog.live().await?.floor();
        let roots = self.catalog.retained_roots().await?;
        let asked = format_rfc3339(time_ms);
        let readable = roots.iter().rfind(|root| root.n >= floor);
        Ok(ReaderError::Bad(match readable {
            Some(oldest) => format!(
                "no root of {asked} is retained: the oldest that can be read is root {} of {}, give a time from then on",
                oldest.n,
                format_rfc3339(oldest.stored_at)
            ),
            None => format!(
                "no root of {asked} is retained: nothing was folded into a root yet; if this is not where the archive is, see \
                 --objstore.config-file and --storage.path"
            ),
        }))
    }
}

fn of_the_past(view: Arc<CatalogView>) -> Look {
    Look {
        heads: Vec::new(),
        view,
        left_out: Vec::new(),
    }
}
