//! A bound on what is done in a second, shared by all workers (`--max-bytes-per-second`, `--rate`).
//!
//! Each takes what it wrote and waits until that is paid for, so a restore into a running server leaves its disk to the server. It
//! must never hold anybody up when there is no bound.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// A shared allowance.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    per_second: Option<u64>,
    /// When everything taken so far is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new(per_second: Option<u64>) -> Self {
        Self {
            per_second: per_second.filter(|&rate| rate > 0),
            paid_at: Mutex::default(),
        }
    }

    /// Pays for what was done: bytes that were written, samples that were sent.
    pub(crate) async fn take(&self, amount: u64) {
        let Some(rate) = self.per_second else {
            return;
        };
        let paid_at = {
            let mut paid_at = self.paid_at.lock().await;
            let now = Instant::now();
            let from = paid_at.filter(|&at| at > now).unwrap_or(now);
            *paid_at.insert(from + Duration::from_secs_f64(amount as f64 / rate as f64))
        };
        sleep_until(paid_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_takes_its_time() {
        let throttle = Throttle::new(Some(1_000));
        let begin = Instant::now();
        tokio::join!(throttle.take(500), throttle.take(1_500));
        assert_eq!(begin.elapsed().as_millis() / 10, 200);
        let begin = Instant::now();
        Throttle::new(None).take(u64::MAX).await;
        assert!(begin.elapsed().is_zero());
    }
}
