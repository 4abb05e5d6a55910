//! Retained roots: what was live at a moment of the past (DESIGN §5.7).

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;

use super::load::load_root;
use super::pin::below;
use super::view::view_at;
use super::{Catalog, CatalogView};
use crate::{ArchiveError, names};

/// A root that still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetainedRoot {
    /// Its number.
    pub n: u64,
    /// When the store took it, milliseconds since 1970.
    pub stored_at: i64,
}

impl Catalog {
    /// All roots that still exist and once were the newest, the newest first. One listing.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn retained_roots(&self) -> Result<Vec<RetainedRoot>, ArchiveError> {
        let (roots, _) = self.listed_roots().await?;
        Ok(roots)
    }

    /// The roots that once were the newest, and those that never were: a committer that stalled until its number was collected has created
    /// it again, long after greater ones.
    pub(super) async fn listed_roots(&self) -> Result<(Vec<RetainedRoot>, Vec<RetainedRoot>), ArchiveError> {
        let prefix = names::roots();
        let mut listing = self.store().list(Some(&prefix));
        let mut roots = Vec::new();
        while let Some(found) = listing.next().await {
            let found = found.map_err(ArchiveError::store(&prefix))?;
            let stored_at = found.last_modified.timestamp_millis();
            roots.extend(names::parse_root(&found.location).map(|n| RetainedRoot { n, stored_at }));
        }
        roots.sort_by_key(|root| std::cmp::Reverse(root.n));
        let mut earliest = i64::MAX;
        Ok(roots.into_iter().partition(|root: &RetainedRoot| {
            let is_in_order = root.stored_at <= earliest.saturating_add(STORE_SLACK_MS);
            earliest = earliest.min(root.stored_at);
            is_in_order
        }))
    }

    /// The view of a retained root, without the commit records above it: a moment of the past.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when files that the root names may be deleted; [`ArchiveError::is_not_found`] when the root
    /// exists no more; otherwise as [`Catalog::refresh`].
    pub async fn at_root(&self, n: u64) -> Result<Arc<CatalogView>, ArchiveError> {
        let looked_at = Instant::now();
        let held = self.held_root().await;
        let root = self.load(n, held.as_ref()).await?;
        // The newest root is looked at last: a floor that is raised after it protects whoever has a pin by then.
        let floor = self.look_at_root().await?.floor();
        if n < floor {
            return Err(below(n, floor));
        }
        Ok(Arc::new(view_at(&root, looked_at)))
    }

    /// The view of the root that was the newest at a moment, milliseconds since 1970.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when there was none yet, or none is retained; otherwise as [`Catalog::at_root`].
    pub async fn as_of(&self, time_ms: i64) -> Result<Arc<CatalogView>, ArchiveError> {
        let roots = self.retained_roots().await?;
        for root in roots
            .iter()
            .filter(|root| root.stored_at <= time_ms.saturating_add(CLOCK_SLACK_MS))
        {
            if load_root(&**self.store(), root.n).await?.created_at <= time_ms {
                return self.at_root(root.n).await;
            }
        }
        let oldest = roots
            .last()
            .map_or_else(|| "none".to_owned(), |root| root.n.to_string());
        Err(ArchiveError::Refused(format!(
            "no root of that time is retained, the oldest one is {oldest}"
        )))
    }
}

/// How far the clocks of a store's own machines may be apart. A root that is not in order is later by far more: its number was collected.
const STORE_SLACK_MS: i64 = 60_000;

/// How far the clock of the store may be from that of a committer.
const CLOCK_SLACK_MS: i64 = 600_000;
