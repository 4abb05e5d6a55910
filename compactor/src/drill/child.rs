//! A child process with bounds: it gives way, says no more than is kept, ends in time, and ends when nobody waits for it any more.
//!
//! It is the leader of a process group of its own, and the group is ended as one while the leader is not reaped, so that no other
//! process can have its number. A process that dies without running its destructors leaves children behind; they are recognised by a
//! variable in their environment ([`super::leftovers`]).

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::DrillError;
use super::leftovers::MARK;
use crate::upkeep::give_way;

/// How often a child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a child may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// How long the end of its output is waited for: a grandchild may hold the pipe open.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Bytes of standard output that are kept, from the beginning.
const STDOUT_BYTES: usize = 4 << 20;

/// Bytes of standard error that are kept, from the end.
const STDERR_BYTES: usize = 16 << 10;

/// A running child.
#[derive(Debug)]
pub(super) struct BoundedChild {
    what: String,
    child: std::process::Child,
    stdout: Output,
    stderr: Output,
    is_reaped: bool,
}

/// When all children of a drill must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) limit: Duration,
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// None when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Ended {
    /// The last line that it said, for people.
    pub(super) fn said(&self) -> String {
        let mut lines = self.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        match (lines.next_back(), self.code) {
            (Some(line), _) => line.to_owned(),
            (None, Some(code)) => format!("it ended with code {code}"),
            (None, None) => "a signal ended it".to_owned(),
        }
    }
}

impl BoundedChild {
    /// Starts a command that belongs to the drill in a scratch directory. `what` is what messages call it.
    pub(super) fn spawn(mut command: Command, what: &str, scratch: &Path) -> Result<Self, DrillError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .env(MARK, scratch);
        let program = Path::new(command.get_program()).to_owned();
        // A child inherits the priority of the thread that starts it.
        let started = std::thread::spawn(move || {
            give_way();
            command.spawn()
        });
        let started = started
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread that starts it panicked")));
        let mut child = started.map_err(DrillError::local(&program))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self {
            what: what.to_owned(),
            child,
            stdout: Output::keep(stdout, Kept::First(STDOUT_BYTES)),
            stderr: Output::keep(stderr, Kept::Last(STDERR_BYTES)),
            is_reaped: false,
        })
    }

    /// What has ended, if it has.
    pub(super) fn look(&mut self) -> Result<Option<std::process::ExitStatus>, DrillError> {
        let status = self
            .child
            .try_wait()
            .map_err(DrillError::local(Path::new(&self.what)))?;
        self.is_reaped |= status.is_some();
        Ok(status)
    }

    /// Waits for its end, and ends it when it takes too long or `may_go_on` refuses.
    pub(super) async fn end(
        mut self,
        deadline: Deadline,
        mut may_go_on: impl FnMut() -> Result<(), DrillError>,
    ) -> Result<Ended, DrillError> {
        loop {
            if let Some(status) = self.look()? {
                return Ok(Ended {
                    code: status.code(),
                    stdout: self.stdout.text().await,
                    stderr: self.said().await,
                });
            }
            may_go_on()?;
            self.check(deadline)?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Refuses when the drill has lasted too long.
    pub(super) fn check(&self, deadline: Deadline) -> Result<(), DrillError> {
        match Instant::now() >= deadline.at {
            true => Err(DrillError::TooLong {
                what: self.what.clone(),
                limit: deadline.limit,
            }),
            false => Ok(()),
        }
    }

    /// The end of its standard error.
    pub(super) async fn said(&mut self) -> String {
        String::from_utf8_lossy(&self.stderr.text().await).into_owned()
    }

    /// Asks it to end, and ends it if it does not.
    pub(super) async fn stop(mut self) -> Result<(), DrillError> {
        self.signal(Signal::TERM);
        let until = Instant::now() + GRACE;
        while self.look()?.is_none() && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Some(group), false) = (group, self.is_reaped) {
            // A group that has ended already needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for BoundedChild {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            // After the signal it does not take long, and what cannot be waited for is nobody's child.
            let _ = self.child.wait();
        }
    }
}

/// Which end of an output is kept.
#[derive(Debug, Clone, Copy)]
enum Kept {
    First(usize),
    Last(usize),
}

/// What a child says, as much of it as is kept; all of it is read, so that the child never waits.
#[derive(Debug)]
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Output {
    fn keep(pipe: Option<impl Read + Send + 'static>, kept: Kept) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let thread = pipe.map(|mut pipe| {
            let bytes = Arc::clone(&bytes);
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                    match kept {
                        Kept::First(most) => {
                            let room = most.saturating_sub(bytes.len()).min(count);
                            bytes.extend_from_slice(&buffer[..room]);
                        }
                        Kept::Last(most) => {
                            bytes.extend_from_slice(&buffer[..count]);
                            let surplus = bytes.len().saturating_sub(most);
                            bytes.drain(..surplus);
                        }
                    }
                }
            })
        });
        Self { bytes, thread }
    }

    /// All that is kept, once the pipe is closed or has been silent for long enough.
    async fn text(&mut self) -> Vec<u8> {
        let until = Instant::now() + OUTPUT_GRACE;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY / 10).await;
        }
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
