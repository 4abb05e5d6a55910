//! A slow way to a server: the first byte of each answer comes late, and all answers together come no faster than a bound.
//!
//! It stands between a reader and an object store on the same machine, so that what a network would cost can be measured there. Bytes are
//! forwarded unchanged, because requests to S3 are signed with the name of the host. It knows nothing of what it forwards but when an
//! answer begins: with the first bytes that come back after some were sent. Requests that follow each other on a connection before their
//! answers came would count as one; clients of object stores do not send such. It listens on the loopback only.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

/// Connections at once; more are closed at once.
const MOST_CONNECTIONS: usize = 256;
/// Bytes that are forwarded together.
const PIECE_BYTES: usize = 32 << 10;
/// How far the bound may be passed for a moment, so that a thread that wakes late loses nothing.
const BURST: Duration = Duration::from_millis(5);

/// What is slow, and how slow.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port of the loopback to listen on.
    #[arg(long)]
    port: u16,
    /// The server.
    #[arg(long)]
    to: SocketAddr,
    /// Milliseconds from a request to the first byte of its answer, at least.
    #[arg(long, default_value_t = 30)]
    latency: u64,
    /// Megabytes per second of all answers together, at most.
    #[arg(long, default_value_t = 100)]
    bandwidth: u64,
}

/// What all connections share.
#[derive(Debug)]
struct Line {
    latency: Duration,
    bytes_per_second: f64,
    /// When the bytes that were let through so far are through.
    free_at: Mutex<Instant>,
    answers: AtomicU64,
    bytes: AtomicU64,
    open: AtomicUsize,
    /// The most requests that waited for an answer at the same time.
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

/// A connection: when the request at work was sent.
type Asked = Mutex<Option<Instant>>;

fn main() -> Result<()> {
    let Arguments {
        port,
        to,
        latency,
        bandwidth,
    } = Arguments::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("listen on port {port}"))?;
    let line = Arc::new(Line {
        latency: Duration::from_millis(latency),
        bytes_per_second: bandwidth as f64 * 1e6,
        free_at: Mutex::new(Instant::now()),
        answers: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        open: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        most_waiting: AtomicUsize::new(0),
    });
    let told = Arc::clone(&line);
    thread::spawn(move || told.tell());
    for client in listener.incoming() {
        let (client, line) = (client.context("accept")?, Arc::clone(&line));
        if line.open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            line.open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        thread::spawn(move || {
            // A connection that breaks is for its client to notice.
            let _ = line.forward(&client, to);
            let _ = client.shutdown(Shutdown::Both);
            line.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

impl Line {
    /// Writes a line of what came through since the last one, whenever there was something and then nothing for a while.
    fn tell(&self) {
        let (mut told, mut before) = ((0, 0), (0, 0));
        loop {
            thread::sleep(Duration::from_millis(300));
            let now = (self.answers.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
            if now == before && now != told {
                let most = self.most_waiting.swap(0, Ordering::Relaxed);
                let (answers, bytes) = (now.0 - told.0, now.1 - told.1);
                // Nobody may be left to read it.
                let _ = writeln!(std::io::stdout(), "answers={answers} bytes={bytes} most_at_once={most}");
                told = now;
            }
            before = now;
        }
    }

    fn forward(&self, client: &TcpStream, to: SocketAddr) -> std::io::Result<()> {
        let server = TcpStream::connect(to)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let asked = Asked::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.requests(client, &server, &asked);
                let _ = server.shutdown(Shutdown::Write);
            });
            let answered = self.answers(&server, client, &asked);
            let _ = client.shutdown(Shutdown::Both);
            answered
        })
    }

    fn requests(&self, mut from: &TcpStream, mut to: &TcpStream, asked: &Asked) -> std::io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            if lock(asked).replace(Instant::now()).is_none() {
                let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
                self.most_waiting.fetch_max(waiting, Ordering::Relaxed);
            }
            to.write_all(&piece[..length])?;
        }
    }

    fn answers(&self, mut from: &TcpStream, mut to: &TcpStream, asked: &Asked) -> std::io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            let asked_at = lock(asked).take();
            if let Some(at) = asked_at {
                thread::sleep((at + self.latency).saturating_duration_since(Instant::now()));
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
            thread::sleep(self.through_in(length));
            to.write_all(&piece[..length])?;
        }
    }

    /// How long until so many more bytes are through.
    fn through_in(&self, length: usize) -> Duration {
        let takes = Duration::from_secs_f64(length as f64 / self.bytes_per_second);
        let now = Instant::now();
        let mut free_at = lock(&self.free_at);
        *free_at = (*free_at).max(now.checked_sub(BURST).unwrap_or(now)) + takes;
        free_at.saturating_duration_since(now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
