//! The three roles as processes of their own: what is not committed comes over the head's endpoint, what is comes from the bucket, a dead head
//! is an error and never a shorter answer, and the bucket alone is enough.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;

use crate::process::{Process, emberkeep, eventually, free_port, output};
use crate::wire::{self, V1_TYPE};

fn body(timestamp: i64) -> Result<Vec<u8>> {
    let series = v1::TimeSeries {
        labels: vec![v1::Label {
            name: "__name__".to_owned(),
            value: "role".to_owned(),
        }],
        samples: vec![v1::Sample { value: 0.5, timestamp }],
        ..Default::default()
    };
    let request = v1::WriteRequest {
        timeseries: vec![series],
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

#[tokio::test]
async fn the_roles_run_apart_and_meet_in_the_bucket() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let bucket = scratch.path().join("bucket");
    let objstore = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: \"{}\"}}}}",
        bucket.display()
    );
    let storage = format!("--storage.path={}", scratch.path().join("receiver").display());
    let (write_port, fold_port, read_port) = (free_port()?, free_port()?, free_port()?);
    let listen = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
    let start = |name: &str, more: &[String]| {
        let mut process = Process::start(name, emberkeep([name]).arg(&objstore).args(more))?;
        process.wait_for_line("address=127.0.0.1:")?;
        anyhow::Ok(process)
    };
    let receiver = start("receiver", &[storage.clone(), listen(write_port)])?;
    let compactor = start("compactor", &[listen(fold_port), "--fold.interval=100ms".to_owned()])?;
    let head = format!("--head-url=http://127.0.0.1:{write_port}");
    let reader = start("reader", &[listen(read_port), head.clone()])?;

    let client = wire::client();
    let write = format!("http://127.0.0.1:{write_port}/api/v1/write");
    let read = format!("http://127.0.0.1:{read_port}/api/v1/read");
    let samples = || wire::read_samples(&client, &read, 0, 100, wire::everything());
    let count = |found: wire::Samples| found.values().map(|s| s.len()).sum::<usize>();
    ensure!(wire::post(&client, &write, V1_TYPE, body(1)?).await?.0 == 204);
    ensure!(count(samples().await?) == 1, "from the head");

    // A second process must not open the same data directory.
    let second = output(
        emberkeep(["receiver"])
            .arg(&storage)
            .arg(&objstore)
            .arg(listen(free_port()?)),
    );
    ensure!(format!("{:?}", second).contains("in use by process"), "{second:?}");

    // `receiver drain` asks the running server, waits, and leaves nothing local.
    output(emberkeep(["receiver", "drain"]).arg(&storage).arg(&objstore))?;
    ensure!(
        files_below(&scratch.path().join("receiver/wal"))? == 0,
        "segments are left"
    );
    ensure!(
        files_below(&scratch.path().join("receiver/staging"))? == 0,
        "staged parts are left"
    );
    let answer = samples().await;
    ensure!(
        format!("{answer:?}").contains("503"),
        "the head is down, so the answer must be 503: {answer:?}"
    );

    // The committer folds, and a reader without heads answers from the bucket.
    eventually(|| async {
        ensure!(bucket.join("_archive/roots").read_dir()?.count() > 0, "no root yet");
        Ok(())
    })
    .await?;
    ensure!(
        reader.terminate()?.success() && compactor.terminate()?.success(),
        "SIGTERM ends with 0"
    );
    drop(receiver);
    let reader = start("reader", &[listen(read_port)])?;
    ensure!(count(samples().await?) == 1, "from the bucket alone");

    // A new life of the receiver goes on with the next sequence.
    let receiver = start("receiver", &[storage.clone(), listen(write_port)])?;
    ensure!(wire::post(&client, &write, V1_TYPE, body(2)?).await?.0 == 204);
    ensure!(receiver.terminate()?.success(), "SIGTERM ends with 0");
    output(emberkeep(["receiver", "drain"]).arg(&storage).arg(&objstore))?;
    ensure!(count(samples().await?) == 2, "both lives are in the bucket");
    output(emberkeep(["compactor", "run", "--once"]).arg(&objstore))?;
    ensure!(count(samples().await?) == 2, "folding changes nothing");
    drop(reader);
    Ok(())
}

fn files_below(directory: &std::path::Path) -> Result<usize> {
    let mut files = 0;
    for entry in directory.read_dir()? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() {
            files_below(&entry.path())?
        } else {
            1
        };
    }
    Ok(files)
}
