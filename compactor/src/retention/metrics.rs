//! What retention shows of itself at `/metrics`; the registry adds the prefix `emberkeep_`.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics of retention.
#[derive(Debug, Clone, Default)]
pub struct RetentionMetrics {
    /// Parts that were removed.
    pub(crate) parts: Counter,
    /// Bytes of their files.
    pub(crate) bytes: Counter,
    /// Bytes that retention wants to remove and the guard keeps; 0 when nothing waits for a confirmation.
    pub(crate) refused_bytes: Gauge<i64, AtomicI64>,
}

impl RetentionMetrics {
    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "retention_expired_parts",
            "Parts removed by retention",
            self.parts.clone(),
        );
        registry.register(
            "retention_expired_bytes",
            "Bytes removed by retention",
            self.bytes.clone(),
        );
        registry.register(
            "retention_refused_bytes",
            "Bytes that retention would remove but that are too much at once; `compactor retention --yes` confirms",
            self.refused_bytes.clone(),
        );
    }
}
