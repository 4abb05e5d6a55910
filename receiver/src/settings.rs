//! What an operator can choose about a receiver, validated. Stores, clocks and file systems are parameters, not settings.

use std::path::PathBuf;
use std::time::Duration;

use emberkeep_archive::Keys;

use crate::Limits;

/// Validated settings of one receiver.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of the write-ahead log, the staged parts and the receiver's identity.
    pub storage_path: PathBuf,
    /// How long a generation stays open.
    pub flush_interval: Duration,
    /// Head bytes of the open generation at which it is flushed early.
    pub flush_bytes: usize,
    /// Head bytes of all generations above which writes get 503.
    pub head_bytes_max: usize,
    /// Bytes of staged parts above which writes get 503: the store has been away for too long.
    pub staging_bytes_max: u64,
    /// Memory of requests that may be in flight: bodies as sent, and four times as decoded.
    pub inflight_bytes_max: usize,
    /// Largest request body as it arrives.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Largest request body after decompression, and largest expansion of it in memory. Prometheus cuts requests by count, never by bytes, so this is above its own 32 MiB.
    pub decoded_bytes_max: usize,
    /// What a request may hold.
    pub limits: Limits,
    /// Samples that one answer of the head may hold.
    pub head_read_samples_max: usize,
    /// Size of a log segment.
    pub segment_bytes: u64,
    /// What the log and the parts are encrypted with.
    pub keys: Keys,
}

impl Settings {
    /// The defaults, on a data directory.
    #[must_use]
    pub fn new(storage_path: PathBuf) -> Self {
        const MIB: usize = 1 << 20;
        Self {
            storage_path,
            flush_interval: Duration::from_secs(300),
            flush_bytes: 512 * MIB,
            head_bytes_max: 2048 * MIB,
            staging_bytes_max: 64 << 30,
            inflight_bytes_max: 512 * MIB,
            body_bytes_max: 64 * MIB,
            body_timeout: Duration::from_secs(60),
            decoded_bytes_max: 256 * MIB,
            limits: Limits::default(),
            head_read_samples_max: 20_000_000,
            segment_bytes: 64 << 20,
            keys: Keys::default(),
        }
    }

    pub(crate) fn wal_path(&self) -> PathBuf {
        self.storage_path.join("wal")
    }

    pub(crate) fn staging_path(&self) -> PathBuf {
        self.storage_path.join("staging")
    }

    pub(crate) fn identity_path(&self) -> PathBuf {
        self.storage_path.join("receiver.json")
    }
}
