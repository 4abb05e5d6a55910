//! What a receiver tells of itself. Names follow Prometheus' conventions; no metric has a label per series.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::batch::Counts;
use crate::settings::Settings;

/// Labels of answered requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnswerLabels {
    pub(crate) protocol: &'static str,
    pub(crate) code: u16,
}

/// Why something of a request was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabels {
    pub(crate) reason: &'static str,
}

/// Whose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TenantLabels {
    pub(crate) tenant: String,
}

/// Which source, and what of the things that its configuration can switch on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceLabels {
    pub(crate) tenant: String,
    pub(crate) agent: String,
    pub(crate) what: &'static str,
}

/// All metrics of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: Family<AnswerLabels, Counter>,
    pub(crate) samples: Counter,
    pub(crate) histograms: Counter,
    pub(crate) exemplars: Counter,
    pub(crate) metadata: Counter,
    pub(crate) source_sends: Family<SourceLabels, Gauge<i64, AtomicI64>>,
    pub(crate) refused: Family<ReasonLabels, Counter>,
    pub(crate) conflicts: Family<TenantLabels, Counter>,
    pub(crate) flushes: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) commits: Counter,
    pub(crate) commit_failures: Counter,
    pub(crate) commit_failing: Gauge<i64, AtomicI64>,
    pub(crate) last_commit_timestamp: Gauge<f64, AtomicU64>,
    pub(crate) newest_acked_arrival: Gauge<f64, AtomicU64>,
    pub(crate) clock_suspect: Gauge<i64, AtomicI64>,
    pub(crate) head_bytes: Gauge<i64, AtomicI64>,
    pub(crate) head_bytes_max: Gauge<i64, AtomicI64>,
    pub(crate) head_series: Gauge<i64, AtomicI64>,
    pub(crate) in_flight_bytes: Gauge<i64, AtomicI64>,
    pub(crate) in_flight_bytes_max: Gauge<i64, AtomicI64>,
    pub(crate) staging_bytes: Gauge<i64, AtomicI64>,
    pub(crate) staging_bytes_max: Gauge<i64, AtomicI64>,
    pub(crate) staged_parts: Gauge<i64, AtomicI64>,
    pub(crate) fenced: Gauge<i64, AtomicI64>,
    pub(crate) replay_running: Gauge<i64, AtomicI64>,
    pub(crate) replay_done_bytes: Gauge<i64, AtomicI64>,
    pub(crate) replay_size_bytes: Gauge<i64, AtomicI64>,
    pub(crate) replay_seconds: Gauge<f64, AtomicU64>,
    pub(crate) replayed_records: Counter,
    pub(crate) replay_damage: Family<ReasonLabels, Counter>,
    pub(crate) wal_bytes: Counter,
    pub(crate) wal_syncs: Counter,
    pub(crate) wal_sync_seconds: Counter<f64, AtomicU64>,
    pub(crate) wal_longest_sync_seconds: Gauge<f64, AtomicU64>,
    pub(crate) wal_written_bytes: Counter,
    pub(crate) wal_groups: Counter,
    pub(crate) wal_queue_bytes: Gauge<i64, AtomicI64>,
    pub(crate) wal_queue_bytes_max: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Registers everything. The registry's prefix is `emberkeep`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("receiver");
        r.register(
            "remote_write_requests",
            "Answered remote-write requests",
            self.requests.clone(),
        );
        r.register("samples", "Samples made durable and acknowledged", self.samples.clone());
        r.register(
            "histograms",
            "Native histograms made durable and acknowledged",
            self.histograms.clone(),
        );
        r.register(
            "exemplars",
            "Exemplars made durable and acknowledged",
            self.exemplars.clone(),
        );
        r.register(
            "metadata",
            "Metadata entries made durable and acknowledged",
            self.metadata.clone(),
        );
        r.register(
            "source_sends",
            "1 when a source has sent this since the start, 0 when it never did",
            self.source_sends.clone(),
        );
        r.register(
            "refused_samples",
            "Samples, histograms, exemplars and metadata refused, by reason",
            self.refused.clone(),
        );
        r.register(
            "conflicts",
            "Samples and histograms that lost against another one of their series and time, by tenant",
            self.conflicts.clone(),
        );
        r.register("flushes", "Generations flushed", self.flushes.clone());
        r.register(
            "flush_failures",
            "Flushes that failed and are tried again",
            self.flush_failures.clone(),
        );
        r.register("commits", "Parts committed to the store", self.commits.clone());
        r.register(
            "commit_failures",
            "Commits that failed and are tried again",
            self.commit_failures.clone(),
        );
        r.register(
            "commit_failing",
            "1 while nothing can be committed and writes stay on local disk; `/-/ready` says why",
            self.commit_failing.clone(),
        );
        r.register(
            "last_commit_timestamp_seconds",
            "When the last part was committed",
            self.last_commit_timestamp.clone(),
        );
        r.register(
            "last_acked_timestamp_seconds",
            "Arrival of the newest acknowledged request",
            self.newest_acked_arrival.clone(),
        );
        r.register(
            "clock_suspect",
            "1 while our own clock contradicts what it recorded or what is sent",
            self.clock_suspect.clone(),
        );
        r.register(
            "head_bytes",
            "Bytes held in memory and not staged",
            self.head_bytes.clone(),
        );
        r.register("head_limit_bytes", "Bound of head_bytes", self.head_bytes_max.clone());
        r.register(
            "head_series",
            "Series of all generations in memory",
            self.head_series.clone(),
        );
        r.register(
            "in_flight_bytes",
            "Memory of requests in flight",
            self.in_flight_bytes.clone(),
        );
        r.register(
            "in_flight_limit_bytes",
            "Bound of in_flight_bytes",
            self.in_flight_bytes_max.clone(),
        );
        r.register(
            "staging_bytes",
            "Bytes flushed and not committed",
            self.staging_bytes.clone(),
        );
        r.register(
            "staging_limit_bytes",
            "Bound of staging_bytes",
            self.staging_bytes_max.clone(),
        );
        r.register(
            "staged_parts",
            "Parts flushed and not committed",
            self.staged_parts.clone(),
        );
        r.register(
            "fenced",
            "1 when another incarnation commits in our place",
            self.fenced.clone(),
        );
        r.register(
            "replay_running",
            "1 while the log of an earlier run is replayed and the head cannot be read",
            self.replay_running.clone(),
        );
        r.register(
            "replay_done_bytes",
            "Bytes of that log that were read",
            self.replay_done_bytes.clone(),
        );
        r.register(
            "replay_size_bytes",
            "Bytes of that log, preallocated ones included",
            self.replay_size_bytes.clone(),
        );
        r.register(
            "replay_seconds",
            "How long the replay takes, or took",
            self.replay_seconds.clone(),
        );
        r.register(
            "replayed_records",
            "Records replayed since the start",
            self.replayed_records.clone(),
        );
        r.register(
            "replay_damage",
            "Damaged places of the log found at start, by kind",
            self.replay_damage.clone(),
        );
        r.register(
            "wal_bytes",
            "Bytes of request bodies written to the log since start",
            self.wal_bytes.clone(),
        );
        r.register(
            "wal_syncs",
            "fdatasync calls of the log since start",
            self.wal_syncs.clone(),
        );
        r.register(
            "wal_sync_seconds",
            "Time spent in fdatasync calls of the log since start",
            self.wal_sync_seconds.clone(),
        );
        r.register(
            "wal_longest_sync_seconds",
            "The longest fdatasync of the log since start",
            self.wal_longest_sync_seconds.clone(),
        );
        r.register(
            "wal_written_bytes",
            "Bytes of whole records written to the log since start, headers included",
            self.wal_written_bytes.clone(),
        );
        r.register(
            "wal_groups",
            "Groups of records that shared one fdatasync since start",
            self.wal_groups.clone(),
        );
        r.register(
            "wal_queue_bytes",
            "Bytes that wait for the log or are being written",
            self.wal_queue_bytes.clone(),
        );
        r.register(
            "wal_queue_limit_bytes",
            "Bound of wal_queue_bytes",
            self.wal_queue_bytes_max.clone(),
        );
    }

    /// Shows the bounds beside what they bound.
    pub(crate) fn bounds(&self, settings: &Settings) {
        self.head_bytes_max
            .set(i64::try_from(settings.head_bytes_max).unwrap_or(i64::MAX));
        self.in_flight_bytes_max
            .set(i64::try_from(settings.inflight_bytes_max).unwrap_or(i64::MAX));
        self.wal_queue_bytes_max
            .set(i64::try_from(settings.inflight_bytes_max).unwrap_or(i64::MAX));
        self.staging_bytes_max
            .set(i64::try_from(settings.staging_bytes_max).unwrap_or(i64::MAX));
    }

    pub(crate) fn refuse(&self, reason: &'static str, n: u64) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc_by(n);
    }

    pub(crate) fn keep(&self, counts: Counts) {
        self.samples.inc_by(counts.samples as u64);
        self.histograms.inc_by(counts.histograms as u64);
        self.exemplars.inc_by(counts.exemplars as u64);
        self.metadata.inc_by(counts.metadata as u64);
    }
}
