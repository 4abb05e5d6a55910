//! A drill restores what a sender sent, opens it with a real Prometheus and compares; damage is found, and nothing of a killed drill stays.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::compaction::{HOUR, MIDNIGHT, batch};
use crate::corpus::{drain, time_span};
use crate::encryption::Site;
use crate::gauges::Gauges;
use crate::peers::{CURRENT, OLD, Prometheus};
use crate::process::{Emberkeep, Process, emberkeep, eventually, output, peer};
use crate::wire::{self, Samples, V2_TYPE, client, post};

/// Three days of some series, in the archive and nowhere else.
async fn archive(data: &Path, flags: &[&str]) -> Result<()> {
    let server = Emberkeep::start(data, &[&["--flush.interval=1h"][..], flags].concat())?;
    for number in 0..24 {
        let (status, _, text) = post(&client(), &server.url("/api/v1/write"), V2_TYPE, batch(number)?).await?;
        ensure!(status == 204, "{status} {text}");
    }
    drain(server)?;
    upkeep(data, flags)
}

fn upkeep(data: &Path, flags: &[&str]) -> Result<()> {
    let mut command = emberkeep(["compactor", "run", "--once", "--storage.path"]);
    output(command.arg(data).args(flags)).map(drop)
}

/// `compactor drill` with its code and what it printed.
fn drill(data: &Path, arguments: &[&str]) -> Result<(i32, Value, String)> {
    let mut command = emberkeep(["compactor", "drill", "-o", "json", "--storage.path"]);
    let done = command.arg(data).args(arguments).stdin(Stdio::null()).output()?;
    let said = String::from_utf8(done.stderr)?;
    let report = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    Ok((done.status.code().context("it was killed")?, report, said))
}

