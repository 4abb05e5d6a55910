//! `kill -9` at each request that a role makes of a real S3 server, before and after the store has done it; and two compactors at once.
//!
//! After each death every acknowledged sample is read exactly once, and what was left is picked up by the next life.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::interceptor::{Cut, Interceptor};
use crate::minio::{Minio, Sender, held, reads_equal};
use crate::process::{Process, emberkeep, eventually, free_port, signal};
use crate::wire;

/// So many requests from the first one on are each a place to die at; behind them, one of two, then one of three, and so on.
const STEPS: u64 = 6;

/// Between two requests of the sender: each death needs a few commits, and no more.
const PACE: Duration = Duration::from_millis(100);

/// Places where a receiver dies: its claim, the check of the store, uploads, commits.
const DEATHS: [u64; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 20, 25];

struct Site {
    scratch: tempfile::TempDir,
    minio: Minio,
}

impl Site {
    async fn new() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let minio = Minio::start(&scratch.path().join("minio")).await?;
        Ok(Self { scratch, minio })
    }

    fn receiver(&self, port: u16, objstore: &str) -> Result<Process> {
        let mut command = emberkeep(["receiver", "--flush.interval=100ms", objstore]);
        command
            .arg(storage(self.scratch.path(), "receiver"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Process::start("receiver", &mut command)
    }

    async fn reader(&self, head: u16) -> Result<(Process, u16)> {
        let port = free_port()?;
        let mut command = emberkeep(["reader", &self.minio.objstore_of_root()]);
        command
            .arg(format!("--head-url=http://127.0.0.1:{head}"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut reader = Process::start("reader", &mut command)?;
        reader.wait_for_line("reader is listening")?;
        Ok((reader, port))
    }

    /// One pass over all that is to be folded, merged, collected.
    fn compactor(&self, name: &str, objstore: &str) -> Result<Process> {
        let mut command = emberkeep(["compactor", "run", "--once", "--compact.settle=0s", objstore]);
        command.arg(storage(self.scratch.path(), name));
        Process::start("compactor", &mut command)
    }

    /// Commit records that the server has.
    async fn commits(&self, port: u16) -> Result<f64> {
        crate::peers::own_metric(&wire::client(), port, "emberkeep_receiver_commits_total").await
    }

    /// Waits for a few more commits, so that there is something to merge.
    async fn further_commits(&self, port: u16) -> Result<()> {
        let before = self.commits(port).await?;
        eventually(|| async {
            ensure!(self.commits(port).await? >= before + 2.0, "no further commits");
            Ok(())
        })
        .await
    }
}

fn storage(scratch: &Path, name: &str) -> String {
    format!("--storage.path={}", scratch.join(name).display())
}

/// Either way of dying, in turn.
fn cut_of(number: u64) -> Cut {
    if number.is_multiple_of(2) {
        Cut::Before
    } else {
        Cut::After
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_may_die_at_any_request() -> Result<()> {
    let site = Site::new().await?;
    let port = free_port()?;
    let mut receiver = site.receiver(port, &site.minio.objstore_of_root())?;
    receiver.wait_for_line("accepts writes")?;
    let (_reader, read_port) = site.reader(port).await?;
    let sender = Sender::start_at(port, PACE);
    let mut number = 1;
    loop {
        site.further_commits(port).await?;
        let mut wire = Interceptor::start(site.minio.port(), number, cut_of(number)).await?;
        let mut compactor = site.compactor("compactor", &site.minio.objstore_through(wire.port))?;
        let ended = tokio::select! {
            cut = wire.cut() => cut.map(|()| None)?,
            ended = compactor.ended() => Some(ended?),
        };
        if let Some(status) = ended {
            ensure!(status.success(), "request {number}: {}", compactor.log());
        }
        compactor.kill()?;
        let acknowledged = sender.acknowledged();
        let held = held(read_port).await?;
        ensure!(
            held >= acknowledged,
            "{held} of {acknowledged} after a death at request {number}"
        );
        if ended.is_some() {
            break;
        }
        number += 1 + number / STEPS;
    }
    ensure!(number > 30, "a pass makes {number} requests only: nothing was merged");
    let expected = sender.end().await?;
    reads_equal(read_port, &expected).await?;
    let mut last = site.compactor("compactor", &site.minio.objstore_of_root())?;
    ensure!(last.wait()?.success(), "{}", last.log());
    reads_equal(read_port, &expected).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_may_die_at_any_request() -> Result<()> {
    let site = Site::new().await?;
    let port = free_port()?;
    let (_reader, read_port) = site.reader(port).await?;
    let sender = Sender::start_at(port, PACE);
    for number in DEATHS {
        let mut wire = Interceptor::start(site.minio.port(), number, cut_of(number)).await?;
        let receiver = site.receiver(port, &site.minio.objstore_through(wire.port))?;
        wire.cut().await?;
        receiver.kill()?;
        // A life without trouble: a record is set aside when several starts in a row die at it.
        let mut receiver = site.receiver(port, &site.minio.objstore_of_root())?;
        receiver.wait_for_line("accepts writes")?;
        site.further_commits(port).await?;
        let acknowledged = sender.acknowledged();
        let held = held(read_port).await?;
        ensure!(
            held >= acknowledged,
            "{held} of {acknowledged} after a death at request {number}"
        );
        receiver.kill()?;
    }
    let mut receiver = site.receiver(port, &site.minio.objstore_of_root())?;
    receiver.wait_for_line("accepts writes")?;
    site.further_commits(port).await?;
    let expected = sender.end().await?;
    reads_equal(read_port, &expected).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_compactors_at_once_leave_each_sample_once() -> Result<()> {
    let site = Site::new().await?;
    let port = free_port()?;
    let mut receiver = site.receiver(port, &site.minio.objstore_of_root())?;
    receiver.wait_for_line("accepts writes")?;
    let (_reader, read_port) = site.reader(port).await?;
    let sender = Sender::start_at(port, PACE);
    for round in 0..4 {
        site.further_commits(port).await?;
        let mut one = site.compactor("one", &site.minio.objstore_of_root())?;
        let mut other = site.compactor("other", &site.minio.objstore_of_root())?;
        if round % 2 == 1 {
            // One of them finds out much later that it was overtaken.
            signal(other.pid(), "STOP")?;
            ensure!(one.ended().await?.success(), "{}", one.log());
            signal(other.pid(), "CONT")?;
        }
        let (one_ended, other_ended) = tokio::join!(one.ended(), other.ended());
        ensure!(one_ended?.success(), "{}", one.log());
        ensure!(other_ended?.success(), "{}", other.log());
        let acknowledged = sender.acknowledged();
        let held = held(read_port).await?;
        ensure!(held >= acknowledged, "{held} of {acknowledged} after round {round}");
    }
    let expected = sender.end().await?;
    reads_equal(read_port, &expected).await
}
