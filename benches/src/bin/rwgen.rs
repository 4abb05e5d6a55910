//! `rwgen`: a first load generator for remote write.
//!
//! Closed loop: each connection sends its next request when the last was answered. All requests are encoded before the first is
//! sent (about 30 bytes of memory per sample), so that the generator costs little while the server is measured. As in a
//! Prometheus queue, each series belongs to one connection. It stops by itself, at the first answer that is not a success:
//! a figure with refused samples in it would be none. Not open loop: its latencies are those of an obedient sender.

use std::io::Write;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use emberkeep_benches::workload::INTERVAL_MS;
use emberkeep_benches::{Connection, Protocol, Requests, Url, Workload};
use emberkeep_service::clock::{Clock, SystemClock};

/// Sends the samples of a synthetic workload, and prints rate and latency.
#[derive(Debug, Parser)]
struct Flags {
    /// Where to send: `http://host:port/path`.
    #[arg(long, default_value = "http://127.0.0.1:9201/api/v1/write")]
    url: Url,
    /// Number of series.
    #[arg(long, default_value_t = 10_000)]
    series: usize,
    /// Number of samples, all series and scrapes together.
    #[arg(long, default_value_t = 600_000)]
    samples: usize,
    /// Connections; each has one request in flight.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Version of remote write.
    #[arg(long, value_enum, default_value = "1")]
    protocol: Protocol,
    /// What the data follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Samples of a request.
    #[arg(long, default_value_t = 2_000)]
    per_request: usize,
    /// Time of the first scrape, milliseconds since 1970 [default: so that the last is now].
    #[arg(long, value_name = "MS")]
    start: Option<i64>,
}

/// The share of one connection.
struct Queue {
    /// Whole requests with their number of samples.
    requests: Vec<(usize, Vec<u8>)>,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    finished: Option<Instant>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    ensure!(
        flags.connections > 0 && flags.per_request > 0,
        "`--connections` and `--per-request` begin at 1"
    );
    ensure!(flags.series >= flags.connections, "each connection needs a series");
    let steps = flags.samples.div_ceil(flags.series) as i64;
    let start = flags
        .start
        .unwrap_or_else(|| SystemClock.now_ms() - (steps + 1) * INTERVAL_MS);
    let workload = Workload::new(flags.seed, flags.series, start);
    let queues: Vec<Queue> = (0..flags.connections)
        .map(|connection| encode(&flags, &workload, connection))
        .collect();

    let samples: usize = queues
        .iter()
        .flat_map(|queue| &queue.requests)
        .map(|(samples, _)| samples)
        .sum();
    let bytes: usize = queues
        .iter()
        .flat_map(|queue| &queue.requests)
        .map(|(_, request)| request.len())
        .sum();
    let begin = Barrier::new(flags.connections + 1);
    let (started, seen) = std::thread::scope(|scope| {
        let senders: Vec<_> = queues
            .iter()
            .map(|queue| scope.spawn(|| send(&flags.url, queue, &begin)))
            .collect();
        begin.wait();
        let started = Instant::now();
        let seen: Result<Vec<Seen>> = senders
            .into_iter()
            .map(|sender| sender.join().unwrap_or_else(|_| bail!("a sender panicked")))
            .collect();
        seen.map(|seen| (started, seen))
    })?;
    let finished = seen
        .iter()
        .filter_map(|seen| seen.finished)
        .max()
        .context("nothing was sent")?;
    let seconds = (finished - started).as_secs_f64();
    let mut latencies: Vec<Duration> = seen.into_iter().flat_map(|seen| seen.latencies).collect();
    latencies.sort_unstable();
    writeln!(
        std::io::stdout(),
        "samples={samples} requests={} bytes={bytes} start={start} end={} seconds={seconds:.3} samples_per_second={:.0} \
         ack_p50_ms={:.2} ack_p99_ms={:.2}",
        latencies.len(),
        workload.end_ms(steps as u64),
        samples as f64 / seconds,
        quantile(&latencies, 0.5),
        quantile(&latencies, 0.99),
    )?;
    Ok(())
}

/// Encodes the requests of one connection; series and samples are shared out evenly.
fn encode(flags: &Flags, workload: &Workload, connection: usize) -> Queue {
    let share = |of: usize| of * connection / flags.connections..of * (connection + 1) / flags.connections;
    let headers = format!(
        "Content-Type: {}\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: {}\r\nUser-Agent: emberkeep-rwgen\r\n",
        flags.protocol.content_type(),
        flags.protocol.version(),
    );
    let mut encoder = Requests::new(workload, share(flags.series), flags.protocol);
    let mut left = share(flags.samples).len();
    let mut requests = Vec::with_capacity(left.div_ceil(flags.per_request));
    while left > 0 {
        let samples = left.min(flags.per_request);
        requests.push((samples, flags.url.post(&headers, &encoder.body(samples))));
        left -= samples;
    }
    Queue { requests }
}

fn send(url: &Url, queue: &Queue, begin: &Barrier) -> Result<Seen> {
    let connection = Connection::open(url);
    // Also when the connection failed: the others wait.
    begin.wait();
    let mut connection = connection?;
    let mut seen = Seen::default();
    for (_, request) in &queue.requests {
        let sent = Instant::now();
        let mut text = Vec::new();
        let status = connection.call(request, |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })?;
        ensure!(
            (200..300).contains(&status),
            "the server answered {status}: {}",
            String::from_utf8_lossy(&text).trim()
        );
        let answered = Instant::now();
        seen.latencies.push(answered - sent);
        seen.finished = Some(answered);
    }
    Ok(seen)
}

/// Milliseconds, of sorted latencies.
fn quantile(latencies: &[Duration], quantile: f64) -> f64 {
    let at = (latencies.len().saturating_sub(1) as f64 * quantile).round() as usize;
    latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}
