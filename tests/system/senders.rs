//! How each sender reacts to the answers 503, 400 and 415, and that with the first nothing is lost: Prometheus 3.14 with both protocols and as an
//! agent, Prometheus 2.42, vmagent.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;

use crate::middle::Middle;
use crate::peers::{CURRENT, Exposer, OLD, Prometheus, Vmagent, own_metric};
use crate::process::{Emberkeep, Process, eventually};
use crate::wire;

/// A sender under test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sender {
    Current { protocol: &'static str },
    Agent,
    Old,
    Vmagent,
}

/// Whichever it is: its process and the port of its metrics.
struct Running {
    process: Process,
    port: u16,
}

impl Sender {
    fn start(self, directory: &Path, exposer: &Exposer, middle: &Middle) -> Result<Running> {
        let url = format!("http://127.0.0.1:{}/api/v1/write", middle.port);
        let scrape = format!(
            "scrape_configs: [{{job_name: exposer, static_configs: [{{targets: [\"127.0.0.1:{}\"]}}]}}]",
            exposer.port
        );
        let config = |global: &str, more: &str| {
            format!(
                "global: {{scrape_interval: 200ms, scrape_timeout: 200ms{global}}}\n{scrape}\nremote_write:\n- {{url: \"{url}\"{more}, \
                 send_exemplars: true, send_native_histograms: true, metadata_config: {{send: false}}, \
                 queue_config: {{batch_send_deadline: 200ms, min_backoff: 30ms, max_backoff: 200ms}}}}\n"
            )
        };
        let native = ", scrape_native_histograms: true";
        let running = match self {
            Self::Current { protocol } => {
                let config = config(native, &format!(", protobuf_message: {protocol}"));
                let features = "--enable-feature=exemplar-storage";
                Prometheus::start("sender", directory, &config, &[features])?
            }
            Self::Agent => {
                let config = config(native, ", protobuf_message: io.prometheus.write.v2.Request");
                Prometheus::start_agent(CURRENT, directory, &config, "extra-scrape-metrics")?
            }
            Self::Old => {
                let config = config("", "");
                let features = "--enable-feature=exemplar-storage,native-histograms";
                Prometheus::start_version(OLD, "sender", directory, &config, &[features])?
            }
            Self::Vmagent => {
                let config = format!("global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n{scrape}\n");
                // Metadata would be the same bytes every time, and look like repetitions.
                let Vmagent { process, port } = Vmagent::start(directory, &config, &url, &["-enableMetadata=false"])?;
                return Ok(Running { process, port });
            }
        };
        Ok(Running {
            process: running.process,
            port: running.port,
        })
    }

    /// The sender's own counters: requests that it repeats, and what it has given up.
    fn counters(self) -> (&'static str, &'static [&'static str]) {
        if self == Self::Vmagent {
            (
                "vmagent_remotewrite_retries_count_total",
                &["vmagent_remotewrite_packets_dropped_total"],
            )
        } else {
            (
                "prometheus_remote_storage_samples_retried_total",
                &[
                    "prometheus_remote_storage_samples_failed_total",
                    "prometheus_remote_storage_histograms_failed_total",
                    "prometheus_remote_storage_exemplars_failed_total",
                ],
            )
        }
    }
}

/// Numbers of the scrapes that are in the archive.
async fn steps(client: &reqwest::Client, archive: &Emberkeep) -> Result<BTreeSet<i64>> {
    let matchers = vec![v1::LabelMatcher {
        r#type: 0,
        name: "__name__".to_owned(),
        value: "exposer_steps".to_owned(),
    }];
    let found = wire::read_samples(client, &archive.url("/api/v1/read"), 0, i64::MAX, matchers).await?;
    let samples = found.values().flat_map(|by_time| by_time.values());
    Ok(samples.map(|(bits, _)| f64::from_bits(*bits) as i64).collect())
}

/// Waits until the archive has so many more scrapes.
async fn more_steps(client: &reqwest::Client, archive: &Emberkeep, more: usize) -> Result<BTreeSet<i64>> {
    let before = steps(client, archive).await?.len();
    eventually(|| async {
        let now = steps(client, archive).await?;
        ensure!(
            now.len() >= before + more,
            "{} scrapes, wanted {}",
            now.len(),
            before + more
        );
        Ok(now)
    })
    .await
}

fn gaps(steps: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let pairs = steps.iter().zip(steps.iter().skip(1));
    pairs.filter(|(a, b)| *b - *a > 1).map(|(a, b)| (*a, *b)).collect()
}

async fn reactions(sender: Sender) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let archive = Emberkeep::start(&scratch.path().join("emberkeep"), &[])?;
    let exposer = Exposer::start()?;
    let middle = Middle::start(archive.url("/api/v1/write"), &[503, 503]).await?;
    let mut running = sender.start(&scratch.path().join("sender"), &exposer, &middle)?;
    let (retried, given_up) = sender.counters();
    let port = running.port;
    let own = async |metric: &str| own_metric(&client, port, metric).await;
    let lost = async || {
        let mut sum = 0.0;
        for metric in given_up {
            sum += own(metric).await?;
        }
        anyhow::Ok(sum)
    };

