//! A deletion as a reader sees it: at once, in parts, in heads and in what arrives later, taken back, and the same after the merge
//! that rewrites it.

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;

use crate::blocks::Blocks;
use crate::process::{Process, emberkeep, eventually, free_port, output};
use crate::requests::now_ms;
use crate::wire::{self, V1_TYPE};

/// A midnight long ago: its windows have ended.
const START: i64 = 1_750_032_000_000;

fn body(instance: &str, minutes: impl Iterator<Item = i64>) -> Result<Vec<u8>> {
    let label = |name: &str, value: &str| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let samples = minutes.map(|minute| v1::Sample {
        value: minute as f64,
        timestamp: START + minute * 60_000,
    });
    let series = v1::TimeSeries {
        labels: vec![label("__name__", "kept"), label("instance", instance)],
        samples: samples.collect(),
        ..Default::default()
    };
    let request = v1::WriteRequest {
        timeseries: vec![series],
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

#[tokio::test]
async fn what_is_deleted_is_not_shown_wherever_it_lies() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let bucket = scratch.path().join("bucket");
    let objstore = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: \"{}\"}}}}",
        bucket.display()
    );
    let (write_port, read_port) = (free_port()?, free_port()?);
    let mut receiver = Process::start(
        "receiver",
        emberkeep(["receiver", "--flush.interval=1s"])
            .arg(&objstore)
            .arg(format!("--storage.path={}", scratch.path().join("receiver").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{write_port}")),
    )?;
    receiver.wait_for_line("accepts writes")?;
    let mut reader = Process::start(
        "reader",
        emberkeep(["reader"])
            .arg(&objstore)
            .arg(format!("--head-url=http://127.0.0.1:{write_port}"))
            .arg(format!("--web.listen-address=127.0.0.1:{read_port}")),
    )?;
    reader.wait_for_line("reader is listening")?;
    let client = wire::client();
    let send = async |instance: &str, from: i64, to: i64| -> Result<()> {
        let url = format!("http://127.0.0.1:{write_port}/api/v1/write");
        let sent = wire::post(&client, &url, V1_TYPE, body(instance, from..to)?).await?;
        ensure!(sent.0 == 204, "{sent:?}");
        Ok(())
    };
    // Samples of each instance, in the order of their names.
    let answered = async |parameters: &str| -> Result<Vec<usize>> {
        let url = format!("http://127.0.0.1:{read_port}/api/v1/read{parameters}");
        let found = wire::read_samples(&client, &url, START, START + 86_400_000, wire::everything()).await?;
        Ok(found.values().map(|samples| samples.len()).collect())
    };
    let counts = async || answered("").await;
    let compactor = |arguments: &[&str]| output(emberkeep(["compactor"]).args(arguments).arg(&objstore));
    for instance in ["a", "b", "c"] {
        send(instance, 0, 60).await?;
    }
    eventually(|| async {
        let log = bucket.join("_archive/log");
        ensure!(log.is_dir() && log.read_dir()?.count() > 0, "nothing is committed yet");
        Ok(())
    })
    .await?;
    compactor(&["run", "--once", "--compact.settle=10d"])?;
    ensure!(counts().await? == [60, 60, 60]);

    let then = now_ms()?;
    let then = format!("{}.{:03}", then / 1000, then % 1000);

    // Half an hour of one series, at once, and taken back.
    let delete = |selector: &str, from: i64, to: i64| {
        let (from, to) = (
            format!("--from={}", START / 1000 + from * 60),
            format!("--to={}", START / 1000 + to * 60),
        );
        let selector = format!("--match={selector}");
        compactor(&["delete", &selector, &from, &to, "--reason=a test", "--yes"])
    };
    let said = delete("{instance=\"b\"}", 0, 30)?;
    ensure!(counts().await? == [60, 30, 60], "{:?} after {said}", counts().await?);
    let id = said.split("undelete ").nth(1).and_then(|rest| rest.split('`').next());
    compactor(&["undelete", id.with_context(|| said.clone())?])?;
    ensure!(counts().await? == [60, 60, 60]);
    delete("{instance=\"b\"}", 0, 30)?;
    delete("{instance=\"c\"}", -1, 10_000)?;
    ensure!(counts().await? == [60, 30]);
    // The root that was live before answers as it did, one request and an export.
    ensure!(answered(&format!("?as_of={then}")).await? == [60, 60, 60]);
    let long_ago = answered("?as_of=2001-01-01T00:00:00Z")
        .await
        .map_err(|error| format!("{error:#}"));
    ensure!(
        long_ago
            .as_ref()
            .is_err_and(|said| said.contains("400") && said.contains("is root")),
        "{long_ago:?}"
    );
    for (as_of, samples) in [(Some(&then), 180), (None, 90)] {
        let blocks = tempfile::tempdir()?;
        let mut export = emberkeep(["reader", "export-tsdb"]);
        export
            .arg(&objstore)
            .arg(format!("--from={}", START / 1000))
            .arg("--output")
            .arg(blocks.path());
        output(export.args(as_of.map(|then| format!("--as-of={then}"))))?;
        let found = Blocks::read(blocks.path())?.samples().count();
        ensure!(found == samples, "{found} of {samples} samples as of {as_of:?}");
    }
    let url = format!("http://127.0.0.1:{read_port}/api/v1/label/instance/values");
    let text = client.get(url).send().await?.text().await?;
    ensure!(text.contains(r#""data":["a","b"]"#), "{text}");

    // What arrives later is hidden as well, first in the head and then in a part.
    send("b", 0, 90).await?;
    send("c", 60, 90).await?;
    ensure!(counts().await? == [60, 60]);
    output(
        emberkeep(["receiver", "drain"])
            .arg(&objstore)
            .arg(format!("--storage.path={}", scratch.path().join("receiver").display())),
    )?;
    drop((receiver, reader));
    let mut reader = Process::start(
        "reader",
        emberkeep(["reader"])
            .arg(&objstore)
            .arg(format!("--web.listen-address=127.0.0.1:{read_port}")),
    )?;
    reader.wait_for_line("reader is listening")?;
    ensure!(counts().await? == [60, 60], "from records above the root");
    compactor(&["run", "--once", "--compact.settle=0s"])?;
    ensure!(counts().await? == [60, 60], "after the merge");
    Ok(())
}
