//! What a real sender lost on the way comes back from it, and nothing else does: not what it leaves out, not what was deleted.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;

use crate::gauges::Gauges;
use crate::peers::Prometheus;
use crate::process::{Emberkeep, Killed, emberkeep, eventually, output};
use crate::requests::now_ms;
use crate::seed::{DAY, SERIES, STEP, begin, blocks, diff, history, run};
use crate::wire;

/// Samples that the sender was given, by itself.
pub(crate) const SCRAPED: &str = "prometheus_remote_storage_samples_in_total";

/// Samples of the history, which nobody sends.
pub(crate) const HISTORY: i64 = SERIES * 2 * DAY / STEP;

/// A Prometheus with history that sends what it scrapes, but not `go_*`, and gives up what is older than two seconds.
fn source(scratch: &Path, target: &Emberkeep) -> Result<Prometheus> {
    let data = scratch.join("source").join("data");
    std::fs::create_dir_all(&data)?;
    blocks(&history()?, &data)?;
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{replica: \"1\", zone: eu}}}}\n\
         remote_write:\n\
         - name: emberkeep\n  url: {}\n  send_native_histograms: true\n  protobuf_message: io.prometheus.write.v2.Request\n  \
         write_relabel_configs: [{{source_labels: [__name__], regex: go_.*, action: drop}}]\n  \
         queue_config: {{sample_age_limit: 2s, capacity: 500, max_samples_per_send: 500, max_shards: 1, batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 100ms}}\n\
         scrape_configs:\n- job_name: self\n  scrape_native_histograms: true\n  \
         static_configs: [{{targets: [\"127.0.0.1:SELF_PORT\"]}}]\n",
        target.url("/api/v1/write")
    );
    Prometheus::start(
        "source",
        &scratch.join("source"),
        &config,
        &["--storage.tsdb.retention.time=10y"],
    )
}

pub(crate) fn url(source: &Prometheus) -> String {
    format!("http://127.0.0.1:{}", source.port)
}

/// Waits until the sender has sent that many more samples.
pub(crate) async fn sends(client: &Client, source: &Prometheus, more: f64) -> Result<()> {
    const SENT: &str = "prometheus_remote_storage_samples_total";
    let before = source.own(client, SENT).await?;
    eventually(|| async {
        let sent = source.own(client, SENT).await? - before;
        ensure!(sent >= more, "{sent} samples are sent");
        Ok(())
    })
    .await
}

/// Keeps the archive away for some scrapes.
async fn outage(client: &Client, source: &Prometheus, target: Emberkeep) -> Result<Killed> {
    sends(client, source, 1000.0).await?;
    let killed = target.kill()?;
    let before = source.own(client, SCRAPED).await?;
    eventually(|| async {
        let scraped = source.own(client, SCRAPED).await? - before;
        ensure!(scraped > 15_000.0, "{scraped} samples are scraped");
        Ok(())
    })
    .await?;
    Ok(killed)
}

/// Waits until the sender has given up so many samples that it could not send in time, and sends again.
pub(crate) async fn gives_up(client: &Client, source: &Prometheus, least: f64) -> Result<()> {
    let page = format!("{}/metrics", url(source));
    eventually(|| async {
        let page = client.get(&page).send().await?.text().await?;
        // What the rules leave out is counted by the same metric.
        let metric = "prometheus_remote_storage_samples_dropped_total{reason=\"too_old\"";
        let line = page.lines().find(|line| line.starts_with(metric));
        let dropped = line
            .and_then(|line| line.rsplit(' ').next())
            .context("no sample is dropped")?;
        ensure!(dropped.parse::<f64>()? > least, "{dropped} samples are dropped");
        Ok(())
    })
    .await?;
    sends(client, source, 1000.0).await
}

