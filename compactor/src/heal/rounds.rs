//! Healing as a loop, one for each source, on threads that give way to all others.
//!
//! A source that does not answer is asked again after pauses that grow; nothing else waits for it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use emberkeep_service::shutdown::Shutdown;
use tracing::{info, warn};

use super::{HealError, HealReport, Healer, Scope, SourceMetrics};
use crate::upkeep::give_way;

/// Pause after the first failure; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// A source and when it is looked at.
#[derive(Debug)]
pub struct Rounds {
    /// What heals from it.
    pub healer: Healer,
    /// Pause between two passes.
    pub interval: Duration,
    /// Its metrics.
    pub metrics: SourceMetrics,
}

impl Rounds {
    /// Passes until the process is told to end, the first one at once.
    pub async fn run(&self, shutdown: &Shutdown) {
        if let Ok(state) = self.healer.state() {
            self.metrics.know(&state);
        }
        let mut failures = 0_u32;
        loop {
            let pass = async {
                let done = self.healer.pass(Scope::Round, &self.metrics, |_| {}).await;
                let pause = self.pause(done, &mut failures);
                let jitter = 0.9 + 0.2 * rand::random::<f64>();
                tokio::time::sleep(pause.mul_f64(jitter)).await;
            };
            tokio::select! {
                biased;
                () = shutdown.triggered() => return,
                () = pass => {}
            }
        }
    }

    /// Says what became of a pass, and how long to wait for the next.
    fn pause(&self, done: Result<HealReport, HealError>, failures: &mut u32) -> Duration {
        let source = self.healer.url();
        match done {
            Ok(report) => {
                if *failures > 0 {
                    info!(source, failures, "healing works again");
                }
                *failures = 0;
                for lost in &report.lost {
                    let (from, to) = (lost.from, lost.to);
                    warn!(
                        source,
                        from, to, "a hole cannot be healed: the source does not reach back so far any more"
                    );
                }
                self.interval
            }
            Err(error) => {
                if *failures == 0 {
                    warn!(source, %error, "healing cannot go on now, trying again later");
                }
                self.metrics.failures.inc();
                let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(*failures));
                *failures = failures.saturating_add(1);
                pause.min(self.interval)
            }
        }
    }
}

/// Runs each on a thread of its own.
///
/// # Errors
/// A thread or its runtime cannot be made.
pub fn spawn(rounds: Vec<Rounds>, shutdown: &Shutdown) -> io::Result<Vec<JoinHandle<()>>> {
    let start = |rounds: Rounds| {
        let (rounds, shutdown) = (Arc::new(rounds), shutdown.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("heal".to_owned()).spawn(move || {
            give_way();
            runtime.block_on(rounds.run(&shutdown));
        })
    };
    rounds.into_iter().map(start).collect()
}
