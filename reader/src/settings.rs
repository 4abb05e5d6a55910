//! The bounds of a reader, and how it answers, each with its default.
//!
//! A bound that is passed fails the query with a text that names its flag: a shorter answer must never be given instead.

use std::time::Duration;

use crate::{LookSettings, ReplicaLabels};

/// The bounds of a reader, and how it answers.
#[derive(Debug, Clone)]
pub struct ReaderSettings {
    /// Samples that one query of a sampled answer may select; a histogram counts as one.
    pub sample_limit: u64,
    /// Series that one query of a remote read may select, or one request of the API may look at.
    pub series_limit: usize,
    /// Parts that one query, or one request of the API, may open.
    pub part_limit: usize,
    /// Bytes of a sampled answer as it is sent; it is in memory whole.
    pub sampled_bytes_max: u64,
    /// Bytes of a streamed answer.
    pub streamed_bytes_max: u64,
    /// Bytes of what is remembered of parts between queries: footers, page indexes, and which label values their series tables have where.
    pub kept_bytes: usize,
    /// Requests answered at the same time, remote reads and the API together; others wait.
    pub concurrency: usize,
    /// Time that one request may take: a remote read from its arrival to its last byte, one of the API until its answer is whole.
    pub timeout: Duration,
    /// The labels in which replicas differ that are merged where a request does not say otherwise.
    pub replica_labels: ReplicaLabels,
    /// How heads and catalog are looked at.
    pub look: LookSettings,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        // Samples and concurrency are Prometheus' own. Its client gives up after one minute (`remote_timeout`) unless it is told
        // to wait longer.
        Self {
            sample_limit: 50_000_000,
            series_limit: 5_000_000,
            part_limit: 4_096,
            sampled_bytes_max: 1 << 30,
            streamed_bytes_max: 64 << 30,
            kept_bytes: 128 << 20,
            concurrency: 10,
            timeout: Duration::from_secs(5 * 60),
            replica_labels: ReplicaLabels::default(),
            look: LookSettings::default(),
        }
    }
}
