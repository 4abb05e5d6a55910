//! Drills again and again: one each interval, never two at once, whatever was restarted in between.
//!
//! When the last one was is read from the archive, so that the wait goes on after a restart. Without an interval it only shows what is
//! known there, and removes what a killed drill left.

use std::time::Duration;

use emberkeep_archive::{DrillOutcome, DrillState};
use emberkeep_service::shutdown::Shutdown;
use tracing::{debug, error, info, warn};

use super::run::{Drill, Wish};
use super::scratch::Scratch;
use super::{DrillError, DrillMetrics};
use crate::upkeep::give_way;

/// Longest time between two looks at the notes, with an interval and without one.
const LOOK_EVERY: Duration = Duration::from_secs(600);
const SHOW_EVERY: Duration = Duration::from_secs(3600);

/// A drill that could not be carried through is tried again after this, if the interval is longer.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// The drills of a server.
#[derive(Debug)]
pub struct Schedule {
    drill: Drill,
    metrics: DrillMetrics,
}

impl Schedule {
    /// Nothing is done before [`Schedule::spawn`].
    #[must_use]
    pub fn new(drill: Drill, metrics: DrillMetrics) -> Self {
        Self { drill, metrics }
    }

    /// Runs until the process is told to end, on a thread of its own that gives way to all others.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub fn spawn(self, shutdown: Shutdown) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("drill".to_owned()).spawn(move || {
            give_way();
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = shutdown.triggered() => {}
                    () = self.run() => {}
                }
            });
        })
    }

    async fn run(&self) {
        let interval = self.drill.settings().interval;
        let pause = interval.map_or(SHOW_EVERY, |interval| LOOK_EVERY.min(interval / 4));
        Scratch::clear(&self.drill.settings().scratch);
        let (mut is_failing, mut tried_at) = (false, None);
        loop {
            match DrillState::load(self.drill.catalog()).await {
                Ok(state) => {
                    is_failing = false;
                    self.metrics.know(&state);
                    let now_ms = self.drill.now_ms();
                    if interval.is_some_and(|interval| is_due(&state, tried_at, interval, now_ms)) {
                        tried_at = self.run_one().await.then_some(now_ms);
                    }
                }
                Err(error) if is_failing => debug!(%error, "still no look at what drills have proven"),
                Err(error) => {
                    is_failing = true;
                    warn!(%error, "cannot look at what drills have proven, trying again later");
                }
            }
            tokio::time::sleep(pause.mul_f64(0.9 + 0.2 * rand::random::<f64>())).await;
        }
    }

    /// Runs a drill; whether it was one.
    async fn run_one(&self) -> bool {
        match self.drill.run(&Wish::default()).await {
            Ok((_, state)) => self.metrics.know(&state),
            Err(error @ (DrillError::Busy(_) | DrillError::Nothing(_))) => {
                info!(%error, "no drill now");
                return false;
            }
            Err(error) => {
                self.metrics.failed();
                error!(%error, "A DRILL HAS FAILED: it is not proven that the archive can be restored");
            }
        }
        true
    }
}

/// Whether it is time. `tried_at` is the last one of this process, which may not have been noted.
fn is_due(state: &DrillState, tried_at: Option<i64>, interval: Duration, now_ms: i64) -> bool {
    let last = state.last();
    let wait = match last.map(|last| last.outcome) {
        Some(DrillOutcome::Error) => interval.min(AGAIN_AFTER),
        _ => interval,
    };
    let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    let last_at = last.map(|last| last.at).max(tried_at);
    // A moment far ahead is one of a clock that was wrong.
    last_at.is_none_or(|at| !(at.saturating_sub(wait_ms)..at.saturating_add(wait_ms)).contains(&now_ms))
}

#[cfg(test)]
mod tests {
    use emberkeep_archive::DrillRecord;

    use super::*;

    fn after(outcome: DrillOutcome, at: i64) -> DrillState {
        DrillState {
            drills: vec![DrillRecord {
                at,
                duration_ms: 0,
                outcome,
                reason: String::new(),
                seed: 0,
                root: 0,
                tenant: String::new(),
                from: 0,
                to: 0,
                selector: String::new(),
                rows: 0,
                bytes: 0,
                restore_ms: 0,
                prometheus: String::new(),
                source_rows: None,
            }],
            ..DrillState::default()
        }
    }

    #[test]
    fn the_wait_goes_on_after_a_restart_and_is_shorter_after_an_error() {
        let (day, hour) = (Duration::from_secs(86_400), 3_600_000);
        let due = |state: &DrillState, now_ms| is_due(state, None, day, now_ms);
        assert!(due(&DrillState::default(), 0));
        let proven = after(DrillOutcome::Proven, 0);
        assert!(!due(&proven, 24 * hour - 1));
        assert!(due(&proven, 24 * hour));
        assert!(!is_due(&proven, Some(23 * hour), day, 24 * hour));
        let error = after(DrillOutcome::Error, 0);
        assert!(!due(&error, hour - 1));
        assert!(due(&error, hour));
        assert!(!due(&after(DrillOutcome::Different, 0), hour));
        // A clock that was a year ahead.
        assert!(due(&after(DrillOutcome::Proven, 365 * 24 * hour), 0));
    }
}
