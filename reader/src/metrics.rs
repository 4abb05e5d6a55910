//! What the reader counts.
//!
//! One function for each event, so that a call site is one line. Never a label with an unbounded set of values; tenants are as
//! many as have data.

use emberkeep_model::TenantId;
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
        metrics
    }

    pub(crate) fn request(&self, handler: &'static str, code: u16) {
        self.requests
            .get_or_create(&vec![("handler", handler.to_owned()), ("code", code.to_string())])
            .inc();
    }

    pub(crate) fn query(&self, parts: usize) {
        self.queries.inc();
        self.parts.inc_by(parts as u64);
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
