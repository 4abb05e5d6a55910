//! The other programs of the tests as running processes: Prometheus in both versions and in agent mode, vmagent, and the exposer that they scrape.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{Process, eventually, free_port, peer};

/// Version folder of the Prometheus that we compare with.
pub(crate) const CURRENT: &str = "prometheus-3.14";

/// Version folder of the oldest Prometheus that we care for.
pub(crate) const OLD: &str = "prometheus-2.42";

/// A running Prometheus.
pub(crate) struct Prometheus {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Prometheus {
    /// Starts the current version; `SELF_PORT` in the configuration is replaced by its own port.
    pub(crate) fn start(name: &str, directory: &Path, config: &str, extra: &[&str]) -> Result<Self> {
        Self::start_version(CURRENT, name, directory, config, extra)
    }

    /// Starts a version and waits until it answers.
    pub(crate) fn start_version(
        version: &str,
        name: &str,
        directory: &Path,
        config: &str,
        extra: &[&str],
    ) -> Result<Self> {
        let port = free_port()?;
        std::fs::create_dir_all(directory)?;
        let config_file = directory.join("prometheus.yml");
        std::fs::write(&config_file, config.replace("SELF_PORT", &port.to_string()))?;
        let mut command = Command::new(peer(&format!("{version}/prometheus"))?);
        command
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(extra);
        if !extra
            .iter()
            .any(|e| e.starts_with("--storage.tsdb.path") || e.starts_with("--storage.agent.path"))
        {
            command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        }
        let mut process = Process::start(name, &mut command)?;
        process.wait_for_line("Server is ready to receive web requests")?;
        Ok(Self { process, port })
    }

    /// An agent: it scrapes and sends, and keeps nothing that can be asked for.
    pub(crate) fn start_agent(version: &str, directory: &Path, config: &str, features: &str) -> Result<Self> {
        let storage = format!("--storage.agent.path={}", directory.join("agent").display());
        let mut extra = vec![storage.as_str()];
        let features = if version == OLD {
            format!("--enable-feature=agent,{features}")
        } else {
            format!("--enable-feature={features}")
        };
        extra.push(&features);
        if version != OLD {
            extra.push("--agent");
        }
        Self::start_version(version, "agent", directory, config, &extra)
    }

    /// The `data` of an answer of the API; a warning is an error.
    pub(crate) async fn get(&self, client: &reqwest::Client, path: &str, query: &[(&str, String)]) -> Result<Value> {
        get_json(client, self.port, path, query).await
    }

    pub(crate) async fn instant(&self, client: &reqwest::Client, query: &str, time: f64) -> Result<Value> {
        let parameters = [("query", query.to_owned()), ("time", time.to_string())];
        self.get(client, "/api/v1/query", &parameters).await
    }

    pub(crate) async fn range(&self, client: &reqwest::Client, query: &str, start: f64, end: f64) -> Result<Value> {
        let range = [
            ("query", query.to_owned()),
            ("start", start.to_string()),
            ("end", end.to_string()),
            ("step", "1".to_owned()),
        ];
        self.get(client, "/api/v1/query_range", &range).await
    }

    /// One value, now.
    pub(crate) async fn value(&self, client: &reqwest::Client, query: &str) -> Result<f64> {
        let data = self
            .get(client, "/api/v1/query", &[("query", query.to_owned())])
            .await?;
        let text = data["result"][0]["value"][1]
            .as_str()
            .with_context(|| format!("`{query}` has no value: {data}"))?;
        Ok(text.parse()?)
    }

    /// Waits until all that it holds up to a moment, seconds since 1970, is acknowledged by those it writes to.
    pub(crate) async fn has_sent_beyond(&self, client: &reqwest::Client, end: f64) -> Result<()> {
        eventually(|| async {
            let query = "min(prometheus_remote_storage_queue_highest_sent_timestamp_seconds)";
            let newest = self.value(client, query).await?;
            ensure!(newest > end + 2.0, "sent up to {newest}, wanted {end}");
            Ok(())
        })
        .await
    }

