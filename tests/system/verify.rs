//! What a real Prometheus sent is proven at every level, planted faults are found, and coverage shows a target that was down and an outage
//! of the sender.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::peers::Prometheus;
use crate::process::{Emberkeep, emberkeep, eventually, output};

/// What a command ends with, and its standard output.
fn ended(command: &mut Command) -> Result<(i32, String)> {
    let done = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8(done.stdout)?;
    let code = done.status.code().context("it was killed")?;
    ensure!(code != 1, "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok((code, text))
}

fn reader(data: &Path, arguments: &[&str]) -> Command {
    let mut command = emberkeep(["reader"]);
    command.args(arguments).arg("--storage.path").arg(data);
    command
}

fn config(archive: &Emberkeep, target: u16) -> String {
    format!(
        r#"
global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{cluster: c}}}}
scrape_configs:
- job_name: emberkeep
  static_configs: [{{targets: ["127.0.0.1:{}"]}}]
- job_name: target
  static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
remote_write:
- url: {}
  send_native_histograms: true
  send_exemplars: true
  queue_config: {{batch_send_deadline: 500ms, min_backoff: 30ms, max_backoff: 200ms}}
"#,
        archive.port,
        archive.url("/api/v1/write"),
    )
}

/// Waits until samples of so many moments are held of a source since a time, in a state.
async fn seconds(archive: &Emberkeep, client: &reqwest::Client, job: &str, state: &str) -> Result<f64> {
    let answer = client.get(archive.url("/api/v1/coverage?min_gap=5s")).send().await?;
    let answer: Value = serde_json::from_str(&answer.error_for_status()?.text().await?)?;
    let sources = answer["data"]["sources"].as_array().context("sources")?;
    let of_job = sources.iter().filter(|source| source["labels"]["job"] == job);
    let all: Vec<f64> = of_job.filter_map(|source| source["seconds"][state].as_f64()).collect();
    Ok(all.iter().sum())
}

async fn at_least(archive: &Emberkeep, client: &reqwest::Client, job: &str, state: &str, least: f64) -> Result<()> {
    eventually(|| async {
        let found = seconds(archive, client, job, state).await?;
        ensure!(found >= least, "{job} is {state} for {found} s");
        Ok(())
    })
    .await
}

fn some_file(directory: &Path, part: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Ok(found) = some_file(&path, part) {
                return Ok(found);
            }
        } else if path.to_string_lossy().contains(part) {
            return Ok(path);
        }
    }
    anyhow::bail!("no file with `{part}` below `{}`", directory.display())
}

/// Flips a bit in the middle, until it is done again.
fn flip(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    // Zeros may be the padding of an index, which means nothing; and the second time it must be the same byte.
    let byte = bytes.iter_mut().skip(middle).find(|byte| ![0, 16].contains(*byte));
    *byte.context("a byte that means something")? ^= 16;
    Ok(fs::write(path, bytes)?)
}

/// A wrong path must never look like an archive in good order.
#[test]
fn every_command_says_that_a_place_holds_no_archive() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let nowhere = scratch.path().join("nowhere");
    let (blocks, made) = (scratch.path().join("blocks"), scratch.path().join("made"));
    fs::create_dir(&blocks)?;
    crate::seed::blocks("# TYPE up gauge\nup 1 1750032000\n# EOF\n", &blocks)?;
    let text = |path: &Path| path.display().to_string();
    let (blocks, made, state) = (text(&blocks), text(&made), text(&scratch.path().join("state")));
    for arguments in [
        &["export-tsdb", "--from=-1h", "--output", &made][..],
        &["export-tsdb", "--from=-1h", "--output", &made, "--dry-run"],
        &["export-tsdb", "--from=-1h", "--output", &made, "--as-of=now"],
        &["verify"],
        &["verify", "--as-of=-1h"],
        &["verify", "--exported", &blocks],
        &["coverage"],
        &["coverage", "--as-of=now", "-o", "json"],
        &["replay", "--from=-1h", "--to=http://127.0.0.1:9/", "--state", &state],
        &["diff", "--from=-1h", "--source=http://127.0.0.1:9"],
        &["view"],
        &["serve", "--as-of=now", "--web.listen-address=127.0.0.1:0"],
    ] {
        let done = reader(&nowhere, arguments).stdin(Stdio::null()).output()?;
        let said = String::from_utf8(done.stderr)?;
        ensure!(done.status.code() == Some(1), "{arguments:?}: {} {said}", done.status);
        ensure!(done.stdout.is_empty(), "{arguments:?} answers from nothing");
        ensure!(
            said.contains("--objstore.config-file") && said.contains("--storage.path"),
            "{arguments:?}: {said}"
        );
    }
    ensure!(!Path::new(&made).exists(), "an export of nothing leaves something");
    Ok(())
}