/// The time of the last proven restore, as a server that has just started shows it.
async fn last_proven(data: &Path) -> Result<f64> {
    let server = Emberkeep::start(data, &[])?;
    let shown = eventually(|| async {
        let shown = Gauges::scrape(&client(), &server).await?;
        ensure!(shown.of("last_drill_timestamp_seconds")? > 0.0, "no drill is known");
        shown.of("last_proven_restore_timestamp_seconds")
    })
    .await?;
    ensure!(server.process.terminate()?.success(), "it ends with an error");
    Ok(shown)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// A program that is a script. Another process writes it: one that is open for writing, if only in a child of another test, cannot be run.
fn program(scratch: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let (path, script) = (scratch.join(name), scratch.join(format!("{name}.sh")));
    fs::write(&script, text)?;
    output(Command::new("install").args(["-m", "755"]).arg(&script).arg(&path))?;
    Ok(path)
}

/// Flips a bit in the middle of every file of samples.
fn flip_samples(directory: &Path) -> Result<()> {
    for path in files(directory) {
        let name = path.to_string_lossy();
        if path.is_dir() {
            flip_samples(&path)?;
        } else if name.ends_with(".parquet") && name.contains("samples") {
            let mut bytes = fs::read(&path)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 16;
            fs::write(&path, bytes)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_drill_proves_a_restore_with_prometheus_and_finds_damage() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    archive(&data, &[]).await?;
    // A source that holds the same data.
    let source_data = scratch.path().join("source/data");
    output(
        emberkeep([
            "reader",
            "export-tsdb",
            "--from=2025-06-01T00:00:00Z",
            "--to=2025-07-01T00:00:00Z",
            "--storage.path",
        ])
        .arg(&data)
        .arg("--output")
        .arg(&source_data),
    )?;
    let source = Prometheus::start(
        "source",
        &scratch.path().join("source"),
        "{}",
        &["--storage.tsdb.retention.time=100y"],
    )?;
    let url = format!("http://127.0.0.1:{}", source.port);
    let prometheus = peer(&format!("{CURRENT}/prometheus"))?.display().to_string();
    let with_all = ["--prometheus", &prometheus, "--source", &url];
    for seed in ["1", "2", "3", "4"] {
        let (code, report, said) = drill(&data, &[&with_all[..], &["--seed", seed]].concat())?;
        ensure!(code == 0 && report["outcome"] == "proven", "{code}: {report} {said}");
        let rows = report["rows"].as_u64().filter(|rows| *rows > 0);
        ensure!(
            rows.is_some() && report["prometheus"]["rows"].as_u64() == rows,
            "{report}"
        );
        ensure!(report["source"]["rows"].as_u64() == rows, "{report}");
        ensure!(
            report["prometheus"]["version"]
                .as_str()
                .is_some_and(|v| v.starts_with("3.14")),
            "{report}"
        );
        let (_, again, _) = drill(&data, &["--seed", seed])?;
        for same in ["from", "to", "selector", "rows", "tenant"] {
            ensure!(again[same] == report[same], "{same}: {report} {again}");
        }
    }
    let text = output(
        emberkeep(["compactor", "drill", "--storage.path"])
            .arg(&data)
            .args(with_all),
    )?;
    ensure!(text.contains("proven, in ") && text.contains("all are here"), "{text}");
    ensure!(files(&data.join("compactor/drill")) == [data.join("compactor/drill/lock")]);

    // The source has something that the archive has not: another window's data under the archive's own range.
    let proven = last_proven(&data).await?;
    ensure!(proven > 0.0, "{proven}");
    ensure!(
        last_proven(&data).await?.to_bits() == proven.to_bits(),
        "a restart forgets"
    );
    let other = scratch.path().join("other");
    let with_more = Emberkeep::start(&other, &[])?;
    let (status, _, text) = post(&client(), &with_more.url("/api/v1/write"), V2_TYPE, batch(0)?).await?;
    ensure!(status == 204, "{status} {text}");
    drain(with_more)?;
    upkeep(&other, &[])?;
    let first_day = ["--from=2025-06-16T00:00:00Z", "--to=2025-06-17T00:00:00Z"];
    ensure!(MIDNIGHT == 1_750_032_000_000 && HOUR == 3_600_000);
    let (code, report, _) = drill(&other, &[&first_day[..], &["--source", &url]].concat())?;
    ensure!(code == 2 && report["outcome"] == "different", "{code}: {report}");
    ensure!(
        report["reason"].as_str().is_some_and(|text| text.contains("missing")),
        "{report}"
    );

    // A Prometheus that does not answer from all of the blocks proves nothing, be it the oldest that it misses or the newest.
    for which in ["head", "tail"] {
        let text = format!(
            "#!/bin/sh\nfor word in \"$@\"; do case \"$word\" in --storage.tsdb.path=*) path=\"${{word#*=}}\";; esac; done\nrm -r \"$(ls -d \"$path\"/0* | {which} -n 1)\"\nexec {prometheus} \"$@\"\n"
        );
        let forgetful = program(scratch.path(), which, &text)?.display().to_string();
        let (code, report, _) = drill(&data, &[&first_day[..], &["--prometheus", &forgetful]].concat())?;
        ensure!(
            code == 2 && report["blocks"].as_u64() > Some(2),
            "{which}, {code}: {report}"
        );
        let reason = report["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("the restored Prometheus"), "{which}: {reason}");
    }
    ensure!(
        last_proven(&data).await?.to_bits() == proven.to_bits(),
        "a failed drill counts as proof"
    );

    // A source that is away proves nothing, and a flipped bit is found; neither moves the time of the last proof.
    let (code, report, said) = drill(
        &data,
        &[
            "--source",
            "http://127.0.0.1:9",
            "--from=2025-06-16T00:00:00Z",
            "--to=2025-06-16T02:00:00Z",
        ],
    )?;
    ensure!(
        code == 1 && report["outcome"] == "error" && said.contains("A DRILL HAS FAILED"),
        "{code}: {report} {said}"
    );
    flip_samples(&data.join("archive"))?;
    let (code, report, said) = drill(
        &data,
        &["--from=2025-06-16T00:00:00Z", "--to=2025-06-20T00:00:00Z", "--keep"],
    )?;
    ensure!(
        code != 0 && report["outcome"] != "proven" && said.contains("A DRILL HAS FAILED"),
        "{code}: {report} {said}"
    );
    ensure!(
        report["kept"].as_str().is_some_and(|kept| Path::new(kept).is_dir()),
        "{report}"
    );
    ensure!(
        last_proven(&data).await?.to_bits() == proven.to_bits(),
        "a failed drill counts as proof"
    );
    Ok(())
}

#[tokio::test]
async fn histograms_and_all_else_that_senders_sent_is_proven_without_a_false_alarm() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    let server = Emberkeep::start(&data, &["--flush.interval=1h"])?;
    let mut sent = Samples::new();
    for body in wire::corpus("prometheus-rw2.bin")? {
        wire::decode_v2(&body, &mut sent)?;
        let (status, _, text) = post(&client(), &server.url("/api/v1/write"), V2_TYPE, body).await?;
        ensure!(status == 204, "{status} {text}");
    }
    drain(server)?;
    upkeep(&data, &[])?;
    let (first, last) = time_span(&sent).context("the corpus has samples")?;
    let prometheus = peer(&format!("{CURRENT}/prometheus"))?.display().to_string();
    let moment = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
    let (from, to) = (
        format!("--from={}", moment(first)),
        format!("--to={}", moment(last + 1)),
    );
    let (code, report, said) = drill(&data, &["--prometheus", &prometheus, &from, &to])?;
    ensure!(code == 0, "{code}: {report} {said}");
    let floats = sent.values().map(BTreeMap::len).sum::<usize>() as u64;
    ensure!(
        report["rows"].as_u64() > Some(floats),
        "{floats} floats were sent: {report}"
    );
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let (code, report, said) = drill(&data, &["--prometheus", &prometheus, "--seed", seed])?;
        ensure!(code == 0, "{code}: {report} {said}");
    }
    Ok(())
}

#[tokio::test]
async fn an_encrypted_archive_is_drilled_with_the_oldest_prometheus() -> Result<()> {
    let site = Site::new()?;
    let key = site.keys(Some("k-1"), &["k-1"])?;
    archive(&site.data, &[&key]).await?;
    let prometheus = peer(&format!("{OLD}/prometheus"))?.display().to_string();
    for seed in ["1", "2", "3"] {
        let (code, report, said) = drill(&site.data, &[&key, "--prometheus", &prometheus, "--seed", seed])?;
        ensure!(code == 0 && report["outcome"] == "proven", "{code}: {report} {said}");
        let of = &report["prometheus"];
        ensure!(
            of["version"].as_str().is_some_and(|v| v.starts_with("2.42")),
            "{report}"
        );
        ensure!(
            of["rows"].as_u64() > Some(0) && of["rows"] == report["rows"],
            "{report}"
        );
        // The blocks were clear while they were tried, and are gone.
        let scratch = site.data.join("compactor/drill");
        ensure!(files(&scratch) == [scratch.join("lock")], "{:?}", files(&scratch));
    }
    // Without the key it is no proof, and no difference either.
    let (code, report, said) = drill(&site.data, &["--prometheus", &prometheus])?;
    ensure!(
        code == 1 && said.contains("key `k-1` is needed"),
        "{code}: {report} {said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_server_drills_on_its_own_and_goes_on_after_a_restart() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    archive(&data, &[]).await?;
    let config = scratch.path().join("config.yml");
    let prometheus = peer(&format!("{CURRENT}/prometheus"))?;
    let text = |interval: &str| {
        format!(
            "drill:\n  interval: {interval}\n  max_bytes: 100MB\n  max_duration: 5m\n  prometheus: {}\n",
            prometheus.display()
        )
    };
    fs::write(&config, text("2s"))?;
    let flag = format!("--config.file={}", config.display());
    let server = Emberkeep::start(&data, &[&flag])?;
    let proven = eventually(|| async {
        let shown = Gauges::scrape(&client(), &server).await?;
        ensure!(shown.of("drills_proven_total")? >= 2.0, "not drilled twice");
        ensure!(shown.of("drill_failures_total")? == 0.0, "a drill has failed");
        ensure!(shown.of("restore_seconds_per_gigabyte")? > 0.0, "no pace is known");
        shown.of("last_proven_restore_timestamp_seconds")
    })
    .await?;
    ensure!(server.process.terminate()?.success(), "it ends with an error");
    ensure!(!data.join("compactor/drill/work").exists(), "something is left");

    // A day is not over, so nothing is drilled, and what was proven is known.
    fs::write(&config, text("1d"))?;
    let server = Emberkeep::start(&data, &[&flag])?;
    let shown = eventually(|| async {
        let shown = Gauges::scrape(&client(), &server).await?;
        ensure!(shown.of("drills_proven_total")? >= 2.0, "nothing is known yet");
        Ok(shown)
    })
    .await?;
    ensure!(
        shown.of("last_proven_restore_timestamp_seconds")? >= proven,
        "{shown:?}"
    );
    ensure!(server.process.terminate()?.success(), "it ends with an error");
    Ok(())
}

#[tokio::test]
async fn a_killed_drill_leaves_nothing_behind() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    archive(&data, &[]).await?;
    let pid_file = scratch.path().join("pid");
    let text = format!(
        "#!/bin/sh\nfor word in \"$@\"; do last=\"$word\"; done\nmkdir -p \"$last\"\necho half > \"$last/block.tmp\"\necho $$ > {0}.tmp; mv {0}.tmp {0}\nexec sleep 600\n",
        pid_file.display()
    );
    let reader = program(scratch.path(), "reader", &text)?;
    let start = || {
        let mut command = emberkeep(["compactor", "drill", "--storage.path"]);
        Process::start("drill", command.arg(&data).arg("--reader").arg(&reader))
    };
    let sleeping = || {
        let (pid_file, reader) = (&pid_file, &reader);
        async move {
            let pid = fs::read_to_string(pid_file).with_context(|| format!("{} has not started", reader.display()))?;
            anyhow::Ok(pid.trim().to_owned())
        }
    };
    let work = data.join("compactor/drill/work");
    let is_alive = |pid: &str| !fs::read(format!("/proc/{pid}/environ")).unwrap_or_default().is_empty();

    // One that is told to end cleans up itself.
    let drilling = start()?;
    let pid = eventually(sleeping).await?;
    ensure!(
        !drilling.terminate()?.success() && !is_alive(&pid) && !work.exists(),
        "something is left"
    );
    fs::remove_file(&pid_file)?;

    // One that is killed cannot; the next start does, be it a drill or a server.
    for next in ["drill", "server"] {
        let drilling = start()?;
        let pid = eventually(sleeping).await?;
        drilling.kill()?;
        ensure!(
            is_alive(&pid) && work.join("blocks/block.tmp").exists(),
            "nothing is left to be removed"
        );
        if next == "drill" {
            let (code, report, said) = drill(&data, &[])?;
            ensure!(code == 0, "{report} {said}");
        } else {
            let server = Emberkeep::start(&data, &[])?;
            eventually(|| async {
                ensure!(!work.exists(), "the files are still there");
                Ok(())
            })
            .await?;
            ensure!(server.process.terminate()?.success(), "it ends with an error");
        }
        ensure!(!is_alive(&pid) && !work.exists(), "{next}: something is left");
        fs::remove_file(&pid_file)?;
    }
    // While one runs, another is refused.
    let drilling = start()?;
    eventually(sleeping).await?;
    let (code, _, said) = drill(&data, &[])?;
    ensure!(code == 1 && said.contains("another drill runs"), "{code}: {said}");
    ensure!(!drilling.terminate()?.success(), "it was ended");
    Ok(())
}
