//! Restores into a real Prometheus, of today and of years ago: running, while it goes on scraping; and each way in which one goes wrong, which
//! must be refused before anything is written.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;
use serde_json::Value;

use crate::corpus::drain;
use crate::exact::promtool_reads;
use crate::peers::{CURRENT, OLD, Prometheus, sorted};
use crate::process::{Emberkeep, emberkeep, eventually, output, peer};
use crate::requests::now_ms;
use crate::wire::{V1_TYPE, client, post};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Labels that the source would add.
const EXTERNAL: (&str, &str) = ("cluster", "home");

const CONFIG: &str = r#"
global: {scrape_interval: 1s, scrape_timeout: 1s, external_labels: {cluster: home}}
scrape_configs:
- job_name: self
  static_configs: [{targets: ["127.0.0.1:SELF_PORT"]}]
"#;

/// Five hours of samples that ended some time ago, as a sender with external labels sends them.
fn history(end: i64) -> Vec<u8> {
    let label = |(name, value): (&str, &str)| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = ["a", "b", "c"].map(|instance| v1::TimeSeries {
        labels: [("__name__", "restored_metric"), EXTERNAL, ("instance", instance)]
            .map(label)
            .to_vec(),
        samples: (0..300)
            .map(|n| v1::Sample {
                value: n as f64 / 8.0,
                timestamp: end - (300 - n) * MINUTE,
            })
            .collect(),
        ..v1::TimeSeries::default()
    });
    let request = v1::WriteRequest {
        timeseries: series.to_vec(),
        ..v1::WriteRequest::default()
    };
    emberkeep_proto::snappy::compress(&request.encode_to_vec())
}

/// An archive in `data` with such histories, and no server on it any more.
async fn archive(data: &Path, ends: &[i64]) -> Result<()> {
    let server = Emberkeep::start(data, &[])?;
    for end in ends {
        let (status, _, said) = post(&client(), &server.url("/api/v1/write"), V1_TYPE, history(*end)).await?;
        ensure!(status == 204, "{status}: {said}");
    }
    drain(server)
}

fn export(archive: &Path, from: i64, to: i64) -> Command {
    let mut command = emberkeep(["reader", "export-tsdb"]);
    let seconds = |ms: i64| (ms / 1000).to_string();
    command
        .args(["--from", &seconds(from), "--to", &seconds(to)])
        .arg("--storage.path")
        .arg(archive);
    command
}