#[tokio::test]
async fn an_archive_of_prometheus_is_proven_and_its_gaps_are_shown() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    let client = crate::wire::client();
    let archive = Emberkeep::start(&data, &["--flush.interval=3s", "--fold.interval=1s"])?;
    let target = Prometheus::start("target", &scratch.path().join("target"), "{}", &[])?;
    let text = config(&archive, target.port);
    let source = Prometheus::start("source", &scratch.path().join("source"), &text, &[])?;
    at_least(&archive, &client, "target", "held", 8.0).await?;

    // The target goes away: that is no gap, and shows as down.
    target.process.kill()?;
    at_least(&archive, &client, "target", "down", 5.0).await?;

    // The sender goes away and begins anew: what it did not see is missing.
    source.process.kill()?;
    at_least(&archive, &client, "emberkeep", "missing", 8.0).await?;
    let again = Prometheus::start("source", &scratch.path().join("again"), &text, &[])?;
    eventually(|| async {
        let answer = client
            .get(archive.url("/api/v1/coverage?min_gap=5s&step=1s&start=-30m"))
            .send()
            .await?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        let sources = answer["data"]["sources"].as_array().context("sources")?;
        let is_back = |source: &&Value| {
            let states = source["states"].as_str().unwrap_or_default().trim_end_matches('!');
            source["labels"]["job"] == "emberkeep" && source["labels"]["cluster"] == "c" && states.contains("!####")
        };
        ensure!(sources.iter().any(|source| is_back(&source)), "{answer}");
        Ok(())
    })
    .await?;
    drop(again);
    crate::process::signal(archive.process.pid(), "USR1")?;
    let mut process = archive.process;
    ensure!(process.wait()?.success(), "{}", process.log());

    let (code, map) = ended(&mut reader(&data, &["coverage", "--min-gap=5s", "--from=-30m"]))?;
    ensure!(code == 2 && map.contains("gap  "), "{code}: {map}");
    let (code, map) = ended(&mut reader(
        &data,
        &["coverage", "--min-gap=1h", "--from=-30m", "-o", "json"],
    ))?;
    let parsed: Value = serde_json::from_str(&map)?;
    ensure!(code == 0 && parsed["gap_count"] == 0, "{code}: {map}");

    let bucket = data.join("archive");
    let levels = |text: &str| -> Result<()> {
        for level in ["files", "rows", "restore"] {
            let (code, report) = ended(&mut reader(&data, &["verify", "--level", level]))?;
            ensure!(code == 0 && report.contains("proven"), "{text}, {level}: {report}");
        }
        Ok(())
    };
    levels("as it came")?;
    output(emberkeep(["compactor", "run", "--once", "--compact.settle=0s", "--storage.path"]).arg(&data))?;
    levels("after upkeep")?;
    let blocks = scratch.path().join("blocks");
    let exported = [
        "export-tsdb",
        "--from=-1h",
        "--output",
        blocks.to_str().context("text")?,
    ];
    output(&mut reader(&data, &exported))?;
    let of_blocks = ["verify", "--exported", blocks.to_str().context("text")?, "-o", "json"];
    let (code, report) = ended(&mut reader(&data, &of_blocks))?;
    let parsed: Value = serde_json::from_str(&report)?;
    ensure!(code == 0 && parsed["verdict"] == "proven", "{report}");
    ensure!(parsed["checked"]["compared_rows"].as_u64() > Some(1_000), "{report}");

    for (directory, part, arguments) in [
        (&bucket, ".samples.parquet", &["verify", "--level=files"][..]),
        (&bucket, "_archive/roots/", &["verify", "--level=files"]),
        (&blocks, "/chunks/", &of_blocks),
        (&blocks, "/index", &of_blocks),
    ] {
        let part = if part == ".samples.parquet" && some_file(directory, part).is_err() {
            "samples/tenant="
        } else {
            part
        };
        let path = some_file(directory, part)?;
        flip(&path)?;
        let (code, report) = ended(&mut reader(&data, arguments))?;
        ensure!(code == 2, "{}: {report}", path.display());
        flip(&path)?;
    }
    let (code, report) = ended(&mut reader(&data, &of_blocks))?;
    ensure!(code == 0, "{report}");

    // The past: before everything there is no root, and the oldest is named.
    let past = reader(&data, &["verify", "--as-of=2001-01-01T00:00:00Z"])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8(past.stderr)?;
    ensure!(
        past.status.code() == Some(1) && said.contains("the oldest that can be read is root"),
        "{said}"
    );
    let (code, report) = ended(&mut reader(&data, &["verify", "--as-of=now"]))?;
    ensure!(code == 0, "{report}");
    Ok(())
}
