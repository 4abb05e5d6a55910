//! What a running process tells of itself on `/metrics`, and what the kernel tells of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::process::Emberkeep;

/// One scrape: values by name, with the labels as they are written.
#[derive(Debug)]
pub(crate) struct Gauges(BTreeMap<String, f64>);

impl Gauges {
    pub(crate) async fn scrape(client: &reqwest::Client, server: &Emberkeep) -> Result<Self> {
        let answer = client.get(server.url("/metrics")).send().await?;
        ensure!(answer.status().is_success(), "/metrics answers {}", answer.status());
        let text = answer.text().await?;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let parsed: Result<BTreeMap<String, f64>> = samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').with_context(|| format!("`{line}`"))?;
                Ok((name.to_owned(), value.parse()?))
            })
            .collect();
        Ok(Self(parsed?))
    }

    /// The value of a metric, whose prefix `emberkeep_` is left out.
    pub(crate) fn of(&self, name: &str) -> Result<f64> {
        let value = self.0.get(&format!("emberkeep_{name}")).or_else(|| self.0.get(name));
        value.copied().with_context(|| format!("no metric `{name}`"))
    }
}

/// Resident memory of a process now, bytes.
pub(crate) fn resident(server: &Emberkeep) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid()))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
