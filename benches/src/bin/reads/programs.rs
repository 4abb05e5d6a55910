//! Programs as child processes: what they cost, and servers among them that are asked.
//!
//! Time is that of the system for the process, all threads together, in steps of 10 ms; memory is what it did not map from files, seen
//! every few milliseconds. Each child ends with the value that stands for it.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long a server may take to become ready.
const START: Duration = Duration::from_secs(60);
/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);
const TICKS_PER_SECOND: f64 = 100.0;

/// What a program used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds by the clock.
    pub(crate) wall: f64,
    /// Seconds of processors, user and system.
    pub(crate) cpu: f64,
    /// Most anonymous memory, MB.
    pub(crate) peak: f64,
}

/// Runs a program to its end. Exit codes other than 0 are errors.
pub(crate) fn run(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Cost> {
    let before = waited_seconds()?;
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("start `{}`", program.display()))?;
    let watch = Watch::begin(child.id());
    let status = child.wait()?;
    let cost = Cost {
        wall: begun.elapsed().as_secs_f64(),
        cpu: waited_seconds()? - before,
        peak: watch.end(),
    };
    ensure!(status.success(), "`{}` ended with {status}", program.display());
    Ok(cost)
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server and waits until it is ready. `{address}` in its arguments becomes its address.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?;
        let address = free.local_addr()?.to_string();
        drop(free);
        let arguments = arguments.iter().map(|argument| argument.replace("{address}", &address));
        let child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start `{}`", program.display()))?;
        let mut server = Self { child, address };
        let begun = Instant::now();
        while !is_ready(&server.address) {
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("`{}` ended with {status}", program.display());
            }
            ensure!(begun.elapsed() < START, "`{}` does not become ready", program.display());
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// Seconds of processors that it used so far.
    pub(crate) fn cpu(&self) -> Result<f64> {
        ticks(&format!("/proc/{}/stat", self.child.id()), 11)
    }

    /// Begins to watch its memory.
    pub(crate) fn watch(&self) -> Watch {
        Watch::begin(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a server answers 200 where Prometheus and we say so.
fn is_ready(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(START))?;
        connection.write_all(format!("GET /-/ready HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        connection.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// The most memory of a process while it is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn begin(process: u32) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, seen) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                seen.fetch_max(anonymous_kilobytes(process).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        Self {
            stop,
            most,
            thread: Some(thread),
        }
    }

    /// The most so far, MB.
    pub(crate) fn end(mut self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot panic.
            let _ = thread.join();
        }
        self.most.load(Ordering::Relaxed) as f64 / 1024.0
    }
}

fn anonymous_kilobytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

/// Seconds of all children that were waited for.
fn waited_seconds() -> Result<f64> {
    ticks("/proc/self/stat", 13)
}

/// The sum of two fields that follow each other, counted from behind the name.
fn ticks(path: &str, first: usize) -> Result<f64> {
    let stat = std::fs::read_to_string(path)?;
    let behind_name = stat.rsplit_once(')').context("stat")?.1;
    let ticks = behind_name.split_whitespace().skip(first).take(2);
    let ticks = ticks
        .map(|ticks| ticks.parse::<f64>().context("stat"))
        .sum::<Result<f64>>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// Lets the system forget the content of all files below a directory, so that they come from the disk again.
pub(crate) fn forget_files(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_files(&entry.path())?;
            continue;
        }
        let file = format!("of={}", entry.path().display());
        let arguments = [
            file.as_str(),
            "oflag=nocache",
            "conv=notrunc,fdatasync",
            "count=0",
            "status=none",
        ];
        let status = Command::new("dd").args(arguments).status().context("start `dd`")?;
        ensure!(status.success(), "`dd` ended with {status}");
    }
    Ok(())
}