/// What a command that is refused says.
fn refusal(command: &mut Command) -> Result<String> {
    let done = command.output()?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(
        done.status.code() == Some(1),
        "{command:?} ended with {}: {said}",
        done.status
    );
    Ok(said)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn blocks(directory: &Path) -> Result<Vec<String>> {
    Ok(names(directory)?.into_iter().filter(|name| name.len() == 26).collect())
}

async fn into_a_running_server(version: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let kept = scratch.path().join("emberkeep");
    let end = (now_ms()? - 40 * DAY) / MINUTE * MINUTE;
    archive(&kept, &[end]).await?;
    let client = client();

    let home = scratch.path().join("server");
    let data: PathBuf = home.join("data");
    let restore = |url: &str, into: &Path| {
        let mut command = export(&kept, end - DAY, end + DAY);
        command.arg("--into").arg(into).args(["--target", url]);
        command
    };
    // A bound on bytes takes the oldest blocks, which are the restored ones.
    let small = ["--storage.tsdb.retention.size=1KB"];
    let small = Prometheus::start_version(version, "small", &home, CONFIG, &small)?;
    let said = refusal(&mut restore(&format!("http://127.0.0.1:{}", small.port), &data))?;
    ensure!(
        said.contains("set --storage.tsdb.retention.size to more") && said.contains("--ignore retention"),
        "{said}"
    );
    small.process.terminate()?;
    // With the default retention the restore would be deleted as soon as it is loaded.
    let forgetful = Prometheus::start_version(version, "forgetful", &home, CONFIG, &[])?;
    let url = format!("http://127.0.0.1:{}", forgetful.port);
    let said = refusal(&mut restore(&url, &data))?;
    ensure!(
        said.contains("retention.time=") && said.contains("--ignore retention"),
        "{said}"
    );
    ensure!(
        !names(&data)?.iter().any(|name| name.contains("emberkeep")),
        "something was left behind"
    );
    let said = refusal(&mut restore(&url, &home))?;
    ensure!(
        said.contains(&format!("`{}`: that is the data directory", data.display())),
        "{said}"
    );
    forgetful.process.terminate()?;

    let server = Prometheus::start_version(
        version,
        "server",
        &home,
        CONFIG,
        &["--storage.tsdb.retention.time=100y"],
    )?;
    let url = format!("http://127.0.0.1:{}", server.port);
    let time = end as f64 / 1000.0 - 3_600.0;
    let nothing = server.instant(&client, "restored_metric", time).await?;
    ensure!(sorted(&nothing).is_empty(), "{nothing}");
    let planned = output(restore(&url, &data).arg("--dry-run"))?;
    ensure!(
        planned.contains("SAMPLES (MAX)") && blocks(&data)?.is_empty(),
        "{planned}"
    );
    output(&mut restore(&url, &data))?;
    let restored = blocks(&data)?;
    ensure!(
        !restored.is_empty() && !data.join("emberkeep-export").exists(),
        "{restored:?}"
    );

    // It loads them within its minute, and goes on scraping.
    eventually(|| async {
        let found = server.instant(&client, "count(restored_metric)", time).await?;
        ensure!(found["result"][0]["value"][1] == "3", "{found}");
        Ok(())
    })
    .await?;
    let data_of = |query: &'static str| server.instant(&client, query, time);
    let labels = data_of("restored_metric{instance=\"a\"}").await?;
    ensure!(
        labels["result"][0]["metric"].get(EXTERNAL.0).is_none(),
        "external labels are stripped: {labels}"
    );
    // Half a minute short of thirty: the ends of ranges are not the same in all versions.
    let counted = data_of("count_over_time(restored_metric{instance=\"b\"}[1770s])").await?;
    ensure!(counted["result"][0]["value"][1] == "30", "{counted}");
    let before = server.value(&client, "count_over_time(up[1h])").await?;
    eventually(|| async {
        let now = server.value(&client, "count_over_time(up[1h])").await?;
        ensure!(now > before, "it does not scrape any more");
        Ok(())
    })
    .await?;
    let failed = server.own(&client, "prometheus_tsdb_reloads_failures_total").await?;
    ensure!(failed == 0.0, "{failed} reloads failed");

    // Once more would double what is there.
    let said = refusal(&mut restore(&url, &data))?;
    ensure!(said.contains("--ignore overlap"), "{said}");
    server.process.terminate()?;
    let promtool = peer(&format!("{version}/promtool"))?;
    let listed = output(Command::new(promtool).args(["tsdb", "list"]).arg(&data))?;
    ensure!(restored.iter().any(|ulid| listed.contains(ulid.as_str())), "{listed}");

    // The log is still whole at the next start: what was scraped is there.
    let again = Prometheus::start_version(version, "again", &home, CONFIG, &["--storage.tsdb.retention.time=100y"])?;
    eventually(|| async {
        let found = again.value(&client, "count_over_time(up[1h])").await?;
        ensure!(found > before, "{found} of more than {before} scrapes are left");
        Ok(())
    })
    .await?;
    let found = again.instant(&client, "count(restored_metric)", time).await?;
    ensure!(found["result"][0]["value"][1] == "3", "{found}");

    // Blocks that are longer than those of a head are as good.
    let long = scratch.path().join("long");
    let mut longer = export(&kept, end - DAY, end + DAY);
    output(longer.arg("--block-duration=18h").arg("--output").arg(&long))?;
    let lengths: Result<Vec<i64>> = blocks(&long)?.iter().map(|ulid| length(&long.join(ulid))).collect();
    let lengths = lengths?;
    ensure!(lengths.iter().any(|length| *length > 120 * MINUTE), "{lengths:?}");
    promtool_reads(version, &long)
}

/// What a block says of its length, milliseconds.
fn length(block: &Path) -> Result<i64> {
    let meta: Value = serde_json::from_slice(&std::fs::read(block.join("meta.json"))?)?;
    let time = |name: &str| meta[name].as_i64().with_context(|| format!("no {name}"));
    Ok(time("maxTime")? - time("minTime")?)
}

/// Whoever runs the server must be able to merge and delete what it was given.
#[tokio::test]
async fn blocks_belong_to_whom_the_directory_belongs() -> Result<()> {
    const NOBODY: u32 = 65_534;
    let scratch = tempfile::tempdir()?;
    let kept = scratch.path().join("emberkeep");
    let end = (now_ms()? - 40 * DAY) / MINUTE * MINUTE;
    archive(&kept, &[end]).await?;
    let data = scratch.path().join("data");
    std::fs::create_dir_all(data.join("wal"))?;
    let own = std::fs::metadata(&data)?.uid();
    if chown(&data, Some(NOBODY), Some(NOBODY)).is_err() {
        // Without the rights of root nothing can be given away, and what is somebody else's is refused.
        let mut into = export(&kept, end - DAY, end + DAY);
        let said = refusal(into.args(["--into", "/", "--ignore", "directory"]))?;
        ensure!(
            said.contains(&format!("this runs as {own}")) && said.contains("--ignore owner"),
            "{said}"
        );
        return Ok(());
    }
    output(export(&kept, end - DAY, end + DAY).arg("--into").arg(&data))?;
    let owner = |path: &Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid()));
    let mut seen = 0;
    for block in blocks(&data)? {
        let block = data.join(block);
        let inside = [
            block.clone(),
            block.join("meta.json"),
            block.join("index"),
            block.join("chunks"),
        ];
        let chunks = names(&block.join("chunks"))?;
        let chunks = chunks.iter().map(|name| block.join("chunks").join(name));
        for path in inside.into_iter().chain(chunks) {
            ensure!(
                owner(&path)? == (NOBODY, NOBODY),
                "{}: {:?}",
                path.display(),
                owner(&path)?
            );
            seen += 1;
        }
    }
    ensure!(seen > 10, "{seen} files and folders");
    ensure!(
        owner(&data.join("wal"))?.0 == own,
        "what was there before was given away, too"
    );
    Ok(())
}

