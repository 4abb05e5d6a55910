//! What the compactor shows of itself at `/metrics`; the registry adds the prefix `emberkeep_`.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics of one compactor.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Folds that failed, each attempt counted.
    pub(crate) fold_failures: Counter,
    /// Roots that this process created.
    pub(crate) roots: Counter,
    /// When the last fold succeeded, whether or not there was something to fold; seconds since 1970, 0 before the first.
    pub(crate) last_fold: Gauge<f64, AtomicU64>,
    /// Number of the newest root that this process knows, 0 before the first.
    pub(crate) root_number: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Notes the newest root.
    pub(crate) fn know_root(&self, n: u64) {
        self.root_number.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Shows them. The encoder adds `_total` to counters.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "compactor_fold_failures",
            "Attempts to fold commit records into a root that failed",
            self.fold_failures.clone(),
        );
        registry.register("compactor_roots", "Roots created by this process", self.roots.clone());
        registry.register(
            "compactor_last_fold_timestamp_seconds",
            "Time of the last fold that succeeded, whether or not there was something to fold",
            self.last_fold.clone(),
        );
        registry.register(
            "compactor_root_number",
            "Number of the newest root that this process knows",
            self.root_number.clone(),
        );
    }
}
