//! The commands of `docs/restore.md`, run as they stand there: a page that is wrong on the worst day is worse than none.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;

use crate::corpus::drain;
use crate::peers::Prometheus;
use crate::process::{Emberkeep, emberkeep, output};
use crate::requests::now_ms;
use crate::wire::{V1_TYPE, client, post};

/// The lines of all fences that are marked `sh`, each with the title above it.
fn commands(page: &str) -> Vec<(String, String)> {
    let (mut title, mut in_fence, mut found) = (String::new(), false, Vec::new());
    for line in page.lines() {
        match line {
            "```sh" => in_fence = true,
            "```" => in_fence = false,
            _ if in_fence => found.push((title.clone(), line.to_owned())),
            _ => {
                if let Some(name) = line.strip_prefix("## ") {
                    title = name.to_owned();
                }
            }
        }
    }
    found
}

/// The words of a line, with the variables of the page; quotes are those of one word.
fn words(line: &str, variables: &BTreeMap<&str, String>) -> Vec<String> {
    let unquoted = |word: &str| word.trim_matches('\'').to_owned();
    line.split(' ')
        .map(|word| variables.get(word).cloned().unwrap_or_else(|| unquoted(word)))
        .collect()
}

async fn archive(data: &Path) -> Result<()> {
    let server = Emberkeep::start(data, &[])?;
    let end = now_ms()? - 3 * 24 * 3_600_000;
    let label = |(name, value): (&str, &str)| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let request = v1::WriteRequest {
        timeseries: vec![v1::TimeSeries {
            labels: [("__name__", "up"), ("cluster", "a"), ("job", "node")]
                .map(label)
                .to_vec(),
            samples: (0..200)
                .map(|n| v1::Sample {
                    value: 1.0,
                    timestamp: end - n * 60_000,
                })
                .collect(),
            ..v1::TimeSeries::default()
        }],
        ..v1::WriteRequest::default()
    };
    let body = emberkeep_proto::snappy::compress(&request.encode_to_vec());
    let (status, _, said) = post(&client(), &server.url("/api/v1/write"), V1_TYPE, body).await?;
    ensure!(status == 204, "{status}: {said}");
    drain(server)
}

#[tokio::test]
async fn every_command_of_the_page_works() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("emberkeep");
    archive(&data).await?;
    let store = scratch.path().join("store.yml");
    let directory = serde_json::to_string(&data.join("archive"))?;
    std::fs::write(
        &store,
        format!("type: FILESYSTEM\nconfig: {{directory: {directory}}}\n"),
    )?;
    let running = Prometheus::start("server", &scratch.path().join("server"), "{}", &[])?;
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore.md"))?;
    let commands = commands(&page);
    ensure!(commands.len() >= 7, "{} commands", commands.len());
    for (title, line) in commands {
        let into = match title.as_str() {
            "Into a running server" => scratch.path().join("server/data"),
            _ => scratch.path().join("empty"),
        };
        let variables = BTreeMap::from([
            ("$STORE", store.display().to_string()),
            ("$DATA", into.display().to_string()),
            ("$PROM", format!("http://127.0.0.1:{}", running.port)),
            ("$FROM", "-10d".to_owned()),
            ("$TO", "-1d".to_owned()),
        ]);
        let words = words(&line, &variables);
        // `reader` and `compactor` are commands of the one program, too.
        let mut command: Command = emberkeep(&words);
        let table = output(command.current_dir(scratch.path()))?;
        ensure!(table.contains("MIN TIME"), "{title}: `{line}` wrote nothing:\n{table}");
    }
    Ok(())
}