    /// Sum of the program's own metric over its label sets, from its metrics page: agents answer no queries.
    pub(crate) async fn own(&self, client: &reqwest::Client, metric: &str) -> Result<f64> {
        own_metric(client, self.port, metric).await
    }
}

/// The `data` of an answer in Prometheus' form.
pub(crate) async fn get_json(
    client: &reqwest::Client,
    port: u16,
    path: &str,
    query: &[(&str, String)],
) -> Result<Value> {
    let url = reqwest::Url::parse_with_params(&format!("http://127.0.0.1:{port}{path}"), query)?;
    let text = client.get(url).send().await?.text().await?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{path} {query:?}: {text}"))?;
    ensure!(answer["status"] == "success", "{path} {query:?}: {answer}");
    ensure!(answer.get("warnings").is_none(), "{path} {query:?} warns: {answer}");
    Ok(answer["data"].clone())
}

/// Sum over the label sets of one metric on a metrics page; 0 when it is not there.
pub(crate) async fn own_metric(client: &reqwest::Client, port: u16, metric: &str) -> Result<f64> {
    let page = client
        .get(format!("http://127.0.0.1:{port}/metrics"))
        .send()
        .await?
        .text()
        .await?;
    page.lines()
        .filter(|line| {
            line.strip_prefix(metric)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .map(|line| {
            let value = line.rsplit(' ').next().context("a line has a value")?;
            anyhow::Ok(value.parse::<f64>()?)
        })
        .sum()
}

/// The results of a query in an order of their own.
pub(crate) fn sorted(data: &Value) -> Vec<String> {
    let rows = data["result"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = rows.map(ToString::to_string).collect();
    rows.sort();
    rows
}

/// Fails with what only one of two answers has, shortened.
pub(crate) fn same(expected: &Value, found: &Value, what: &str) -> Result<()> {
    let (expected, found) = (sorted(expected), sorted(found));
    let only = |these: &[String], those: &[String]| these.iter().find(|row| !those.contains(row)).cloned();
    let (missing, extra) = (only(&expected, &found), only(&found, &expected));
    // From a little before the place at which the two begin to differ.
    let (one, other) = (
        missing.iter().flat_map(|row| row.chars()),
        extra.iter().flat_map(|row| row.chars()),
    );
    let alike = one.zip(other).take_while(|(a, b)| a == b).count().saturating_sub(500);
    let short = |row: Option<String>| row.map(|row| row.chars().skip(alike).take(1500).collect::<String>());
    let (missing, extra) = (short(missing), short(extra));
    ensure!(
        missing.is_none() && extra.is_none() && expected.len() == found.len(),
        "{what}: of {} and {} series\nexpected {missing:?}\nfound    {extra:?}",
        expected.len(),
        found.len()
    );
    Ok(())
}

/// The program whose metrics the senders scrape.
pub(crate) struct Exposer {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Exposer {
    pub(crate) fn start() -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(peer("programs/exposer")?);
        command.arg(format!("127.0.0.1:{port}"));
        let mut process = Process::start("exposer", &mut command)?;
        process.wait_for_line("exposes on")?;
        Ok(Self { process, port })
    }
}

/// A running vmagent.
pub(crate) struct Vmagent {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Vmagent {
    /// Starts it with a scrape configuration and the address it sends to.
    pub(crate) fn start(directory: &Path, config: &str, url: &str, extra: &[&str]) -> Result<Self> {
        let port = free_port()?;
        std::fs::create_dir_all(directory)?;
        let config_file = directory.join("scrape.yml");
        std::fs::write(&config_file, config)?;
        let mut command = Command::new(peer("vmagent-1.150/vmagent")?);
        command
            .arg(format!("-promscrape.config={}", config_file.display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("-remoteWrite.url={url}"))
            .arg(format!(
                "-remoteWrite.tmpDataPath={}",
                directory.join("queue").display()
            ))
            .arg("-remoteWrite.flushInterval=200ms")
            .arg("-remoteWrite.retryMinInterval=100ms")
            .arg("-remoteWrite.retryMaxInterval=500ms")
            .args(extra);
        let mut process = Process::start("vmagent", &mut command)?;
        process.wait_for_line("started vmagent")?;
        Ok(Self { process, port })
    }
}
