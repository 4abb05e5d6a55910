//! A real Prometheus writes, Emberkeep is killed in between, and what comes back is asked of three Prometheus servers: the source, one that
//! has nothing but `remote_read`, and one that starts on exported blocks. All must answer the same, sample for sample.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::peers::{Prometheus, sorted};
use crate::process::{Emberkeep, emberkeep, eventually, output, peer};

/// Selectors and expressions that touch matchers of each type, counters, staleness and raw samples.
const QUERIES: &[&str] = &[
    "up",
    r#"up{job="emberkeep"}"#,
    r#"{__name__=~"prometheus_tsdb_head_.*",job!="x"}"#,
    r#"{__name__=~"go_(gc|mem).+",__name__!~".*bytes.*"}"#,
    r#"prometheus_http_requests_total{handler!~"/api.*",code=~"2..|4.."}"#,
    r#"{job="prometheus",handler=""}"#,
    "sum by (code) (rate(prometheus_http_requests_total[15s]))",
    "histogram_quantile(0.9, rate(prometheus_http_request_duration_seconds_bucket[20s]))",
    "count({__name__!=\"\"})",
    "changes(process_cpu_seconds_total[30s])",
    "rate(emberkeep_receiver_samples_total[10s])",
    "absent(up{job=\"emberkeep\"})",
];

