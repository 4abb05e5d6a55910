//! What an operator can choose about a compactor, validated. Stores and clocks are parameters, not settings.

use std::time::Duration;

/// Validated settings of one compactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Pause between two looks at the log of commit records while the store works.
    pub fold_interval: Duration,
    /// First pause after a failure; each further failure doubles it.
    pub retry_min: Duration,
    /// Longest pause after a failure, and so about the time from the end of an outage to the next root.
    pub retry_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fold_interval: Duration::from_secs(15),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}
