//! Everything through streamed remote read: of our own server, and of a Prometheus on blocks exported of the same archive.

use std::path::Path;

use anyhow::{Result, ensure};
use emberkeep_benches::{Streamed, Url};
use emberkeep_proto::messages::prometheus::{LabelMatcher, label_matcher};

use super::archive::Held;
use super::figures::{line, median, rate};
use super::programs::{Cost, Server};

/// Asks a server for all of the data, several times.
pub(crate) fn measure(name: &str, server: &Server, held: Held, repeats: u32) -> Result<()> {
    let url = Url {
        authority: server.address.clone(),
        path: "/api/v1/read".to_owned(),
    };
    let (mut walls, mut firsts, mut bytes) = (Vec::new(), Vec::new(), 0);
    let before = server.cpu()?;
    let watch = server.watch();
    for _ in 0..repeats {
        let everything = LabelMatcher {
            r#type: label_matcher::Type::Re.into(),
            name: "__name__".to_owned(),
            value: ".+".to_owned(),
        };
        let read = Streamed::read(&url, vec![everything], held.start, held.end - 1)?;
        ensure!(
            (read.series, read.samples) == (held.series, held.samples),
            "{} series with {} samples came back, not {} with {}",
            read.series,
            read.samples,
            held.series,
            held.samples
        );
        walls.push(read.whole.as_secs_f64());
        firsts.push(read.first_byte.as_secs_f64());
        bytes = read.bytes;
    }
    let cost = Cost {
        wall: median(walls),
        cpu: (server.cpu()? - before) / f64::from(repeats),
        peak: watch.end(),
    };
    rate(&format!("streamed read, {name}"), held.samples, cost)?;
    line(&format!("| - first byte | {:.1} ms | | | |", median(firsts) * 1e3))?;
    line(&format!(
        "| - bytes of a sample | {:.2} | | | |",
        bytes as f64 / held.samples as f64
    ))
}

/// A Prometheus on a directory of blocks.
pub(crate) fn prometheus(program: &Path, blocks: &Path, scratch: &Path) -> Result<Server> {
    let config = scratch.join("prometheus.yml");
    std::fs::write(&config, "global: {}\n")?;
    let config = format!("--config.file={}", config.display());
    let data = format!("--storage.tsdb.path={}", blocks.display());
    Server::start(
        program,
        &[
            &config,
            &data,
            "--storage.tsdb.retention.time=100y",
            "--web.listen-address={address}",
            "--storage.remote.read-sample-limit=0",
            "--log.level=error",
        ],
    )
}
