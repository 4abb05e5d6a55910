//! What healing shows of itself at `/metrics`; the registry adds the prefix `emberkeep_`.

use std::sync::atomic::AtomicU64;

use emberkeep_model::TenantId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::HealState;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
    tenant: String,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Metrics of healing, by source.
#[derive(Debug, Clone, Default)]
pub struct HealMetrics {
    holes: Family<SourceLabels, Counter>,
    healed: Family<SourceLabels, Counter>,
    compared: Family<SourceLabels, Counter>,
    lost: Family<SourceLabels, Counter>,
    failures: Family<SourceLabels, Counter>,
    waiting: Family<SourceLabels, Seconds>,
    deadline: Family<SourceLabels, Seconds>,
    last_pass: Family<SourceLabels, Seconds>,
}

/// Metrics of one source.
#[derive(Debug, Clone, Default)]
pub struct SourceMetrics {
    /// Windows of which something was missing.
    pub(super) holes: Counter,
    /// Rows that were missing and are there now.
    pub(super) healed: Counter,
    /// Rows that were compared.
    pub(super) compared: Counter,
    /// Holes that the source holds nothing of any more.
    pub(super) lost: Counter,
    /// Passes that failed.
    pub(super) failures: Counter,
    waiting: Seconds,
    deadline: Seconds,
    last_pass: Seconds,
}

impl SourceMetrics {
    /// Shows what is remembered, also before the first pass of a process.
    pub(super) fn know(&self, state: &HealState) {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        self.waiting.set(seconds(state.waiting.length_ms()));
        self.deadline.set(state.deadline().map_or(0.0, seconds));
        self.last_pass.set(state.last_pass.map_or(0.0, seconds));
    }
}

impl HealMetrics {
    /// Those of one source for one tenant.
    #[must_use]
    pub fn of(&self, source: &str, tenant: &TenantId) -> SourceMetrics {
        let labels = SourceLabels {
            source: source.to_owned(),
            tenant: tenant.to_string(),
        };
        let counter = |family: &Family<SourceLabels, Counter>| family.get_or_create(&labels).clone();
        let gauge = |family: &Family<SourceLabels, Seconds>| family.get_or_create(&labels).clone();
        SourceMetrics {
            holes: counter(&self.holes),
            healed: counter(&self.healed),
            compared: counter(&self.compared),
            lost: counter(&self.lost),
            failures: counter(&self.failures),
            waiting: gauge(&self.waiting),
            deadline: gauge(&self.deadline),
            last_pass: gauge(&self.last_pass),
        }
    }

    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, family) in [
            (
                "heal_holes",
                "Windows in which rows of the source were missing, and were healed",
                &self.holes,
            ),
            (
                "heal_rows",
                "Rows that were missing and were pulled from the source",
                &self.healed,
            ),
            (
                "heal_compared_rows",
                "Rows of the source that were compared with the archive",
                &self.compared,
            ),
            (
                "heal_lost_holes",
                "Holes that the source did not reach back to any more",
                &self.lost,
            ),
            ("heal_pass_failures", "Passes of healing that failed", &self.failures),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, family) in [
            (
                "heal_waiting_seconds",
                "Suspected time that was not compared with the source yet",
                &self.waiting,
            ),
            (
                "heal_deadline_timestamp_seconds",
                "When the oldest suspected time falls out of the source's retention; 0 when nothing is suspected",
                &self.deadline,
            ),
            (
                "heal_last_pass_timestamp_seconds",
                "When a pass over the source ended well, also of an earlier process; 0 before the first",
                &self.last_pass,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
    }
}
