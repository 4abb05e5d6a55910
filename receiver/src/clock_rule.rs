//! Samples from the future, and whether our own clock is fit to judge them (DESIGN §3).
//!
//! Only what lies more than ten minutes ahead is refused, and only while our clock is believable: a clock that is behind what it
//! has itself recorded, or behind most of a request, proves nothing, and then the answer is "later".

use std::sync::atomic::{AtomicI64, Ordering};

/// How far ahead of now a sample may be, milliseconds. The same bound as Prometheus' `maxAheadTime`.
pub(crate) const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// Requests that run side by side record their arrivals in any order.
const SLACK_MS: i64 = 1000;

/// The clock cannot judge this request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClockSuspect {
    #[error("the clock here says {now}, but a request or root was recorded at {newest}: set the clock of this machine")]
    BehindRecords { now: i64, newest: i64 },
    #[error(
        "{ahead} of {total} samples are more than 10 minutes ahead of the clock here: set the clock of this machine or of the sender"
    )]
    MostlyAhead { ahead: usize, total: usize },
}

/// The newest moment that was ever recorded.
#[derive(Debug)]
pub(crate) struct ClockRule {
    newest_recorded: AtomicI64,
}

impl ClockRule {
    pub(crate) fn new() -> Self {
        Self {
            newest_recorded: AtomicI64::new(i64::MIN),
        }
    }

    /// Remembers a recorded arrival or the creation of a root, milliseconds since 1970.
    pub(crate) fn record(&self, moment: i64) {
        self.newest_recorded.fetch_max(moment, Ordering::Relaxed);
    }

    /// Whether samples that are ahead of `now` may be refused. Called only when there are any.
    pub(crate) fn judge(&self, now: i64, ahead: usize, total: usize) -> Result<(), ClockSuspect> {
        let newest = self.newest_recorded.load(Ordering::Relaxed);
        if now.saturating_add(SLACK_MS) < newest {
            return Err(ClockSuspect::BehindRecords { now, newest });
        }
        if ahead * 2 > total {
            return Err(ClockSuspect::MostlyAhead { ahead, total });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_judges_nothing() {
        let rule = ClockRule::new();
        assert_eq!(rule.judge(1000, 1, 10), Ok(()));
        rule.record(2001);
        assert_eq!(
            rule.judge(1000, 1, 10),
            Err(ClockSuspect::BehindRecords {
                now: 1000,
                newest: 2001
            })
        );
        assert_eq!(rule.judge(2000, 1, 10), Ok(()));
    }

    #[test]
    fn a_request_that_is_mostly_ahead_says_the_clock_is_wrong() {
        let rule = ClockRule::new();
        assert_eq!(rule.judge(0, 5, 10), Ok(()));
        assert_eq!(
            rule.judge(0, 6, 10),
            Err(ClockSuspect::MostlyAhead { ahead: 6, total: 10 })
        );
        assert!(rule.judge(0, 1, 1).is_err());
    }
}
