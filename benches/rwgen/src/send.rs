//! `rwgen send`: sends a file of requests over kept connections, and says how fast they were acknowledged.
//!
//! One thread for each connection, blocking: it sleeps while the server works. Bodies go from the page cache to the socket
//! without a copy. What the generator itself costs is measured and printed: the processor time of this process over the
//! samples.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::file::RequestFile;
use crate::http::{Answer, Connection, Url};
use crate::journal::{Fate, Journal};
use crate::pace::{Clock, Due, Exchange, Pace, Since};

/// An answer to a write is short.
const ANSWER_BYTES: usize = 4 << 10;
/// Bytes of a refusal that are shown.
const SHOWN_BYTES: usize = 1_000;

/// What is asked of a run.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) url: Url,
    /// Fewer connections than the file has share its queues.
    pub(crate) connections: Option<u32>,
    /// Which requests of the file, by number.
    pub(crate) requests: Range<usize>,
    pub(crate) pace: Pace,
    pub(crate) journal: Option<PathBuf>,
    /// Go on with the journal: what it says to be acknowledged is not sent again.
    pub(crate) resume: bool,
}

/// What a run has seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) samples: u64,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) answers_5xx: u64,
    pub(crate) broken: u64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// All acknowledged requests, by their latency.
    pub(crate) acknowledged: Vec<Acknowledged>,
}

/// A request that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    pub(crate) latency: Duration,
    /// Since the beginning of the run.
    pub(crate) at: Duration,
    pub(crate) request: usize,
}

/// What one connection has seen.
struct Sender<'a> {
    file: &'a RequestFile,
    orders: &'a Orders,
    journal: Option<&'a Journal>,
    stop: &'a AtomicBool,
    clock: Since,
    head: Vec<u8>,
    connection: Option<Connection>,
    buffer: Vec<u8>,
    text: Vec<u8>,
    finished: Duration,
    seen: Report,
}

/// Sends everything, or until the time is over.
pub(crate) fn send(file: &RequestFile, orders: &Orders) -> Result<Report> {
    let connections = orders.connections.unwrap_or(file.summary.connections);
    ensure!(
        (1..=file.summary.connections).contains(&connections),
        "`--connections` is 1 to {}: a series belongs to one connection, and the file is encoded for so many",
        file.summary.connections
    );
    ensure!(
        orders.pace.rate.is_none_or(|rate| rate > 0.0),
        "`--rate` must be more than nothing"
    );
    let (journal, fates) = match &orders.journal {
        Some(path) if orders.resume => {
            let (journal, fates) = Journal::resume(path, file)?;
            (Some(journal), fates)
        }
        Some(path) => (Some(Journal::create(path, file)?), Vec::new()),
        None => (None, Vec::new()),
    };
    let mut queues = vec![Vec::new(); connections as usize];
    let mut samples_before = 0;
    for (request, slot) in file.slots.iter().enumerate() {
        if orders.requests.contains(&request) && fates.get(request) != Some(&Fate::Acknowledged) {
            queues[(slot.connection % connections) as usize].push(Due {
                request,
                samples_before,
            });
            samples_before += u64::from(slot.samples);
        }
    }
    let protocol = file.summary.protocol;
    let headers = format!(
        "Content-Type: {}\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: {}\r\nUser-Agent: emberkeep-rwgen\r\n",
        protocol.content_type(),
        protocol.version(),
    );
    let head = orders.url.head(&headers).into_bytes();
    let stop = AtomicBool::new(false);
    // All connections stand before the first request goes out; with retries a server may come later.
    let opened: Vec<_> = queues
        .iter()
        .map(|_| Connection::open(&orders.url, ANSWER_BYTES))
        .collect();
    let cpu = cpu_seconds();
    let clock = Since(Instant::now());
    let results: Vec<Result<(Duration, Report)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = queues
            .iter()
            .zip(opened)
            .map(|(queue, connection)| {
                let mut sender = Sender {
                    file,
                    orders,
                    journal: journal.as_ref(),
                    stop: &stop,
                    clock,
                    head: head.clone(),
                    connection: None,
                    buffer: Vec::new(),
                    text: Vec::new(),
                    finished: Duration::ZERO,
                    seen: Report {
                        first_ms: i64::MAX,
                        last_ms: i64::MIN,
                        ..Report::default()
                    },
                };
                scope.spawn(move || {
                    let ran = connection
                        .map(Some)
                        .or_else(|error| if orders.pace.retry { Ok(None) } else { Err(error) });
                    let ran = ran.and_then(|connection| {
                        sender.connection = connection;
                        orders.pace.run(queue, &clock, &mut sender)
                    });
                    if ran.is_err() {
                        sender.stop.store(true, Ordering::Relaxed);
                    }
                    ran.map(|()| (sender.finished, sender.seen))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a sender panicked")))
            .collect()
    });
    let mut report = Report {
        cpu_seconds: cpu_seconds() - cpu,
        first_ms: file.summary.totals.min_ms,
        last_ms: file.summary.totals.max_ms,
        ..Report::default()
    };
    let mut finished = Duration::ZERO;
    for result in results {
        let (ended, seen) = result?;
        finished = finished.max(ended);
        report.samples += seen.samples;
        report.requests += seen.requests;
        report.bytes += seen.bytes;
        report.answers_5xx += seen.answers_5xx;
        report.broken += seen.broken;
        report.acknowledged.extend(seen.acknowledged);
    }
    report.seconds = finished.as_secs_f64();
    report.acknowledged.sort_unstable();
    Ok(report)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Sender<'_> {
    /// One call; a connection that broke is dropped, and the next call opens another.
    fn call(&mut self, request: usize) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.orders.url, ANSWER_BYTES)?,
        };
        let text = &mut self.text;
        let answer = connection.call_with_file(&self.buffer, self.file.body(request), |_, piece| {
            text.extend_from_slice(&piece[..piece.len().min(SHOWN_BYTES.saturating_sub(text.len()))]);
            Ok(())
        })?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

impl Exchange for Sender<'_> {
    fn exchange(&mut self, request: usize) -> Result<Option<Answer>> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.head);
        write!(self.buffer, "{}\r\n\r\n", self.file.slots[request].bytes)?;
        self.text.clear();
        if let Some(journal) = self.journal {
            journal.begun(request)?;
        }
        match self.call(request) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                self.text = format!("{error:#}").into_bytes();
                Ok(None)
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn acknowledged(&mut self, request: usize, latency: Duration) -> Result<()> {
        if let Some(journal) = self.journal {
            journal.acknowledged(request)?;
        }
        let slot = self.file.slots[request];
        self.finished = self.clock.now();
        self.seen.samples += u64::from(slot.samples);
        self.seen.requests += 1;
        self.seen.bytes += u64::from(slot.bytes);
        self.seen.acknowledged.push(Acknowledged {
            latency,
            at: self.finished,
            request,
        });
        Ok(())
    }

    fn failed(&mut self, status: u16) {
        match status {
            0 => self.seen.broken += 1,
            _ => self.seen.answers_5xx += 1,
        }
    }
}

