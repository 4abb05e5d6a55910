//! The committer: it folds commit records into the next root, again and again.
//!
//! Any number of these may run. Whoever creates root n+1 has won, the others reload and redo; that is normal and happens inside
//! `archive::fold`. Nothing waits for a fold: readers use the newest root *and* the records above its watermarks, so a
//! compactor that is slow, stopped or cut off costs them a longer list and nothing else.
//!
//! It may be cancelled at any await: a root is either created or not, and the next fold starts from what is there. This module must
//! never hold anything that others wait for, and never end because the store fails.

use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Catalog, ObjectStore, Root, fold, fresh_nonce};
use emberkeep_service::clock::Clock;
use emberkeep_service::shutdown::Shutdown;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::error::CompactorError;
use crate::metrics::Metrics;
use crate::pause::pause;
use crate::settings::Settings;

/// One compactor on one store.
#[derive(Debug)]
pub struct Compactor {
    catalog: Catalog,
    settings: Settings,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    state: watch::Sender<State>,
}

/// What the last look gave. A change of it is logged, a repetition is only counted.
#[derive(Debug)]
enum State {
    /// No look has ended yet.
    Starting,
    /// The last look succeeded.
    Working,
    /// The last looks failed.
    Failing {
        failures: u32,
        transient: bool,
        reason: String,
    },
}

impl Compactor {
    /// A compactor on a store. It does nothing before [`Compactor::run`] or [`Compactor::fold_once`].
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog: Catalog::new(store),
            settings,
            clock,
            metrics: Metrics::default(),
            state: watch::Sender::new(State::Starting),
        }
    }

    /// Shows this compactor's metrics in the registry.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Whether it can do its work: the last look at the store succeeded. Writes and reads do not depend on it.
    ///
    /// # Errors
    /// Says why not.
    pub fn ready(&self) -> Result<(), String> {
        match &*self.state.borrow() {
            State::Starting => Err("the compactor has not looked at the store yet".to_owned()),
            State::Working => Ok(()),
            State::Failing { reason, .. } => Err(reason.clone()),
        }
    }

    /// One look: folds what there is into one new root. `None` when there was nothing to fold.
    ///
    /// # Errors
    /// The store failed, or something in the bucket cannot be used. Nothing is lost, and what is folded is folded.
    pub async fn fold_once(&self) -> Result<Option<Root>, CompactorError> {
        let now_ms = self.clock.now_ms();
        let result = self.fold(now_ms).await.map_err(CompactorError::from);
        self.note(now_ms, &result);
        result
    }

    async fn fold(&self, now_ms: i64) -> Result<Option<Root>, ArchiveError> {
        let root = fold(&**self.catalog.store(), &self.catalog, &fresh_nonce(), now_ms).await?;
        match &root {
            Some(root) => self.metrics.know_root(root.n),
            // A process that has just started may have nothing to fold for hours; its newest root is worth showing all the same.
            None if self.is_starting() => self.metrics.know_root(self.catalog.refresh().await?.root_n),
            None => {}
        }
        Ok(root)
    }

    /// Looks until the process is told to end: at once, then each interval, with growing pauses while the store fails.
    pub async fn run(&self, shutdown: &Shutdown) {
        loop {
            // A failure was counted and logged by `fold_once`; the loop only decides when to look again.
            let looked = async {
                let _ = self.fold_once().await;
                tokio::time::sleep(pause(&self.settings, self.failures(), rand::random())).await;
            };
            tokio::select! {
                biased;
                () = shutdown.triggered() => return,
                () = looked => {}
            }
        }
    }

    /// Looks until nothing is left to fold; the number of roots that were made.
    ///
    /// # Errors
    /// As [`Compactor::fold_once`], at the first failure.
    pub async fn fold_all(&self) -> Result<u64, CompactorError> {
        let mut roots = 0;
        while self.fold_once().await?.is_some() {
            roots += 1;
        }
        Ok(roots)
    }

    fn is_starting(&self) -> bool {
        matches!(*self.state.borrow(), State::Starting)
    }

    fn failures(&self) -> u32 {
        match &*self.state.borrow() {
            State::Failing { failures, .. } => *failures,
            State::Starting | State::Working => 0,
        }
    }

    /// Counts the outcome, and logs it when it differs from the one before.
    fn note(&self, now_ms: i64, result: &Result<Option<Root>, CompactorError>) {
        let next = match result {
            Ok(root) => {
                self.metrics.last_fold.set(now_ms as f64 / 1000.0);
                if let Some(root) = root {
                    self.metrics.roots.inc();
                    debug!(root = root.n, "folded commit records into a root");
                }
                if let State::Failing { failures, .. } = &*self.state.borrow() {
                    info!(failures, "folding works again");
                }
                State::Working
            }
            Err(error) => {
                self.metrics.fold_failures.inc();
                let transient = error.is_transient();
                let (failures, is_news) = match &*self.state.borrow() {
                    State::Failing {
                        failures,
                        transient: before,
                        ..
                    } => (failures.saturating_add(1), *before != transient),
                    State::Starting | State::Working => (1, true),
                };
                if is_news {
                    log_failure(error);
                }
                State::Failing {
                    failures,
                    transient,
                    reason: error.to_string(),
                }
            }
        };
        self.state.send_replace(next);
    }
}

fn log_failure(error: &CompactorError) {
    if error.is_transient() {
        warn!(%error, "cannot fold now; commit records stay readable, trying again with growing pauses");
    } else {
        error!(%error, "cannot fold before this is repaired; commit records stay readable");
    }
}

#[cfg(test)]
mod tests;