#[tokio::test]
async fn a_running_server_gets_its_history_back() -> Result<()> {
    into_a_running_server(CURRENT).await
}

#[tokio::test]
async fn a_running_server_of_years_ago_gets_its_history_back() -> Result<()> {
    into_a_running_server(OLD).await
}

/// A block of the last hours makes a server forget the part of its log that is older than the block's end.
#[tokio::test]
async fn what_a_server_would_forget_is_refused() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let kept = scratch.path().join("emberkeep");
    let end = (now_ms()? - 5 * MINUTE) / MINUTE * MINUTE;
    archive(&kept, &[end]).await?;
    let home = scratch.path().join("server");
    let server = Prometheus::start("server", &home, CONFIG, &[])?;
    eventually(|| async { server.value(&client(), "up").await }).await?;
    server.process.terminate()?;
    // It runs no more: what its log holds can be seen on the disk alone.
    let said = refusal(export(&kept, end - DAY, end + DAY).arg("--into").arg(home.join("data")))?;
    let to = said.rsplit("give --to=").next().context("a time")?;
    let to = to.split(' ').next().context("a time")?;
    ensure!(said.contains("--ignore recent"), "{said}");
    let mut until = emberkeep(["reader", "export-tsdb", "--from=-1d"]);
    until
        .args(["--to", to, "--storage.path"])
        .arg(&kept)
        .arg("--into")
        .arg(home.join("data"));
    output(&mut until)?;
    ensure!(
        !blocks(&home.join("data"))?.is_empty(),
        "what is old enough is restored"
    );
    Ok(())
}
