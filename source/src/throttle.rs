//! A bound on how fast something is taken, so that a source keeps its strength for its own work.

use std::time::Duration;

use tokio::time::Instant;

/// A rate. What was taken is told afterwards, and the next one waits for it: one large series is never refused.
#[derive(Debug)]
pub struct Throttle {
    per_second: Option<f64>,
    /// Until when what was taken so far is enough.
    paid_until: Instant,
}

impl Throttle {
    /// So many (samples, bytes) each second; none is without a bound.
    #[must_use]
    pub fn new(per_second: Option<u64>) -> Self {
        Self {
            per_second: per_second.map(|rate| rate.max(1) as f64),
            paid_until: Instant::now(),
        }
    }

    /// Counts what was taken, and waits until the rate allows more.
    pub async fn took(&mut self, amount: u64) {
        let Some(rate) = self.per_second else {
            return;
        };
        let now = Instant::now();
        // Time in which nothing was taken is not saved up.
        self.paid_until = self.paid_until.max(now) + Duration::from_secs_f64(amount as f64 / rate);
        // Timers are coarse; what is owed for less than one waits for the next.
        if self.paid_until.duration_since(now) >= Duration::from_millis(5) {
            tokio::time::sleep_until(self.paid_until).await;
        }
    }
}
