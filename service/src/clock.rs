//! What time it is, as a parameter.
//!
//! Everything that compares timestamps with now takes a [`Clock`]; [`SystemClock`] is the only place of the product
//! that reads the wall clock. Waiting is not a matter of this clock: sleeping uses tokio's time, which tests can pause.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// A source of wall-clock time.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970, UTC. May jump in either direction, as wall clocks do.
    fn now_ms(&self) -> i64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one clock that the others are told to use"
        )]
        let now = SystemTime::now();
        emberkeep_model::now_ms_from(now)
    }
}

/// A clock that stands still until it is set, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// Moves the time by so many milliseconds.
    pub fn advance(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(1_000);
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(-250);
        assert_eq!(clock.now_ms(), 750);
        clock.set(9);
        assert_eq!(clock.now_ms(), 9);
    }

    #[test]
    fn the_system_clock_counts_milliseconds() {
        // 2026-01-01: a clock in seconds or microseconds would be far from the bounds.
        let now = SystemClock.now_ms();
        assert!((1_767_225_600_000..32_503_680_000_000).contains(&now), "{now}");
    }
}
