//! How an export works: what bounds it, in which order it goes and what the blocks are for. None of it changes the samples.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Memory of an export when nothing is said.
pub const MEMORY_DEFAULT: u64 = 1 << 30;
/// Below this, not even one block can be written.
pub const MEMORY_MIN: u64 = 16 << 20;
/// A worker with less would cut blocks for want of memory too often.
const MEMORY_OF_A_WORKER: u64 = 64 << 20;

/// What bounds an export, and how it goes about it.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Bytes of memory for all blocks in work (`--max-memory`). What heads answered, and the list of parts, come on top.
    pub memory: u64,
    /// Blocks in work at the same time at most (`--parallel`).
    pub parallel: usize,
    /// Bytes written in a second at most (`--max-bytes-per-second`); no bound without it.
    pub bytes_per_second: Option<u64>,
    /// Which blocks come first (`--order`).
    pub order: Order,
    /// Whether blocks are read back (`--no-verify`).
    pub verification: Verification,
    /// Whether anything is written (`--dry-run`).
    pub run: RunKind,
}

/// Which blocks come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// From the oldest on.
    #[default]
    Oldest,
    /// From the newest back: what people look at first is there first.
    Newest,
}

/// Whether blocks are read back and compared before they are reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verification {
    /// They are.
    #[default]
    Full,
    /// They are not: faster, and not proven.
    LeftOut,
}

/// Whether an export writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunKind {
    /// It does.
    #[default]
    Real,
    /// It only says what it would write, and checks the target.
    Dry,
}

/// Who the blocks are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BlockFormat {
    /// A Prometheus' data directory.
    #[default]
    Prometheus,
    /// The bucket of Thanos.
    Thanos,
    /// The bucket of Mimir, below the tenant's name, or `mimirtool backfill`.
    Mimir,
}

impl BlockFormat {
    /// As it is written in flags and in the state file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Thanos => "thanos",
            Self::Mimir => "mimir",
        }
    }
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            memory: MEMORY_DEFAULT,
            parallel: available_parallelism().map_or(1, NonZeroUsize::get),
            bytes_per_second: None,
            order: Order::default(),
            verification: Verification::default(),
            run: RunKind::default(),
        }
    }
}

impl ExportOptions {
    /// How many blocks are in work at the same time, so that each has memory enough.
    pub(super) fn workers(&self) -> usize {
        let affordable = usize::try_from(self.memory / MEMORY_OF_A_WORKER).unwrap_or(usize::MAX);
        self.parallel.min(affordable).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_memory() {
        let workers = |memory: u64, parallel| {
            let options = ExportOptions {
                memory,
                parallel,
                ..ExportOptions::default()
            };
            options.workers()
        };
        assert_eq!(workers(1 << 30, 4), 4);
        assert_eq!(workers(1 << 30, 64), 16);
        assert_eq!(workers(MEMORY_MIN, 8), 1);
        assert_eq!(workers(1 << 30, 0), 1);
    }
}
