//! What upkeep shows of itself at `/metrics`; the registry adds the prefix `emberkeep_`.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Instant;

use emberkeep_archive::{Live, PartEntry};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::job_result::JobResult;
use crate::keeping::KeepingMetrics;
use crate::plan::{Job, JobKind};

/// Why parts were merged, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// A level of parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: u32,
}

/// Metrics of upkeep.
#[derive(Debug, Clone, Default)]
pub struct UpkeepMetrics {
    jobs: Family<JobLabels, Counter>,
    rows_read: Counter,
    rows_deleted: Counter,
    conflicts: Counter,
    bytes_read: Counter,
    bytes_written: Counter,
    seconds: Counter<f64, AtomicU64>,
    due: Gauge<i64, AtomicI64>,
    merge_memory: Gauge<i64, AtomicI64>,
    merge_memory_limit: Gauge<i64, AtomicI64>,
    parts: Family<LevelLabels, Gauge<i64, AtomicI64>>,
    bytes: Family<LevelLabels, Gauge<i64, AtomicI64>>,
    quarantined: Gauge<i64, AtomicI64>,
    /// Passes that ended with an error.
    pub(crate) pass_failures: Counter,
    /// Of what is removed and checked.
    pub(crate) keeping: KeepingMetrics,
}

impl UpkeepMetrics {
    /// Notes what is live.
    pub(crate) fn know(&self, live: &Live) {
        for level in 0..=2 {
            let labels = LevelLabels { level };
            let parts = live.parts().filter(|part| part.level == level);
            let (count, bytes) = parts.fold((0_i64, 0_u64), |(count, bytes), part| (count + 1, bytes + part.bytes()));
            self.parts.get_or_create(&labels).set(count);
            self.bytes.get_or_create(&labels).set(signed(bytes));
        }
        self.quarantined.set(signed(live.quarantined().len() as u64));
    }

    /// Notes how many jobs are due.
    pub(crate) fn due(&self, jobs: usize) {
        self.due.set(signed(jobs as u64));
    }

    /// Notes the memory that one merge may take.
    pub(crate) fn limit_memory(&self, bytes: usize) {
        self.merge_memory_limit.set(signed(bytes as u64));
    }

    /// Notes the memory that the merge which runs takes; 0 when none does.
    pub(crate) fn take_memory(&self, bytes: usize) {
        self.merge_memory.set(signed(bytes as u64));
    }

    /// Counts a job whose result is live.
    pub(crate) fn landed(&self, job: &Job, result: &JobResult, started: Instant) {
        self.count(job.kind, "landed");
        self.rows_read.inc_by(result.rows_read);
        self.rows_deleted.inc_by(result.deleted);
        self.conflicts.inc_by(result.conflicts);
        self.bytes_read.inc_by(job.bytes());
        self.bytes_written
            .inc_by(result.outputs.iter().map(PartEntry::bytes).sum());
        self.seconds.inc_by(started.elapsed().as_secs_f64());
    }

    /// Counts a job whose inputs were not live any more when it had ended.
    pub(crate) fn dropped(&self, kind: JobKind) {
        self.count(kind, "dropped");
    }

    /// Counts a job that failed.
    pub(crate) fn failed(&self, kind: JobKind) {
        self.count(kind, "failed");
    }

    fn count(&self, kind: JobKind, outcome: &'static str) {
        let kind = kind.as_str();
        self.jobs.get_or_create(&JobLabels { kind, outcome }).inc();
    }

    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "compactor_jobs",
            "Merges of parts, by reason and outcome",
            self.jobs.clone(),
        );
        registry.register(
            "compactor_rows_read",
            "Rows of the inputs of merges",
            self.rows_read.clone(),
        );
        registry.register(
            "compactor_rows_deleted",
            "Rows that merges left out because a mask or a rule of retention deletes them",
            self.rows_deleted.clone(),
        );
        registry.register(
            "compactor_conflicts",
            "Rows that lost against a different one of the same series and timestamp in a merge",
            self.conflicts.clone(),
        );
        registry.register(
            "compactor_read_bytes",
            "Bytes of the inputs of merges",
            self.bytes_read.clone(),
        );
        registry.register(
            "compactor_written_bytes",
            "Bytes of the outputs of merges",
            self.bytes_written.clone(),
        );
        registry.register(
            "compactor_merge_seconds",
            "Time spent in merges that landed",
            self.seconds.clone(),
        );
        registry.register(
            "compactor_jobs_due",
            "Merges that were due when it was last looked",
            self.due.clone(),
        );
        registry.register(
            "compactor_merge_memory_bytes",
            "Memory that the merge which runs takes at most, beside the rows of one series",
            self.merge_memory.clone(),
        );
        registry.register(
            "compactor_merge_memory_limit_bytes",
            "Memory that one merge may take (--compact.max-memory)",
            self.merge_memory_limit.clone(),
        );
        registry.register("archive_parts", "Live parts by level", self.parts.clone());
        registry.register(
            "archive_bytes",
            "Bytes of the files of live parts by level",
            self.bytes.clone(),
        );
        registry.register(
            "archive_quarantined_parts",
            "Live parts that cannot be read, and are merged no more",
            self.quarantined.clone(),
        );
        registry.register(
            "compactor_pass_failures",
            "Passes of upkeep that failed",
            self.pass_failures.clone(),
        );
        self.keeping.register(registry);
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
