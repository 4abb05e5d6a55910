//! The loop of one connection: when each request is due, what happens when it is refused, and how long it took.
//!
//! Closed loop: the next request goes out when the last was answered. Open loop: each request has its moment, whatever the
//! server does, and its latency counts from that moment; a request that waits behind a slow one has waited (no coordinated
//! omission). Clock and exchange are given, so that tests decide what time it is. A retry repeats the same request, with the
//! backoff of a Prometheus queue (30 ms, doubled up to 5 s, or what `Retry-After` asks for).

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::http::Answer;

const BACKOFF_MIN: Duration = Duration::from_millis(30);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Without a limit of time a server that stays away ends the run after so long.
const AWAY_MAX: Duration = Duration::from_secs(600);

/// Time since the beginning of a run.
pub(crate) trait Clock {
    fn now(&self) -> Duration;
    fn sleep_until(&self, moment: Duration);
}

/// The real one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since(pub(crate) Instant);

impl Clock for Since {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, moment: Duration) {
        if let Some(rest) = moment.checked_sub(self.now()) {
            std::thread::sleep(rest);
        }
    }
}

/// What a loop needs of the world.
pub(crate) trait Exchange {
    /// Sends a request and waits for the answer; `None` when the connection broke. An error is trouble of our own.
    fn exchange(&mut self, request: usize) -> Result<Option<Answer>>;
    /// What the last answer said, or how the connection broke.
    fn text(&self) -> String;
    /// Another connection has ended the run.
    fn is_stopped(&self) -> bool;
    /// A success, `latency` after it was due.
    fn acknowledged(&mut self, request: usize, latency: Duration) -> Result<()>;
    /// A failure that is repeated; `status` is 0 when the connection broke.
    fn failed(&mut self, status: u16);
}

/// A request and the samples that are sent before it, on all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) request: usize,
    pub(crate) samples_before: u64,
}

/// How requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Samples per second over all connections; `None` is a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) limit: Option<Duration>,
    pub(crate) retry: bool,
}

impl Pace {
    /// Sends the requests of one connection until all are acknowledged, or the time is over.
    pub(crate) fn run(&self, requests: &[Due], clock: &impl Clock, world: &mut impl Exchange) -> Result<()> {
        let is_over = |moment: Duration| self.limit.is_some_and(|limit| moment >= limit);
        for due in requests {
            let scheduled = self
                .rate
                .map(|rate| Duration::from_secs_f64(due.samples_before as f64 / rate));
            if let Some(moment) = scheduled {
                if is_over(moment) {
                    return Ok(());
                }
                clock.sleep_until(moment);
            }
            if world.is_stopped() || is_over(clock.now()) {
                return Ok(());
            }
            let from = scheduled.unwrap_or_else(|| clock.now());
            if !self.deliver(due.request, clock, world)? {
                return Ok(());
            }
            world.acknowledged(due.request, clock.now().saturating_sub(from))?;
        }
        Ok(())
    }

