//! What drills show at `/metrics`; the registry adds the prefix `emberkeep_`.
//!
//! All but the counters come from the archive's own notes, so they outlive the process and include drills that were run elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use emberkeep_archive::{DrillOutcome, DrillState};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics of drills.
#[derive(Debug, Clone, Default)]
pub struct DrillMetrics {
    last_proven: Gauge<f64, AtomicU64>,
    pace: Gauge<f64, AtomicU64>,
    last: Gauge<f64, AtomicU64>,
    last_seconds: Gauge<f64, AtomicU64>,
    last_bytes: Gauge<i64, AtomicI64>,
    is_last_proven: Gauge<i64, AtomicI64>,
    proven: Counter,
    failures: Counter,
    /// Counts of the notes that are in the counters already.
    seen: Arc<[AtomicU64; 2]>,
}

impl DrillMetrics {
    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "last_proven_restore_timestamp_seconds",
            "Time of the last drill that proved that a part of the archive can be restored; 0 before the first",
            self.last_proven.clone(),
        );
        registry.register(
            "restore_seconds_per_gigabyte",
            "Time that the last drills took to restore 2^30 bytes of blocks; 0 before the first",
            self.pace.clone(),
        );
        registry.register(
            "last_drill_timestamp_seconds",
            "Time of the last drill, whatever came out; 0 before the first",
            self.last.clone(),
        );
        registry.register(
            "last_drill_duration_seconds",
            "How long the last drill took",
            self.last_seconds.clone(),
        );
        registry.register(
            "last_drill_bytes",
            "Bytes of the blocks of the last drill",
            self.last_bytes.clone(),
        );
        registry.register(
            "last_drill_proven",
            "1 when the last drill proved what it restored, 0 when it failed or there was none",
            self.is_last_proven.clone(),
        );
        registry.register(
            "drills_proven",
            "Drills that proved what they restored, also of other processes",
            self.proven.clone(),
        );
        registry.register(
            "drill_failures",
            "Drills that found a difference or could not be carried through, also of other processes",
            self.failures.clone(),
        );
    }

    /// Shows what the archive notes.
    pub fn know(&self, state: &DrillState) {
        self.last_proven.set(state.last_proven.map_or(0.0, seconds));
        self.pace.set(state.seconds_per_gigabyte().unwrap_or(0.0));
        if let Some(last) = state.last() {
            self.last.set(seconds(last.at));
            self.last_seconds.set(last.duration_ms as f64 / 1000.0);
            self.last_bytes.set(i64::try_from(last.bytes).unwrap_or(i64::MAX));
            self.is_last_proven.set(i64::from(last.outcome == DrillOutcome::Proven));
        }
        let counters = [(&self.proven, state.proven), (&self.failures, state.failed)];
        for ((counter, count), seen) in counters.into_iter().zip(&*self.seen) {
            // Notes that were lost begin anew; a counter never goes back.
            counter.inc_by(count.saturating_sub(seen.swap(count, Ordering::Relaxed)));
        }
    }

    /// Counts a drill that could not even be noted.
    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