/// Raw samples, so that every timestamp and value is compared.
const RAW: &[&str] = &[r#"{job="prometheus"}[60s]"#, r#"{job="emberkeep"}[60s]"#];

/// All queries have the same answers from two servers.
pub(crate) async fn same_answers(
    client: &reqwest::Client,
    source: &Prometheus,
    other: &Prometheus,
    what: &str,
    start: f64,
    end: f64,
) -> Result<()> {
    for query in QUERIES {
        let (expected, found) = (
            source.range(client, query, start, end).await?,
            other.range(client, query, start, end).await?,
        );
        ensure!(
            sorted(&expected) == sorted(&found),
            "{what}, range `{query}`:\n{expected}\n{found}"
        );
    }
    let mut compared = 0;
    for query in QUERIES.iter().chain(RAW) {
        let (expected, found) = (
            source.instant(client, query, end).await?,
            other.instant(client, query, end).await?,
        );
        ensure!(
            sorted(&expected) == sorted(&found),
            "{what}, instant `{query}`:\n{expected}\n{found}"
        );
        compared += expected["result"].as_array().map_or(0, Vec::len);
    }
    ensure!(
        compared > 500,
        "{what}: only {compared} series were compared, the queries select too little"
    );
    Ok(())
}

/// A server that scrapes itself and Emberkeep, and sends all of it.
pub(crate) fn source_config(emberkeep: &Emberkeep, protocol: &str) -> String {
    format!(
        r#"
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: prometheus
  static_configs: [{{targets: ["127.0.0.1:SELF_PORT"]}}]
- job_name: emberkeep
  static_configs: [{{targets: ["127.0.0.1:{}"]}}]
remote_write:
- url: {}
  protobuf_message: {protocol}
  queue_config: {{batch_send_deadline: 500ms, min_backoff: 30ms, max_backoff: 200ms}}
"#,
        emberkeep.port,
        emberkeep.url("/api/v1/write"),
    )
}

/// The whole path with one protocol.
async fn whole_path(protocol: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    let client = crate::wire::client();

    let archive = Emberkeep::start(&data, &["--flush.interval=4s", "--fold.interval=1s"])?;
    let source = Prometheus::start(
        "source",
        &scratch.path().join("source"),
        &source_config(&archive, protocol),
        &[],
    )?;
    let sent = |more: f64| {
        let (source, client) = (&source, &client);
        async move {
            eventually(|| async {
                let sent = source
                    .value(client, "sum(prometheus_remote_storage_samples_total)")
                    .await?;
                ensure!(sent >= more, "{sent} samples were sent");
                Ok(sent)
            })
            .await
        }
    };
    let before = sent(4000.0).await?;
    // A scrape of Emberkeep fails meanwhile: its series get stale markers, and the source's queue waits.
    let killed = archive.kill()?;
    eventually(|| async {
        let up = source.value(&client, "up{job=\"emberkeep\"}").await?;
        ensure!(up == 0.0, "the source has not noticed that Emberkeep is down");
        Ok(())
    })
    .await?;
    let archive = killed.restart()?;
    let before = sent(before + 4000.0).await?;
    let archive = archive.kill_and_restart()?;
    sent(before + 6000.0).await?;

    // Everything up to `end` is in the source's own storage; wait until it is acknowledged, too.
    let end = source.value(&client, "vector(time())").await?.floor() - 1.0;
    let start = end - 20.0;
    source.has_sent_beyond(&client, end).await?;
    let failed = source
        .value(
            &client,
            "sum(prometheus_remote_storage_samples_failed_total) or vector(0)",
        )
        .await?;
    ensure!(failed == 0.0, "the source counts {failed} failed samples");

    // (a) A Prometheus with nothing of its own, over remote read: archive and head together.
    let config = format!(
        "remote_read: [{{url: \"{}\", read_recent: true}}]",
        archive.url("/api/v1/read")
    );
    let reading = Prometheus::start("reading", &scratch.path().join("reading"), &config, &[])?;
    same_answers(&client, &source, &reading, "remote read", start, end).await?;

    // (b) Blocks from the bucket alone, after everything local was committed.
    let pid = archive.process.pid();
    let mut process = archive.process;
    crate::process::signal(pid, "USR1")?;
    ensure!(
        process.wait()?.success(),
        "the drained server ends with an error:\n{}",
        process.log()
    );
    let blocks = scratch.path().join("restored");
    let table = output(
        emberkeep(["reader", "export-tsdb", "--from=-1h", "--storage.path"])
            .arg(&data)
            .arg("--output")
            .arg(&blocks),
    )?;
    ensure!(table.contains("NUM SAMPLES"), "no table of blocks:\n{table}");
    let promtool = peer("prometheus-3.14/promtool")?;
    let listed = output(Command::new(&promtool).args(["tsdb", "list"]).arg(&blocks))?;
    for ulid in table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|w| w.len() == 26)
    {
        ensure!(listed.contains(ulid), "promtool does not list {ulid}:\n{listed}");
        output(
            Command::new(&promtool)
                .args(["tsdb", "analyze", "--extended"])
                .arg(&blocks)
                .arg(ulid),
        )?;
    }
    let storage = format!("--storage.tsdb.path={}", blocks.display());
    let retention = "--storage.tsdb.retention.time=100y";
    let restored = Prometheus::start("restored", &scratch.path().join("third"), "{}", &[&storage, retention])?;
    same_answers(&client, &source, &restored, "restored blocks", start, end).await?;
    stale_markers_survive(&promtool, &blocks)?;
    drop((source.process, reading.process, restored.process));
    Ok(())
}

/// The kills made scrapes of Emberkeep fail, so its series must hold stale markers in the blocks.
fn stale_markers_survive(promtool: &Path, blocks: &Path) -> Result<()> {
    std::fs::create_dir_all(blocks.join("wal"))?;
    let dump = output(
        Command::new(promtool)
            .args([
                "tsdb",
                "dump",
                "--match",
                r#"{__name__="emberkeep_receiver_samples_total"}"#,
            ])
            .arg(blocks),
    )?;
    ensure!(dump.contains("NaN"), "no stale marker in:\n{dump}");
    Ok(())
}

#[tokio::test]
async fn remote_write_1_to_remote_read_and_blocks() -> Result<()> {
    whole_path("prometheus.WriteRequest").await
}

#[tokio::test]
async fn remote_write_2_to_remote_read_and_blocks() -> Result<()> {
    whole_path("io.prometheus.write.v2.Request").await
}