    /// Whether the request was acknowledged before the time was over.
    fn deliver(&self, request: usize, clock: &impl Clock, world: &mut impl Exchange) -> Result<bool> {
        let (mut backoff, away_from) = (BACKOFF_MIN, clock.now());
        loop {
            let (status, retry_after) = match world.exchange(request)? {
                Some(answer) if (200..300).contains(&answer.status) => return Ok(true),
                Some(answer) => (answer.status, answer.retry_after),
                None if self.retry => (0, None),
                None => bail!("the connection broke at request {request}: {}", world.text()),
            };
            if !self.retry || (1..500).contains(&status) {
                bail!(
                    "the server answered {status} to request {request}: {}",
                    world.text().trim()
                );
            }
            world.failed(status);
            let pause = retry_after.filter(|pause| !pause.is_zero()).unwrap_or(backoff);
            backoff = (pause * 2).min(BACKOFF_MAX);
            let mut until = clock.now() + pause;
            if let Some(limit) = self.limit {
                if until >= limit {
                    until = limit;
                }
            } else if until - away_from > AWAY_MAX {
                bail!(
                    "the server has been away for {} s: request {request}",
                    AWAY_MAX.as_secs()
                );
            }
            clock.sleep_until(until);
            if world.is_stopped() || self.limit.is_some_and(|limit| until >= limit) {
                return Ok(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Time that passes only when somebody waits.
    #[derive(Default)]
    struct Stopped(Cell<Duration>);

    impl Clock for Stopped {
        fn now(&self) -> Duration {
            self.0.get()
        }

        fn sleep_until(&self, moment: Duration) {
            self.0.set(self.0.get().max(moment));
        }
    }

    /// Answers take a millisecond, that of request 5 ten seconds; a request fails as often as `failures` says.
    struct Server<'a> {
        clock: &'a Stopped,
        failures: Vec<u16>,
        latencies: Vec<(usize, u128)>,
        calls: Vec<(usize, u128)>,
    }

    impl<'a> Server<'a> {
        fn new(clock: &'a Stopped, failures: &[u16]) -> Self {
            Self {
                clock,
                failures: failures.to_vec(),
                latencies: Vec::new(),
                calls: Vec::new(),
            }
        }
    }

    impl Exchange for Server<'_> {
        fn exchange(&mut self, request: usize) -> Result<Option<Answer>> {
            self.calls.push((request, self.clock.now().as_millis()));
            let took = if request == 5 { 10_000 } else { 1 };
            self.clock.sleep_until(self.clock.now() + Duration::from_millis(took));
            let status = self.failures.pop().unwrap_or(204);
            Ok((status != 0).then_some(Answer {
                status,
                retry_after: None,
            }))
        }

        fn text(&self) -> String {
            "no room".to_owned()
        }

        fn is_stopped(&self) -> bool {
            false
        }

        fn acknowledged(&mut self, request: usize, latency: Duration) -> Result<()> {
            self.latencies.push((request, latency.as_millis()));
            Ok(())
        }

        fn failed(&mut self, _: u16) {}
    }

    fn requests() -> Vec<Due> {
        (0..20)
            .map(|request| Due {
                request,
                samples_before: request as u64 * 100,
            })
            .collect()
    }

    fn pace(rate: Option<f64>, retry: bool) -> Pace {
        Pace {
            rate,
            limit: None,
            retry,
        }
    }

    #[test]
    fn an_open_loop_counts_the_time_behind_a_stalled_request() {
        let clock = Stopped::default();
        let mut server = Server::new(&clock, &[]);
        // One request a second, and one of them takes ten.
        pace(Some(100.0), false)
            .run(&requests(), &clock, &mut server)
            .expect("all are answered");
        let long = server.latencies.iter().filter(|(_, latency)| *latency >= 1_000).count();
        assert_eq!(long, 10, "{:?}", server.latencies);
        assert_eq!(server.latencies[5], (5, 10_000));
        assert_eq!(server.latencies[6], (6, 9_001));
        assert_eq!(server.latencies[19], (19, 1));
    }

    #[test]
    fn a_closed_loop_sees_the_stall_once() {
        let clock = Stopped::default();
        let mut server = Server::new(&clock, &[]);
        pace(None, false)
            .run(&requests(), &clock, &mut server)
            .expect("all are answered");
        assert_eq!(
            server.latencies.iter().filter(|(_, latency)| *latency >= 1_000).count(),
            1
        );
    }

    #[test]
    fn a_refusal_is_repeated_with_backoff_or_ends_the_run() {
        let clock = Stopped::default();
        let mut server = Server::new(&clock, &[503, 0, 500]);
        pace(None, true)
            .run(&requests()[..2], &clock, &mut server)
            .expect("all are answered");
        // 30, 60, 120 ms later, each after an answer of 1 ms.
        assert_eq!(server.calls, [(0, 0), (0, 31), (0, 92), (0, 213), (1, 214)]);
        assert_eq!(server.latencies, [(0, 214), (1, 1)]);

        for (failures, retry) in [(503, false), (0, false), (400, true)] {
            let mut server = Server::new(&clock, &[failures]);
            let error = pace(None, retry)
                .run(&requests(), &clock, &mut server)
                .expect_err("refused");
            assert_eq!(server.calls.len(), 1);
            assert!(failures == 0 || format!("{error:#}").contains("no room"), "{error:#}");
        }
    }

    #[test]
    fn a_limit_of_time_ends_schedules_and_retries() {
        let clock = Stopped::default();
        let limited = |rate| Pace {
            rate,
            limit: Some(Duration::from_millis(3_500)),
            retry: true,
        };
        let mut server = Server::new(&clock, &[]);
        limited(Some(100.0))
            .run(&requests(), &clock, &mut server)
            .expect("in time");
        assert_eq!(server.latencies.len(), 4);
        let clock = Stopped::default();
        let mut server = Server::new(&clock, &[500; 1_000]);
        limited(None).run(&requests(), &clock, &mut server).expect("in time");
        assert!(server.latencies.is_empty() && server.calls.len() < 10);
        assert!(clock.now() < Duration::from_millis(3_600));
    }
}
