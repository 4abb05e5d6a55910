//! The whole path over a real S3 server: written, flushed, committed, folded, read and exported, while processes and the store die.

use anyhow::{Result, ensure};

use crate::blocks::Blocks;
use crate::corpus::drain;
use crate::minio::{BASE_MS, Minio, Sender, policy, reads_equal};
use crate::peers::own_metric;
use crate::process::{Emberkeep, Process, emberkeep, eventually, free_port, output};
use crate::wire::{self, Samples};

/// Lives of the receiver that end in the middle.
const KILLS: u64 = 9;

/// Fails with the first difference between what was sent and the blocks that an export of the bucket gives, read by Prometheus' own code.
fn exports_equal(objstore: &str, expected: &Samples) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    output(
        emberkeep(["reader", "export-tsdb", "--from"])
            .arg((BASE_MS / 1000).to_string())
            .arg("--to")
            .arg((BASE_MS / 1000 + 10_000).to_string())
            .arg("--output")
            .arg(scratch.path().join("blocks"))
            .arg(objstore),
    )?;
    let blocks = Blocks::read(&scratch.path().join("blocks"))?;
    let mut found = Samples::new();
    for (labels, by_time) in blocks.series {
        for (timestamp, sample) in by_time {
            let bits = u64::from_str_radix(&sample.value, 16)?;
            wire::add(&mut found, &labels, timestamp, bits, 0);
        }
    }
    match wire::difference(expected, &found) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("{difference}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_roles_meet_in_a_bucket_each_with_no_more_rights_than_it_needs() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let minio = Minio::start(&scratch.path().join("minio")).await?;
    for role in ["receiver", "compactor", "reader"] {
        minio.user(role, &policy(role)?)?;
    }
    let (write_port, fold_port, read_port) = (free_port()?, free_port()?, free_port()?);
    let start = |role: &str, port: u16, more: &[String]| {
        let mut command = emberkeep([role]);
        command
            .arg(minio.objstore_of(role))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(more);
        let mut process = Process::start(role, &mut command)?;
        process.wait_for_line("address=127.0.0.1:")?;
        anyhow::Ok(process)
    };
    let storage = format!("--storage.path={}", scratch.path().join("receiver").display());
    let receiver = start(
        "receiver",
        write_port,
        &[storage.clone(), "--flush.interval=300ms".to_owned()],
    )?;
    let folding = format!("--storage.path={}", scratch.path().join("compactor").display());
    let compactor = start("compactor", fold_port, &[folding, "--fold.interval=200ms".to_owned()])?;
    let reader = start(
        "reader",
        read_port,
        &[format!("--head-url=http://127.0.0.1:{write_port}")],
    )?;

    let sender = Sender::start(write_port);
    sender.further(150).await?;
    let expected = sender.end().await?;
    reads_equal(read_port, &expected).await?;
    output(
        emberkeep(["receiver", "drain"])
            .arg(&storage)
            .arg(minio.objstore_of("receiver")),
    )?;
    drop(receiver);

    // Whatever was refused for want of rights would be a failure.
    let client = wire::client();
    for port in [fold_port, read_port] {
        eventually(|| async {
            let looks = own_metric(&client, port, "emberkeep_objstore_requests_total").await?;
            ensure!(looks > 0.0, "nothing was asked of the store");
            Ok(())
        })
        .await?;
        let failures = own_metric(&client, port, "emberkeep_objstore_request_failures_total").await?;
        ensure!(failures == 0.0, "{failures} failures on port {port}");
    }
    ensure!(
        compactor.terminate()?.success() && reader.terminate()?.success(),
        "SIGTERM ends with 0"
    );

    // The bucket alone is enough, with the reader's rights.
    let reader = start("reader", read_port, &[])?;
    reads_equal(read_port, &expected).await?;
    drop(reader);
    exports_equal(&minio.objstore_of("reader"), &expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_uploads_lose_nothing() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let minio = Minio::start(&scratch.path().join("minio")).await?;
    let objstore = minio.objstore_of_root();
    let data = scratch.path().join("data");
    let arguments = ["--flush.interval=100ms", "--fold.interval=150ms", &objstore];
    let mut server = Emberkeep::start(&data, &arguments)?;
    let sender = Sender::start(server.port);
    let client = wire::client();
    let becomes = |server: &Emberkeep, what: &'static str, wanted: fn(f64) -> bool| {
        let (client, port) = (client.clone(), server.port);
        eventually(move || {
            let client = client.clone();
            async move {
                let value = own_metric(&client, port, what).await?;
                ensure!(wanted(value), "{what} is {value}");
                Ok(())
            }
        })
    };
    for kill in 0..KILLS {
        // Two deaths while the same record is replayed would set it aside: that is another test's matter.
        becomes(&server, "emberkeep_receiver_replay_running", |running| running == 0.0).await?;
        if kill % 3 == 0 {
            becomes(&server, "emberkeep_receiver_commits_total", |commits| commits > 0.0).await?;
        }
        // Between 2 and 12 requests later: in claims, uploads, commits and folds.
        sender.further(2 + kill * 7 % 11).await?;
        if kill % 2 == 0 {
            // The store stands still until a part waits for it: the kill finds a request under way that may or may not be done later.
            minio.freeze()?;
            becomes(&server, "emberkeep_receiver_staged_parts", |parts| parts > 0.0).await?;
            let killed = server.kill()?;
            minio.thaw()?;
            server = killed.restart()?;
        } else {
            server = server.kill_and_restart()?;
        }
    }
    let expected = sender.end().await?;
    // What the last life left is still being replayed.
    becomes(&server, "emberkeep_receiver_replay_running", |running| running == 0.0).await?;
    reads_equal(server.port, &expected).await?;
    drain(server)?;
    exports_equal(&objstore, &expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_while_the_store_is_down_and_staging_drains_after() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut minio = Minio::start(&scratch.path().join("minio")).await?;
    let objstore = minio.objstore_of_root();
    let arguments = ["--flush.interval=200ms", "--fold.interval=200ms", &objstore];
    let mut server = Emberkeep::start(&scratch.path().join("data"), &arguments)?;
    let client = wire::client();
    let staged = |server: &Emberkeep| {
        let (client, url) = (client.clone(), server.port);
        async move { own_metric(&client, url, "emberkeep_receiver_staged_parts").await }
    };
    let sender = Sender::start(server.port);
    let committed = |server: &Emberkeep| {
        let (client, port) = (client.clone(), server.port);
        async move { own_metric(&client, port, "emberkeep_receiver_commits_total").await }
    };
    eventually(|| async {
        ensure!(committed(&server).await? > 0.0, "nothing is committed");
        Ok(())
    })
    .await?;
    minio.stop()?;
    server
        .process
        .wait_for_line("commit failed; staging grows until the store answers")?;
    let parts = staged(&server).await?;
    eventually(|| async {
        ensure!(staged(&server).await? >= parts + 3.0, "staging does not grow");
        Ok(())
    })
    .await?;
    // Acknowledged all the time, and ready for more.
    sender.further(20).await?;
    let ready = client.get(server.url("/-/ready")).send().await?.status();
    ensure!(ready.is_success(), "ready answers {ready} though writes are accepted");
    let refused = client.get(server.url("/metrics")).send().await?.text().await?;
    ensure!(!refused.contains("code=\"503\""), "writes were refused:\n{refused}");
    minio.resume().await?;
    server.process.wait_for_line("the object store works again")?;
    let expected = sender.end().await?;
    eventually(|| async {
        ensure!(staged(&server).await? <= 1.0, "staging does not drain");
        Ok(())
    })
    .await?;
    reads_equal(server.port, &expected).await?;
    drain(server)?;
    exports_equal(&objstore, &expected)
}