/// The exit code, the report and what was said of a pass.
pub(crate) fn heal(archive: &Path, source: &str, more: &[&str]) -> Result<(Option<i32>, Value, String)> {
    let mut command = emberkeep(["compactor", "heal", "-o", "json", "--settle=0s", "--source", source]);
    command.args(["--samples-per-second=100000000", "--storage.path"]);
    let output = run(command.arg(archive).args(more))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok((output.status.code(), report, said))
}

pub(crate) fn count(report: &Value, field: &str) -> i64 {
    match &report[field] {
        Value::Array(list) => i64::try_from(list.len()).unwrap_or(i64::MAX),
        number => number.as_i64().unwrap_or(-1),
    }
}

#[tokio::test]
async fn what_was_lost_is_healed_once_and_what_is_intended_stays_out() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let archive = scratch.path().join("archive");
    let target = Emberkeep::start(&archive, &["--flush.interval=1s", "--compact.interval=1s"])?;
    let source = source(scratch.path(), &target)?;
    let started = now_ms()?;
    let target = outage(&client, &source, target).await?.restart()?;
    gives_up(&client, &source, 5_000.0).await?;
    let to = (now_ms()? / 1000).to_string();
    let until = ["--to", to.as_str()];
    let source_url = url(&source);
    let (code, before) = diff(&archive, &source_url, &until)?;
    ensure!(
        code == Some(2) && count(&before["rows"], "missing") > HISTORY,
        "{before}"
    );

    // The sender's own counters lead to the outage, and to nothing of the history.
    let (code, report, said) = heal(&archive, &source_url, &["--suspects-only", "--to", &to])?;
    ensure!(code == Some(0), "{said}");
    let suspects = report["suspects"].as_array().context("a list")?;
    ensure!(suspects.iter().any(|of| of["why"] == "sender_lost"), "{report}");
    let healed = count(&report, "healed");
    ensure!(healed > 1000, "{report}");
    let holes = report["holes"].as_array().context("a list")?;
    ensure!(holes.iter().all(|of| of["to"].as_i64() > Some(started)), "{report}");
    ensure!(count(&report, "left_out_by_sender") > 0, "{report}");

    // Everything that the source holds, and again: nothing is left to do.
    let (code, report, said) = heal(&archive, &source_url, &until)?;
    ensure!(code == Some(0), "{said}");
    ensure!(
        count(&report, "healed") >= HISTORY && count(&report, "lost") == 0,
        "{report}"
    );
    // What was sent at last may still wait for a flush.
    eventually(|| async {
        let (code, report) = diff(&archive, &source_url, &until)?;
        ensure!(code == Some(0) && report["equal"] == true, "{report}");
        ensure!(count(&report["explained"], "left_out_by_sender") > 0, "{report}");
        Ok(())
    })
    .await?;
    let (code, again, said) = heal(&archive, &source_url, &until)?;
    ensure!(code == Some(0), "{said}");
    ensure!(count(&again, "healed") == 0 && count(&again, "holes") == 0, "{again}");
    ensure!(count(&again, "rows") > HISTORY, "{again}");

    // What is deleted is taken out of the files, and does not come back.
    let mut delete = emberkeep([
        "compactor",
        "delete",
        "--match",
        "seeded{a=\"3\"}",
        "--reason",
        "test",
        "--yes",
    ]);
    output(delete.arg("--storage.path").arg(&archive))?;
    output(emberkeep(["compactor", "run", "--once", "--storage.path"]).arg(&archive))?;
    let (code, report, said) = heal(&archive, &source_url, &until)?;
    ensure!(code == Some(0), "{said}");
    ensure!(count(&report, "healed") == 0, "{report}");
    ensure!(count(&report, "deleted_in_archive") == 2 * DAY / STEP, "{report}");
    let (code, report) = diff(&archive, &source_url, &until)?;
    ensure!(code == Some(0), "{report}");

    // A hole that the source does not reach back to is lost, and said to be.
    let gone = scratch.path().join("gone");
    std::fs::create_dir_all(&gone)?;
    let old = begin()? - DAY;
    let scrape = |i: i64| {
        format!(
            "up{{job=\"gone\",replica=\"1\",zone=\"eu\"}} 1 {}\n",
            old / 1000 + 60 * i
        )
    };
    let scrapes: String = (0..10).map(scrape).collect();
    blocks(&format!("# TYPE up gauge\n{scrapes}# EOF\n"), &gone)?;
    let mut seed = emberkeep(["compactor", "seed", "--storage.path"]);
    output(seed.arg(&archive).arg("--from").arg(&gone))?;
    let from = (old / 1000).to_string();
    let (code, report, said) = heal(&archive, &source_url, &["--from", &from, "--to", &to])?;
    ensure!(code == Some(2), "{said}");
    ensure!(report["lost"][0]["to"].as_i64() <= Some(begin()? + STEP), "{report}");
    ensure!(count(&report, "healed") == 0, "{report}");

    drop(target);
    source.process.kill()?;
    let (code, _, said) = heal(&archive, &source_url, &[])?;
    ensure!(
        code == Some(1) && said.contains("cannot be read now") && said.contains(&source_url),
        "{said}"
    );
    let nowhere = scratch.path().join("nowhere");
    let (code, _, said) = heal(&nowhere, &source_url, &[])?;
    ensure!(code == Some(1), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_loop_heals_by_itself_and_outlives_its_source() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let archive = scratch.path().join("archive");
    let config = scratch.path().join("emberkeep.yml");
    std::fs::write(&config, "# nothing yet\n")?;
    let flag = format!("--config.file={}", config.display());
    let target = Emberkeep::start(&archive, &["--flush.interval=1s", &flag])?;
    let source = source(scratch.path(), &target)?;
    let killed = outage(&client, &source, target).await?;
    let source_url = url(&source);
    std::fs::write(
        &config,
        format!(
            "heal:\n  interval: 1s\n  settle: 0s\n  samples_per_second: 100000000\n  sources:\n    - url: {source_url}\n"
        ),
    )?;
    let target = killed.restart()?;
    gives_up(&client, &source, 5_000.0).await?;
    let to = (now_ms()? / 1000).to_string();
    let of_source = |metric: &str| format!("heal_{metric}{{source=\"{source_url}\",tenant=\"anonymous\"}}");
    eventually(|| async {
        let gauges = Gauges::scrape(&client, &target).await?;
        let healed = gauges.of(&of_source("rows_total"))?;
        ensure!(healed >= HISTORY as f64, "{healed} rows are healed");
        Ok(())
    })
    .await?;
    eventually(|| async {
        let (code, report) = diff(&archive, &source_url, &["--to", &to])?;
        ensure!(code == Some(0), "{report}");
        Ok(())
    })
    .await?;
    let gauges = Gauges::scrape(&client, &target).await?;
    ensure!(
        gauges.of(&of_source("last_pass_timestamp_seconds"))? > begin()? as f64 / 1000.0,
        "{gauges:?}"
    );
    ensure!(gauges.of(&of_source("holes_total"))? > 0.0, "{gauges:?}");
    ensure!(gauges.of(&of_source("lost_holes_total"))? == 0.0, "{gauges:?}");

    source.process.kill()?;
    eventually(|| async {
        let gauges = Gauges::scrape(&client, &target).await?;
        ensure!(gauges.of(&of_source("pass_failures_total"))? > 0.0, "{gauges:?}");
        Ok(())
    })
    .await?;
    // What is known of a source outlives the process, and an end is an end whatever the source does.
    let last = Gauges::scrape(&client, &target)
        .await?
        .of(&of_source("last_pass_timestamp_seconds"))?;
    let target = target.kill_and_restart()?;
    eventually(|| async {
        let gauges = Gauges::scrape(&client, &target).await?;
        ensure!(
            gauges.of(&of_source("last_pass_timestamp_seconds"))? >= last,
            "{gauges:?}"
        );
        Ok(())
    })
    .await?;
    ensure!(target.process.terminate()?.success(), "it ends in good order");
    Ok(())
}
