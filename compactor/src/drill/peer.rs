//! A real Prometheus on the blocks: on the loopback address alone, with nothing to scrape, to evaluate or to send.
//!
//! It is asked for its own flags before anything else: an answer of some other server on the same port proves nothing.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use emberkeep_source::{Source, SourceConfig};

use super::DrillError;
use super::child::{BoundedChild, Deadline};

/// How often it is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Attempts with another port, when somebody else was faster.
const ATTEMPTS: usize = 3;

/// A Prometheus that answers from the blocks.
#[derive(Debug)]
pub(super) struct RestoredPrometheus {
    child: BoundedChild,
    source: Source,
    version: String,
}

impl RestoredPrometheus {
    /// Starts it and waits until it answers.
    pub(super) async fn start(
        program: &Path,
        blocks: &Path,
        work: &Path,
        deadline: Deadline,
    ) -> Result<Self, DrillError> {
        let config = work.join("prometheus.yml");
        fs::write(&config, "{}\n").map_err(DrillError::local(&config))?;
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            // Free a moment ago; whoever takes it meanwhile makes the child end.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr());
            let address = port.map_err(DrillError::local(Path::new("127.0.0.1:0")))?;
            let mut command = Command::new(program);
            command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", blocks.display()))
                .arg("--storage.tsdb.retention.time=100y")
                .arg(format!("--web.listen-address={address}"));
            let child = BoundedChild::spawn(command, "prometheus", work)?;
            let source = Source::new(SourceConfig {
                timeout: Duration::from_secs(30),
                ..SourceConfig::new(format!("http://{address}"))
            })?;
            match ready(child, source, blocks, deadline).await? {
                Ok(started) => return Ok(started),
                Err(last) => said = last,
            }
            if !said.contains("address already in use") {
                break;
            }
        }
        Err(DrillError::Failed {
            what: program.display().to_string(),
            said,
        })
    }

    /// Its base URL.
    pub(super) fn url(&self) -> &str {
        self.source.url()
    }

    /// Its version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Asks it to end, and ends it if it does not.
    pub(super) async fn stop(self) -> Result<(), DrillError> {
        self.child.stop().await
    }
}

/// Waits until it answers; with what it said last when it has ended.
async fn ready(
    mut child: BoundedChild,
    source: Source,
    blocks: &Path,
    deadline: Deadline,
) -> Result<Result<RestoredPrometheus, String>, DrillError> {
    let path = blocks.display().to_string();
    loop {
        if child.look()?.is_some() {
            let said = child.said().await;
            return Ok(Err(error_line(&said)));
        }
        child.check(deadline)?;
        // Until it has loaded the blocks it answers nothing or 503.
        if let Ok(flags) = source.flags().await
            && flags.get("storage.tsdb.path") == Some(&path)
        {
            let version = source.build_info().await?.version;
            return Ok(Ok(RestoredPrometheus { child, source, version }));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The last line that tells of an error, else the last line.
fn error_line(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rfind(|line| line.to_ascii_lowercase().contains("err"));
    error
        .or_else(|| lines().next_back())
        .unwrap_or("it said nothing")
        .to_owned()
}
