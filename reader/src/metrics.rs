//! What the reader counts.
//!
//! One function for each event, so that a call site is one line. Never a label with an unbounded set of values; tenants are as
//! many as have data.

use std::sync::atomic::AtomicU64;

use emberkeep_model::TenantId;
use emberkeep_service::clock::{Clock, SystemClock};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of the reader; cheap to clone, all clones count together.
#[derive(Debug, Clone, Default)]
pub struct ReaderMetrics {
    requests: Family<Vec<(&'static str, String)>, Counter>,
    queries: Counter,
    aborted: Counter,
    series: Counter,
    samples: Counter,
    conflicts: Family<Vec<(&'static str, String)>, Counter>,
    parts: Counter,
    bytes: Counter,
    running: Gauge,
    running_limit: Gauge,
    kept: Gauge,
    kept_limit: Gauge,
    looks: Counter,
    looks_failed: Counter,
    stale_views: Counter,
    last_look: Gauge<f64, AtomicU64>,
    heads_failed: Counter,
    partial: Counter,
}

impl ReaderMetrics {
    /// Counters that are registered; names get the registry's prefix.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let all = registry.sub_registry_with_prefix("reader");
        all.register(
            "requests",
            "Requests answered, by handler and status code",
            metrics.requests.clone(),
        );
        all.register("queries", "Queries read from the archive", metrics.queries.clone());
        all.register(
            "answers_aborted",
            "Answers cut off because they failed after their first byte",
            metrics.aborted.clone(),
        );
        all.register("series", "Series sent", metrics.series.clone());
        all.register("samples", "Samples sent", metrics.samples.clone());
        all.register(
            "sample_conflicts",
            "Samples that lost against a different one of the same series and time, by tenant",
            metrics.conflicts.clone(),
        );
        all.register("parts_opened", "Parts opened", metrics.parts.clone());
        all.register("sent_bytes", "Bytes of remote read answers", metrics.bytes.clone());
        all.register(
            "remote_reads_running",
            "Remote read requests that are being answered",
            metrics.running.clone(),
        );
        all.register(
            "remote_reads_limit",
            "Bound of requests that are answered at a time (--read.concurrency)",
            metrics.running_limit.clone(),
        );
        all.register(
            "cache_bytes",
            "Footers, page indexes and filters of parts kept between queries, when the last one began",
            metrics.kept.clone(),
        );
        all.register(
            "cache_limit_bytes",
            "Bound of what is kept between queries (--read.cache-memory)",
            metrics.kept_limit.clone(),
        );
        all.register(
            "catalog_looks",
            "Looks at the catalog that succeeded",
            metrics.looks.clone(),
        );
        all.register(
            "catalog_looks_failed",
            "Looks at the catalog that failed",
            metrics.looks_failed.clone(),
        );
        all.register(
            "catalog_stale_views",
            "Queries answered from an earlier look at the catalog, because a new one failed",
            metrics.stale_views.clone(),
        );
        all.register(
            "catalog_last_look_timestamp_seconds",
            "When the last look at the catalog succeeded; its age is time() minus this",
            metrics.last_look.clone(),
        );
        all.register(
            "head_reads_failed",
            "Heads that could not be asked, whatever became of the query",
            metrics.heads_failed.clone(),
        );
        all.register(
            "partial_answers",
            "Queries answered without a head that could not be asked, for each head",
            metrics.partial.clone(),
        );
        metrics
    }

    pub(crate) fn bound(&self, concurrency: usize, kept_bytes: usize) {
        self.running_limit.set(i64::try_from(concurrency).unwrap_or(i64::MAX));
        self.kept_limit.set(i64::try_from(kept_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn request(&self, handler: &'static str, code: u16) {
        self.requests
            .get_or_create(&vec![("handler", handler.to_owned()), ("code", code.to_string())])
            .inc();
    }

    pub(crate) fn query(&self, parts: usize, kept_bytes: usize) {
        self.queries.inc();
        self.parts.inc_by(parts as u64);
        self.kept.set(i64::try_from(kept_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn aborted(&self) {
        self.aborted.inc();
    }

    pub(crate) fn series(&self, samples: u64) {
        self.series.inc();
        self.samples.inc_by(samples);
    }

    pub(crate) fn conflicts(&self, tenant: &TenantId, count: u64) {
        self.conflicts
            .get_or_create(&vec![("tenant", tenant.to_string())])
            .inc_by(count);
    }

    pub(crate) fn bytes(&self, count: usize) {
        self.bytes.inc_by(count as u64);
    }

    pub(crate) fn looked(&self) {
        self.looks.inc();
        self.last_look.set(SystemClock.now_ms() as f64 / 1000.0);
    }

    pub(crate) fn look_failed(&self) {
        self.looks_failed.inc();
    }

    pub(crate) fn stale_view(&self) {
        self.stale_views.inc();
    }

    pub(crate) fn head_failed(&self) {
        self.heads_failed.inc();
    }

    pub(crate) fn partial(&self) {
        self.partial.inc();
    }

    /// Counts a running remote read until the guard is dropped.
    pub(crate) fn run(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }
}

/// A remote read that is being answered.
#[derive(Debug)]
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
