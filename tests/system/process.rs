//! Starting, watching and ending the processes of a test. Every process is ended by its own id when its handle is dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A process whose log is watched.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// Starts a command; its standard error is the log.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let log = child.stderr.take().context("standard error is piped")?;
        let (sender, lines) = mpsc::sync_channel(100_000);
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                // A full or closed channel only loses log lines of a test that no longer reads them.
                let _ = sender.try_send(line);
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            lines,
            seen: Vec::new(),
        })
    }

    /// Waits for a log line that holds the text.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let found = line.contains(text);
                    self.seen.push(line);
                    if found {
                        return Ok(());
                    }
                }
                Err(_) => {
                    let log = self.log();
                    bail!("{} never logged `{text}`; its log:\n{log}", self.name)
                }
            }
        }
    }

    /// The log so far.
    pub(crate) fn log(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn terminate(mut self) -> Result<ExitStatus> {
        signal(self.child.id(), "TERM")?;
        self.wait()
    }

    /// Waits for the end beside other things that may happen.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            looks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
        }
        let log = self.log();
        bail!("{} does not end; its log:\n{log}", self.name)
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let log = self.log();
                bail!("{} does not end; its log:\n{log}", self.name);
            }
            // Returns early when the log ends with the process.
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(20)) {
                self.seen.push(line);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()?;
    anyhow::ensure!(status.success(), "kill -{name} {pid} failed");
    Ok(())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The binary under test with arguments.
pub(crate) fn emberkeep<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emberkeep"));
    command.args(arguments);
    command
}

/// A running Emberkeep, all in one.
pub(crate) struct Emberkeep {
    pub(crate) process: Process,
    pub(crate) port: u16,
    data: PathBuf,
    extra: Vec<String>,
}

impl Emberkeep {
    /// Starts on a data directory and waits until it accepts writes.
    pub(crate) fn start(data: &Path, extra: &[&str]) -> Result<Self> {
        Self::start_on(free_port()?, data, extra.iter().map(ToString::to_string).collect())
    }

    fn start_on(port: u16, data: &Path, extra: Vec<String>) -> Result<Self> {
        let mut command = emberkeep(["--storage.path"]);
        command
            .arg(data)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(&extra);
        let mut process = Process::start("emberkeep", &mut command)?;
        process.wait_for_line("accepts writes")?;
        Ok(Self {
            process,
            port,
            data: data.to_owned(),
            extra,
        })
    }

    /// `kill -9`, and a new life on the same directory and port.
    pub(crate) fn kill_and_restart(self) -> Result<Self> {
        self.kill()?.restart()
    }

    /// `kill -9`.
    pub(crate) fn kill(self) -> Result<Killed> {
        self.process.kill()?;
        Ok(Killed {
            port: self.port,
            data: self.data,
            extra: self.extra,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// What a killed Emberkeep leaves behind.
pub(crate) struct Killed {
    port: u16,
    data: PathBuf,
    extra: Vec<String>,
}

impl Killed {
    /// A new life on the same directory and port.
    pub(crate) fn restart(self) -> Result<Emberkeep> {
        Emberkeep::start_on(self.port, &self.data, self.extra)
    }
}

/// Runs a command to its end and returns its standard output; its standard error goes into the failure.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{command:?} failed with {}:\n{stderr}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A peer that `tests/peers/build` has built.
pub(crate) fn peer(relative: &str) -> Result<PathBuf> {
    let home = || {
        std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
    };
    let cache = std::env::var_os("EMBERKEEP_CACHE")
        .map(PathBuf::from)
        .or_else(|| home().map(|h| h.join("emberkeep")));
    let path = cache
        .context("neither EMBERKEEP_CACHE nor HOME is set")?
        .join("peers")
        .join(relative);
    anyhow::ensure!(
        path.exists(),
        "`{}` is missing: run tests/peers/build, which builds or installs it",
        path.display()
    );
    Ok(path)
}

/// Asks until the answer is there; fails with the last reason when it never comes.
pub(crate) async fn eventually<T, F: Future<Output = Result<T>>>(mut ask: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    loop {
        pace.tick().await;
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => return Err(error.context("it never came true")),
            Err(_) => {}
        }
    }
}
