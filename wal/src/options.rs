//! Settings of the log: plain numbers, no components.

use std::sync::atomic::AtomicBool;

use crate::{RecordSealing, SegmentRange};

/// Settings of a running log.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size that a segment is preallocated with, in bytes; a record that does not fit gets a segment of its own size.
    pub segment_bytes: u64,
    /// How many bytes of records may wait for the disk before [`crate::AppendError::Overloaded`]. One record is always
    /// let in when nothing waits, however large it is.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            queue_bytes: 64 << 20,
        }
    }
}

/// What a recovery is made for. Deaths are counted apart for each, so that the two may run side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A start reads back what an earlier process left.
    #[default]
    Replay,
    /// A running process looks for a record that it cannot use.
    Search,
}

/// Settings of a recovery.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecoveryOptions<'a> {
    /// Segments that staged or committed parts have replaced; they are not read.
    pub skip: &'a [SegmentRange],
    /// Checked before each record; once true, recovery ends with [`crate::WalError::Stopped`], and that start does not
    /// count as one that a record killed.
    pub stop: Option<&'a AtomicBool>,
    /// What it is made for.
    pub purpose: Purpose,
    /// The keys of encrypted records.
    pub sealing: Option<&'a dyn RecordSealing>,
}
