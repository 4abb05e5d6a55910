//! The disaster, end to end: history is seeded, what comes is sent, the archive is away for longer than the sender waits and is healed, then
//! the disk of the source is lost. Everything comes back, into an empty server and into one that goes on scraping meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;

use crate::blocks::Blocks;
use crate::exact::{promtool_reads, snapshot};
use crate::heal::{SCRAPED, count, gives_up, heal, sends, url};
use crate::peers::{CURRENT, Exposer, Prometheus, same};
use crate::process::{Emberkeep, emberkeep, eventually, output, signal};
use crate::requests::now_ms;
use crate::seed::{DAY, HOUR, SERIES, STEP, begin, blocks, diff, history, run, seeded, sum};
use crate::told::{Times, Told, holds_every_kind, same_blocks};
use crate::wire;

/// What is scraped, and who it is sent to. External labels are those of the source, which a server in its place has as well.
fn config(exposer: Option<&Exposer>, target: Option<&Emberkeep>) -> String {
    let mut text = String::from(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  scrape_native_histograms: true\n  \
         convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n  \
         external_labels: {replica: \"1\", zone: eu}\n\
         scrape_configs:\n- {job_name: self, static_configs: [{targets: [\"127.0.0.1:SELF_PORT\"]}]}\n",
    );
    if let Some(exposer) = exposer {
        text.push_str(&format!(
            "- {{job_name: exposer, scrape_interval: 250ms, scrape_timeout: 250ms, static_configs: [{{targets: [\"127.0.0.1:{}\"]}}]}}\n",
            exposer.port
        ));
    }
    if let Some(target) = target {
        text.push_str(&format!(
            "remote_write:\n- url: {}\n  send_native_histograms: true\n  protobuf_message: io.prometheus.write.v2.Request\n  \
             queue_config: {{sample_age_limit: 2s, capacity: 500, max_samples_per_send: 500, max_shards: 1, batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 100ms}}\n",
            target.url("/api/v1/write")
        ));
    }
    text
}

/// Counters of the last hours that are in blocks already, with resets.
fn recent(from: i64) -> Result<String> {
    let mut text = String::from("# TYPE recent_requests counter\n");
    for code in ["200", "404", "500", "503"] {
        for step in 0..10 * HOUR / STEP {
            let value = (step % 170) as f64 * 1.5;
            writeln!(
                text,
                "recent_requests_total{{code=\"{code}\"}} {value} {}",
                (from + step * STEP) / 1000
            )?;
        }
    }
    text.push_str("# EOF\n");
    Ok(text)
}

/// Waits until a server has scraped itself so much more often, which it does each second.
async fn scrapes(client: &Client, server: &Prometheus, more: f64) -> Result<()> {
    // Not that of another server, which it may have restored.
    let query = format!("count_over_time(up{{instance=\"127.0.0.1:{}\"}}[1h])", server.port);
    let before = eventually(|| server.value(client, &query)).await?;
    eventually(|| async {
        let now = server.value(client, &query).await?;
        ensure!(now >= before + more, "{now} scrapes, {before} before");
        Ok(())
    })
    .await
}

/// The exit code of `reader coverage` and its gaps, of scrapes of the source by itself.
fn coverage(archive: &Path, from: i64, to: &str) -> Result<(Option<i32>, Vec<Value>)> {
    let from = format!("--from={}", from / 1000);
    let mut command = emberkeep(["reader", "coverage", "-o", "json", "--min-gap=5s", "--to", to, &from]);
    let done = run(command
        .args(["--match", "up{job=\"self\"}", "--storage.path"])
        .arg(archive))?;
    let report: Value = serde_json::from_slice(&done.stdout)?;
    let sources = report["sources"].as_array().context("sources")?;
    let gaps = sources.iter().filter_map(|source| source["gaps"].as_array()).flatten();
    Ok((done.status.code(), gaps.cloned().collect()))
}

fn export(archive: &Path, times: &Times) -> Command {
    let (from, to) = (times.begin / 1000, times.end / 1000);
    let mut command = emberkeep(["reader", "export-tsdb", "--storage.path"]);
    command
        .arg(archive)
        .args([format!("--from={from}"), format!("--to={to}")]);
    command
}

#[tokio::test]
async fn every_query_is_answered_as_before_the_disk_was_lost() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let scratch = scratch.path();
    let client = wire::client();
    let (archive, home) = (scratch.join("archive"), scratch.join("source"));
    let recent_from = (now_ms()? - 14 * HOUR) / HOUR * HOUR;

    // A Prometheus with history, in blocks of days and of hours ago and in its head.
    let data = home.join("data");
    fs::create_dir_all(&data)?;
    for text in [history()?, recent(recent_from)?] {
        blocks(&text, &data)?;
    }
    let exposer = Exposer::start()?;
    let flags = ["--storage.tsdb.retention.time=10y", "--web.enable-admin-api"];
    let source = Prometheus::start("source", &home, &config(Some(&exposer), None), &flags)?;
    let scraped = now_ms()?;
    let steps = |wanted: f64| {
        let (source, client) = (&source, &client);
        eventually(move || async move {
            let steps = source.value(client, "exposer_steps").await?;
            ensure!(steps >= wanted, "{steps} steps");
            Ok(())
        })
    };
    steps(25.0).await?;
    // Its series end with stale markers.
    exposer.process.kill()?;
    eventually(|| async {
        let up = source.value(&client, "up{job=\"exposer\"}").await?;
        ensure!(up == 0.0, "the exposer is still scraped");
        Ok(())
    })
    .await?;
    let seed_from = snapshot(&source, &home, &client).await?.display().to_string();
    let arguments = [
        "--from",
        &seed_from,
        "--external-label=replica=1",
        "--external-label=zone=eu",
    ];
    let report = seeded(&archive, &arguments)?;
    let of_history = u64::try_from(SERIES * 2 * DAY / STEP)?;
    ensure!(sum(&report, "written") > of_history, "{report}");
    ensure!(sum(&report, "histograms") > 0, "{report}");
    let again = seeded(&archive, &arguments)?;
    ensure!(
        sum(&again, "written") == 0 && sum(&again, "held") > of_history,
        "{again}"
    );

    // From now on it sends.
    let target = Emberkeep::start(
        &archive,
        &["--flush.interval=1s", "--fold.interval=1s", "--compact.interval=1s"],
    )?;
    let exposer = Exposer::start()?;
    let sending = config(Some(&exposer), Some(&target));
    fs::write(
        home.join("prometheus.yml"),
        sending.replace("SELF_PORT", &source.port.to_string()),
    )?;
    signal(source.process.pid(), "HUP")?;
    sends(&client, &source, 3000.0).await?;
    let sent_since = now_ms()?;

    // The archive is away for longer than the sender keeps what it cannot send; meanwhile a target ends.
    let arrived = source.own(&client, SCRAPED).await?;
    let target = target.kill()?;
    scrapes(&client, &source, 5.0).await?;
    exposer.process.kill()?;
    scrapes(&client, &source, 7.0).await?;
    let missed = source.own(&client, SCRAPED).await? - arrived;
    ensure!(missed > 5000.0, "{missed} samples were scraped meanwhile");
    let target = target.restart()?;
    gives_up(&client, &source, 3000.0).await?;
    let end = now_ms()? / 1000;
    source.has_sent_beyond(&client, end as f64).await?;
    // A server that takes its place scrapes already while nothing is restored yet. It looks for blocks every minute unless it is told
    // otherwise; that they are there by then is shown elsewhere.
    let running_home = scratch.join("running");
    let admin = ["--web.enable-admin-api", "--storage.tsdb.block-reload-interval=5s"];
    let running = Prometheus::start("running", &running_home, &config(None, None), &admin)?;

    // The hole is seen, healed, and seen no more.
    let (until, source_url) = (end.to_string(), url(&source));
    let (code, gaps) = coverage(&archive, sent_since, &until)?;
    let hole = gaps
        .iter()
        .max_by_key(|gap| gap["seconds"].as_f64().map_or(0, |s| s as i64));
    let hole = hole.context("coverage shows no hole")?;
    ensure!(
        code == Some(2) && hole["seconds"].as_f64() > Some(8.0),
        "{code:?}: {gaps:?}"
    );
    let (code, report) = diff(&archive, &source_url, &["--to", &until])?;
    let rows = &report["rows"];
    ensure!(code == Some(2) && count(rows, "missing") > 3000, "{report}");
    ensure!(rows["extra"] == 0 && rows["unequal"] == 0, "{report}");
    let (code, report, said) = heal(&archive, &source_url, &["--to", &until])?;
    ensure!(code == Some(0), "{said}");
    ensure!(
        count(&report, "healed") > 3000 && count(&report, "lost") == 0,
        "{report}"
    );
    eventually(|| async {
        let (code, report) = diff(&archive, &source_url, &["--to", &until])?;
        ensure!(code == Some(0) && report["equal"] == true, "{report}");
        Ok(())
    })
    .await?;
    let (_, gaps) = coverage(&archive, sent_since, &until)?;
    let is_short = |gap: &Value| gap["seconds"].as_f64() < Some(8.0);
    ensure!(gaps.iter().all(is_short), "the hole is still there: {gaps:?}");

    // All that it knows; then it is gone.
    let times = Times {
        begin: begin()?,
        recent: recent_from,
        scraped,
        end: end * 1000,
    };
    let before = Told::ask(&client, &source, &times).await?;
    let answered = before.answers.iter().filter_map(|(_, data)| data["result"].as_array());
    let answered: usize = answered.map(Vec::len).sum();
    ensure!(answered > 1000, "only {answered} series were answered with");
    let held = times.within(Blocks::read(&snapshot(&source, &home, &client).await?)?);
    holds_every_kind(&held)?;
    source.process.terminate()?;
    fs::remove_dir_all(&home)?;

    // Into the one that runs: the blocks are there, and it loads them by itself. Meanwhile into an empty one.
    scrapes(&client, &running, 2.0).await?;
    let now = now_ms()? as f64 / 1000.0;
    let own = running.instant(&client, "up[1h]", now).await?;
    let running_data = running_home.join("data");
    let into = ["--target".to_owned(), url(&running)];
    output(export(&archive, &times).arg("--into").arg(&running_data).args(into))?;
    let empty = scratch.join("empty");
    let stripped = ["--strip-label=replica=1", "--strip-label=zone=eu"];
    output(
        export(&archive, &times)
            .args(stripped)
            .arg("--output")
            .arg(empty.join("data")),
    )?;
    promtool_reads(CURRENT, &empty.join("data"))?;
    same_blocks(&held, &times.within(Blocks::read(&empty.join("data"))?), "exported")?;
    let restored = Prometheus::start("restored", &empty, &config(None, None), &[])?;
    before.is_the_same(&Told::ask(&client, &restored, &times).await?, "an empty server")?;
    let (code, report) = diff(&archive, &url(&restored), &["--to", &until])?;
    ensure!(code == Some(0), "{report}");
    restored.process.terminate()?;

    let (oldest, all) = ((times.begin + STEP) as f64 / 1000.0, SERIES.to_string());
    eventually(|| async {
        let found = running.instant(&client, "count(seeded)", oldest).await?;
        ensure!(found["result"][0]["value"][1] == all.as_str(), "{found}");
        Ok(())
    })
    .await?;
    before.is_the_same(&Told::ask(&client, &running, &times).await?, "a running server")?;
    let found = times.within(Blocks::read(&snapshot(&running, &running_home, &client).await?)?);
    same_blocks(&held, &found, "a running server")?;
    let (code, report) = diff(&archive, &url(&running), &["--to", &until])?;
    ensure!(code == Some(0), "{report}");
    // It went on scraping, and has what it scraped before.
    scrapes(&client, &running, 2.0).await?;
    let since = format!("up{{instance=\"127.0.0.1:{}\"}}[1h]", running.port);
    same(&own, &running.instant(&client, &since, now).await?, "its own scrapes")?;
    let failed = running.own(&client, "prometheus_tsdb_reloads_failures_total").await?;
    ensure!(failed == 0.0, "{failed} reloads failed");
    drop(target);
    Ok(())
}