    // 503: the same bytes again, until they are taken. Nothing is missing.
    let stored = more_steps(&client, &archive, 20).await?;
    let seen = middle.seen();
    let statuses: Vec<u16> = seen.iter().map(|s| s.status).collect();
    let postponed = seen.iter().enumerate().filter(|(_, s)| s.status == 503);
    ensure!(postponed.clone().count() == 2, "{sender:?}: answers {statuses:?}");
    for (at, refused) in postponed {
        let again = seen[at + 1..].iter().any(|s| s.body == refused.body);
        ensure!(again, "{sender:?}: what was answered with 503 did not come again");
    }
    ensure!(
        own(retried).await? > 0.0,
        "{sender:?} counts no retries\n{}",
        running.process.log()
    );
    ensure!(
        lost().await? == 0.0,
        "{sender:?} gave something up\n{}",
        running.process.log()
    );
    let first = *stored.first().context("something is stored")?;
    ensure!(first <= 2 && gaps(&stored).is_empty(), "{sender:?}: {stored:?}");
    let is_zstd = |encoding: &str| encoding == "zstd";
    for one in seen.iter().filter(|s| s.status != 503) {
        // vmagent begins with a protocol of its own, takes our 415 as a no, and repeats the same data in the common one.
        let expected = if is_zstd(&one.content_encoding) { 415 } else { 204 };
        ensure!(one.status == expected, "{sender:?}: answers {statuses:?}");
    }
    let tried_own = seen.iter().any(|s| is_zstd(&s.content_encoding));
    ensure!(
        tried_own == (sender == Sender::Vmagent),
        "{sender:?}: answers {statuses:?}"
    );

    // 400 and 415: that batch is given up at once and never sent again; the next goes on.
    for status in [400, 415] {
        let before = lost().await?;
        middle.plan(status);
        let stored = more_steps(&client, &archive, 15).await?;
        let seen = middle.seen();
        let at = seen
            .iter()
            .rposition(|s| s.status == status)
            .context("the planned answer was given")?;
        ensure!(
            seen[at + 1..].iter().all(|s| s.body != seen[at].body),
            "{sender:?} repeats a batch after {status}"
        );
        ensure!(lost().await? > before, "{sender:?} counts no loss after {status}");
        ensure!(
            seen[at + 1..].iter().any(|s| s.status == 204),
            "{sender:?} stops after {status}"
        );
        ensure!(!stored.is_empty(), "{sender:?}: nothing is stored");
    }
    let types: BTreeSet<_> = middle.seen().into_iter().map(|s| s.content_type).collect();
    let expected = match sender {
        Sender::Current { protocol } if protocol.contains("v2") => wire::V2_TYPE,
        Sender::Agent => wire::V2_TYPE,
        Sender::Current { .. } | Sender::Old | Sender::Vmagent => "application/x-protobuf",
    };
    ensure!(
        types.iter().all(|t| t == expected),
        "{sender:?}: content types {types:?}"
    );
    Ok(())
}

#[tokio::test]
async fn prometheus_with_remote_write_2_repeats_after_503_and_gives_up_after_400_and_415() -> Result<()> {
    reactions(Sender::Current {
        protocol: "io.prometheus.write.v2.Request",
    })
    .await
}

#[tokio::test]
async fn prometheus_with_remote_write_1_repeats_after_503_and_gives_up_after_400_and_415() -> Result<()> {
    reactions(Sender::Current {
        protocol: "prometheus.WriteRequest",
    })
    .await
}

#[tokio::test]
async fn an_agent_repeats_after_503_and_gives_up_after_400_and_415() -> Result<()> {
    reactions(Sender::Agent).await
}

#[tokio::test]
async fn prometheus_2_42_repeats_after_503_and_gives_up_after_400_and_415() -> Result<()> {
    reactions(Sender::Old).await
}

#[tokio::test]
async fn vmagent_repeats_after_503_and_gives_up_after_400_and_415() -> Result<()> {
    reactions(Sender::Vmagent).await
}
