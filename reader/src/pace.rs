//! How often something is told: what every query repeats belongs into a metric, and once a minute into the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two lines of the log.
const PAUSE: Duration = Duration::from_secs(60);

/// When something was told last.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Whether to tell it now; then it counts as told.
    pub(crate) fn is_time(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_time = told.is_none_or(|at| now.duration_since(at) >= PAUSE);
        if is_time {
            *told = Some(now);
        }
        is_time
    }
}