impl Report {
    /// Milliseconds that this share of the requests took at most.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let at = (self.acknowledged.len() as f64 * quantile).ceil() as usize;
        self.acknowledged
            .get(at.saturating_sub(1))
            .map_or(0.0, |one| milliseconds(one.latency))
    }

    /// A line for each of the requests that took longest: which, when it was acknowledged, and how long it took.
    pub(crate) fn slowest(&self, most: usize) -> String {
        let lines = self.acknowledged.iter().rev().take(most).map(|one| {
            let (request, at) = (one.request, one.at.as_secs_f64());
            format!(
                "\nrequest={request} acknowledged_s={at:.4} ack_ms={:.3}",
                milliseconds(one.latency)
            )
        });
        lines.collect()
    }

    /// The one line that is printed.
    pub(crate) fn line(&self) -> String {
        let per_second = if self.seconds > 0.0 {
            self.samples as f64 / self.seconds
        } else {
            0.0
        };
        let per_million = if self.samples > 0 {
            self.cpu_seconds * 1e6 / self.samples as f64
        } else {
            0.0
        };
        format!(
            "samples={} requests={} bytes={} seconds={:.3} samples_per_second={per_second:.0} ack_p50_ms={:.3} \
             ack_p99_ms={:.3} ack_p999_ms={:.3} ack_max_ms={:.3} cpu_seconds_per_million={per_million:.4} start_ms={} \
             end_ms={} answers_5xx={} broken_connections={}",
            self.samples,
            self.requests,
            self.bytes,
            self.seconds,
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
            self.quantile(1.0),
            self.first_ms,
            self.last_ms,
            self.answers_5xx,
            self.broken,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_latency_that_so_many_did_not_exceed() {
        let acknowledged = |request: usize| Acknowledged {
            latency: Duration::from_millis(request as u64),
            at: Duration::from_secs(2),
            request,
        };
        let report = Report {
            acknowledged: (1..=1_000).map(acknowledged).collect(),
            ..Report::default()
        };
        let slowest =
            "\nrequest=1000 acknowledged_s=2.0000 ack_ms=1000.000\nrequest=999 acknowledged_s=2.0000 ack_ms=999.000";
        assert_eq!(report.slowest(2), slowest);
        assert_eq!(Report::default().slowest(2), "");
        let quantiles = [0.5, 0.99, 0.999, 1.0].map(|quantile| report.quantile(quantile));
        assert_eq!(quantiles, [500.0, 990.0, 999.0, 1_000.0]);
        assert_eq!(Report::default().quantile(0.99), 0.0);
    }
}
