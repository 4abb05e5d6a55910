//! What the log did since its start, for metrics.
//!
//! Counted by the writer thread alone, once per group, so that a request pays nothing for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of [`Stats::sync_buckets`]; what took longer than the last is in no bucket, but in
/// [`Stats::syncs`].
pub const SYNC_BUCKETS: [Duration; 12] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2_500),
];

/// What the log did since its start, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Records written and acknowledged.
    pub records: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Bytes of whole records written, headers included and padding left out.
    pub written_bytes: u64,
    /// Appends refused for want of space or for their size.
    pub refused: u64,
    /// Groups: sets of records that shared one sync. Records divided by groups is how well group commit works.
    pub groups: u64,
    /// Records of the largest group.
    pub largest_group: u64,
    /// Segments begun.
    pub segments: u64,
    /// Of them, those that were prepared ahead, in part or whole.
    pub prepared_segments: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// Time spent in them.
    pub sync_time: Duration,
    /// The longest of them.
    pub longest_sync: Duration,
    /// How many syncs took at most as long as the bound of the same place in [`SYNC_BUCKETS`]; not cumulative.
    pub sync_buckets: [u64; SYNC_BUCKETS.len()],
    /// Bytes that wait or are being written right now.
    pub queued_bytes: u64,
}

/// What was decided of one group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Group {
    /// Records written.
    pub(crate) records: u64,
    /// Bytes of their bodies.
    pub(crate) body_bytes: u64,
    /// Bytes of the records.
    pub(crate) record_bytes: u64,
    /// Records refused.
    pub(crate) refused: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    body_bytes: AtomicU64,
    written_bytes: AtomicU64,
    refused: AtomicU64,
    groups: AtomicU64,
    largest_group: AtomicU64,
    segments: AtomicU64,
    prepared_segments: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    longest_sync_nanos: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BUCKETS.len()],
}

impl Counters {
    pub(crate) fn count_group(&self, group: &Group) {
        add(&self.records, group.records);
        add(&self.body_bytes, group.body_bytes);
        add(&self.written_bytes, group.record_bytes);
        add(&self.refused, group.refused);
        add(&self.groups, u64::from(group.records > 0));
        self.largest_group.fetch_max(group.records, Ordering::Relaxed);
    }

    pub(crate) fn count_segment(&self, is_prepared: bool) {
        add(&self.segments, 1);
        add(&self.prepared_segments, u64::from(is_prepared));
    }

    pub(crate) fn count_sync(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        add(&self.syncs, 1);
        add(&self.sync_nanos, nanos);
        self.longest_sync_nanos.fetch_max(nanos, Ordering::Relaxed);
        let bucket = SYNC_BUCKETS.partition_point(|bound| *bound < time);
        if let Some(counter) = self.sync_buckets.get(bucket) {
            add(counter, 1);
        }
    }

    pub(crate) fn stats(&self, queued_bytes: u64) -> Stats {
        Stats {
            records: read(&self.records),
            body_bytes: read(&self.body_bytes),
            written_bytes: read(&self.written_bytes),
            refused: read(&self.refused),
            groups: read(&self.groups),
            largest_group: read(&self.largest_group),
            segments: read(&self.segments),
            prepared_segments: read(&self.prepared_segments),
            syncs: read(&self.syncs),
            sync_time: Duration::from_nanos(read(&self.sync_nanos)),
            longest_sync: Duration::from_nanos(read(&self.longest_sync_nanos)),
            sync_buckets: std::array::from_fn(|bucket| read(&self.sync_buckets[bucket])),
            queued_bytes,
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_in_the_first_bucket_that_holds_it() {
        let counters = Counters::default();
        for micros in [1, 50, 51, 2_500_000, 2_500_001] {
            counters.count_sync(Duration::from_micros(micros));
        }
        let stats = counters.stats(0);
        let mut expected = [0; SYNC_BUCKETS.len()];
        (expected[0], expected[1], expected[11]) = (2, 1, 1);
        assert_eq!(stats.sync_buckets, expected);
        assert_eq!((stats.syncs, stats.longest_sync), (5, Duration::from_micros(2_500_001)));
    }
}
