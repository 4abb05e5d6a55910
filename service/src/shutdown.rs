//! How a process is told to end: signals become one [`Shutdown`] that everything waits for.
//!
//! The moment of the first signal is kept, so that all who take part in ending share one budget. A second signal ends
//! the process at once; what was acknowledged is durable by then in any case.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal as Source, SignalKind, signal};
use tokio::sync::watch;

use crate::SHUTDOWN_BUDGET;

/// Exit code when a second signal ends the process before it was done.
const EXIT_IMPATIENT: i32 = 1;

/// The wish that the process ends; clones are the same wish.
#[derive(Debug, Clone)]
pub struct Shutdown {
    since: Arc<watch::Sender<Option<Instant>>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Not triggered yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            since: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Tells everyone to end. Only the first call counts.
    pub fn trigger(&self) {
        self.since.send_if_modified(|since| {
            let is_first = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_first
        });
    }

    /// Whether it was triggered.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.since.borrow().is_some()
    }

    /// Waits until it is triggered; returns at once when it was already.
    pub async fn triggered(&self) {
        let mut watcher = self.since.subscribe();
        // The sender lives as long as `self`, so waiting ends only by the trigger.
        let _ = watcher.wait_for(Option::is_some).await;
    }

    /// What is left of [`SHUTDOWN_BUDGET`]; `None` before it is triggered.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let since = *self.since.borrow();
        since.map(|since| SHUTDOWN_BUDGET.saturating_sub(since.elapsed()))
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: end.
    Terminate,
    /// SIGUSR1: take nothing more, bring everything into the archive, then end.
    Drain,
}

/// The signals of this process. From [`Signals::install`] on, none of them ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Source,
    interrupt: Source,
    drain: Source,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGUSR1. Must run in a tokio runtime.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            drain: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Terminate,
            _ = self.drain.recv() => Signal::Drain,
        }
    }

    /// Serves signals for ever: SIGUSR1 calls `on_drain`, the first SIGTERM or SIGINT triggers `shutdown`, and one more
    /// of them ends the process with code 1. To be spawned as a task.
    pub async fn serve(mut self, shutdown: Shutdown, mut on_drain: impl FnMut() + Send) {
        loop {
            match self.next().await {
                Signal::Drain => on_drain(),
                Signal::Terminate if shutdown.is_triggered() => {
                    tracing::warn!("asked to end a second time, ending at once");
                    std::process::exit(EXIT_IMPATIENT);
                }
                Signal::Terminate => {
                    tracing::info!("asked to end, answering what is in flight");
                    shutdown.trigger();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_learn_of_it_whenever_they_ask() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_triggered());
        assert_eq!(shutdown.remaining(), None);
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.triggered().await }
        });
        tokio::task::yield_now().await;
        assert!(!early.is_finished());
        shutdown.clone().trigger();
        early.await.expect("the waiting task does not panic");
        shutdown.triggered().await;
        assert!(shutdown.is_triggered());
    }

    #[tokio::test]
    async fn the_budget_runs_from_the_first_trigger() {
        let shutdown = Shutdown::new();
        shutdown.trigger();
        let first = shutdown.remaining().expect("it was triggered");
        assert!(first <= SHUTDOWN_BUDGET);
        shutdown.trigger();
        assert!(shutdown.remaining().expect("it was triggered") <= first);
    }
}
