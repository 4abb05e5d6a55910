//! Tells of conflicts: samples of one series and timestamp that differ, of which only one can be given.
//!
//! Counted all, named seldom: a dashboard that is open asks for the same conflict every few seconds. It must never change what is
//! answered.

use emberkeep_model::TenantId;

use crate::pace::Pace;
use crate::{Conflicts, ReaderMetrics};

/// When a conflict was named last.
#[derive(Debug, Default)]
pub(crate) struct ConflictLog {
    told: Pace,
}

impl ConflictLog {
    /// Counts the conflicts of a query, and names a series of them when none was named for a while.
    pub(crate) fn tell(&self, tenant: &TenantId, conflicts: &Conflicts, metrics: &ReaderMetrics) {
        if conflicts.rows == 0 {
            return;
        }
        metrics.conflicts(tenant, conflicts.rows);
        if self.told.is_time() {
            let series = conflicts.example.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                tenant = %tenant,
                series,
                samples = conflicts.rows,
                "samples of one series and timestamp differ; the greatest in the total order is given"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn all_are_counted_by_tenant_and_one_is_named() {
        let mut registry = Registry::default();
        let metrics = ReaderMetrics::register(&mut registry);
        let log = ConflictLog::default();
        let of = |rows| Conflicts { rows, example: None };
        let other = TenantId::parse("other").expect("a tenant");
        let untold = ConflictLog::default();
        untold.tell(&other, &of(0), &metrics);
        assert!(untold.told.is_time(), "nothing was told");
        log.tell(&other, &of(3), &metrics);
        assert!(!log.told.is_time(), "it was told a moment ago");
        log.tell(&other, &of(4), &metrics);
        log.tell(&TenantId::default(), &of(1), &metrics);
        let mut text = String::new();
        encode(&mut text, &registry).expect("metrics are text");
        for line in [
            "reader_sample_conflicts_total{tenant=\"other\"} 7\n",
            "reader_sample_conflicts_total{tenant=\"anonymous\"} 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
