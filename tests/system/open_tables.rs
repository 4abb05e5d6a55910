//! The published tables of a running server, as other engines find them: after each publication, after a deletion was rewritten, and after
//! late data was merged, they hold the samples that our own reader gives, bit by bit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;
use serde_json::Value;

use crate::gauges::Gauges;
use crate::process::{Emberkeep, emberkeep, eventually, output, peer};
use crate::wire::{self, LabelSet, Samples, V1_TYPE};

/// A midnight long ago: each window has ended, and so has each day.
const MIDNIGHT: i64 = 1_750_032_000_000;
const DAY: i64 = 86_400_000;

/// Two days of some series from a sample on.
fn body(from: i64, to: i64) -> Result<Vec<u8>> {
    let label = |name: &str, value: String| v1::Label {
        name: name.to_owned(),
        value,
    };
    let series = (0..12).map(|series| v1::TimeSeries {
        labels: vec![
            label("__name__", "published_total".to_owned()),
            label("instance", format!("host-{series:02}")),
        ],
        samples: (from..to)
            .map(|i| v1::Sample {
                value: i as f64 * 0.1 + series as f64,
                timestamp: MIDNIGHT + i * DAY / 100,
            })
            .collect(),
        ..Default::default()
    });
    let request = v1::WriteRequest {
        timeseries: series.collect(),
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

/// What an engine finds in the tables through the shipped views.
fn found_by(engine: &str, archive: &Path) -> Result<Samples> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = match engine {
        "duckdb" => "duckdb-delta/bin/python",
        "spark" => "spark/bin/python",
        _ => "python/bin/python",
    };
    let mut command = Command::new(peer(python)?);
    command
        .arg(home.join("archive/tests/tables/read.py"))
        .arg(engine)
        .arg(archive)
        .arg(home.join("deploy/sql"))
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env("DELTA_JARS", peer("spark/jars")?);
    let text = output(&mut command).with_context(|| format!("{engine} cannot read the tables"))?;
    let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let result: Value = serde_json::from_str(result.with_context(|| format!("{engine} says {text}"))?)?;
    let mut samples = Samples::new();
    for row in result["samples"].as_array().context("rows")? {
        let labels: BTreeMap<String, String> = serde_json::from_value(row[1].clone())?;
        let labels: LabelSet = labels.into_iter().collect();
        let (at, bits) = (row[2].as_i64().context("a time")?, row[3].as_u64().context("bits")?);
        let before = samples.entry(labels.clone()).or_default().insert(at, (bits, 0));
        ensure!(before.is_none(), "{engine} shows {labels:?} at {at} twice");
    }
    Ok(samples)
}

/// Waits until the tables are the image of all there is; what our reader gives then.
async fn published(client: &reqwest::Client, server: &Emberkeep, archive: &Path, samples: usize) -> Result<Samples> {
    eventually(|| async move {
        let now = Gauges::scrape(client, server).await?;
        let none = [
            "receiver_head_series",
            "receiver_staging_bytes",
            "archive_parts{level=\"0\"}",
            "compactor_jobs_due",
            "tables_waiting_parts",
        ];
        for name in none {
            ensure!(now.of(name)? == 0.0, "{name} is {}", now.of(name)?);
        }
        let (root, newest) = (now.of("tables_root")?, newest_root(archive)? as f64);
        ensure!(root == newest, "the tables are of root {root}, the newest is {newest}");
        let url = server.url("/api/v1/read");
        let ours = wire::read_samples(client, &url, MIDNIGHT, MIDNIGHT + 9 * DAY, wire::everything()).await?;
        let found = ours.values().map(BTreeMap::len).sum::<usize>();
        ensure!(found == samples, "{found} samples");
        Ok(ours)
    })
    .await
}

/// Roots are named so that the newest one comes first in a listing.
fn newest_root(archive: &Path) -> Result<u64> {
    let mut newest = 0;
    for entry in archive.join("_archive/roots").read_dir()? {
        let name = entry?.file_name();
        let number: u64 = name.to_str().context("a number")?.parse()?;
        newest = newest.max(u64::MAX - number);
    }
    Ok(newest)
}

/// Waits until an engine finds what our reader gives. It reads one table after the other, so what was published in the meantime counts for
/// nothing; and a commit record that is not folded yet is in no table.
async fn same(
    engine: &str,
    client: &reqwest::Client,
    server: &Emberkeep,
    archive: &Path,
    ours: &Samples,
) -> Result<()> {
    let commits = async || Gauges::scrape(client, server).await?.of("tables_commits_total");
    eventually(|| async {
        let before = commits().await?;
        let found = found_by(engine, archive);
        ensure!(
            commits().await? == before,
            "published in the meantime: {:?}",
            found.err()
        );
        match wire::difference(ours, &found?) {
            None => Ok(()),
            Some(difference) => anyhow::bail!("{engine}: {difference}"),
        }
    })
    .await
}

#[tokio::test]
async fn the_tables_hold_what_the_reader_gives_after_each_publication() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let archive = scratch.path().join("archive");
    let client = wire::client();
    let config = scratch.path().join("emberkeep.yml");
    std::fs::write(&config, "tables: {publish: true}\n")?;
    let server = Emberkeep::start(
        scratch.path(),
        &[
            &format!("--config.file={}", config.display()),
            "--flush.interval=200ms",
            "--fold.interval=200ms",
            "--compact.interval=200ms",
            "--compact.settle=0s",
        ],
    )?;
    let send = async |from: i64, to: i64| -> Result<()> {
        let sent = wire::post(&client, &server.url("/api/v1/write"), V1_TYPE, body(from, to)?).await?;
        ensure!(sent.0 == 204, "{sent:?}");
        Ok(())
    };
    send(0, 60).await?;
    let ours = published(&client, &server, &archive, 12 * 60).await?;
    same("deltalake", &client, &server, &archive, &ours).await?;

    // A further day, and late data of the first one: parts are replaced.
    send(40, 160).await?;
    let ours = published(&client, &server, &archive, 12 * 160).await?;
    same("deltalake", &client, &server, &archive, &ours).await?;
    same("duckdb", &client, &server, &archive, &ours).await?;

    // One series goes from a part, and with it from the tables once the part is rewritten.
    output(
        emberkeep([
            "compactor",
            "delete",
            "--match={instance=\"host-03\"}",
            "--reason=a test",
            "--yes",
        ])
        .arg(format!("--from={}", MIDNIGHT / 1000))
        .arg(format!("--to={}", MIDNIGHT / 1000 + 86_400))
        .arg(format!("--storage.path={}", scratch.path().display())),
    )?;
    let ours = published(&client, &server, &archive, 12 * 160 - 100).await?;
    for engine in ["deltalake", "duckdb", "polars", "spark"] {
        same(engine, &client, &server, &archive, &ours).await?;
    }
    Ok(())
}
