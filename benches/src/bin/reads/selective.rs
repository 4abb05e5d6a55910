//! The few series of one instance out of all: the first question of a process, and those that follow.

use std::path::Path;

use anyhow::{Result, ensure};
use emberkeep_benches::{Streamed, Url};
use emberkeep_proto::messages::prometheus::{LabelMatcher, label_matcher};

use super::archive::Held;
use super::figures::{line, median, question};
use super::programs::{Cost, Server, forget_files};
use super::{Run, measure};

/// Questions that follow the first one.
const WARM: u32 = 20;
const HOUR_MS: i64 = 3_600_000;

/// One question: what it cost, and how many series and samples it found.
fn ask(server: &Server, run: &Run, held: Held) -> Result<(Cost, [u64; 2])> {
    let url = Url {
        authority: server.address.clone(),
        path: "/api/v1/read".to_owned(),
    };
    let instance = LabelMatcher {
        r#type: label_matcher::Type::Eq.into(),
        name: "instance".to_owned(),
        value: run.instance.clone(),
    };
    let start = held.end - i64::from(run.look_back) * HOUR_MS;
    let before = server.cpu()?;
    let watch = server.watch();
    let read = Streamed::read(&url, vec![instance], start, held.end - 1)?;
    let cost = Cost {
        wall: read.whole.as_secs_f64(),
        cpu: server.cpu()? - before,
        peak: watch.end(),
    };
    Ok((cost, [read.series, read.samples]))
}

/// Measures all of it.
pub(crate) fn measure(run: &Run, held: Held) -> Result<()> {
    forget_files(&run.storage.join("archive"))?;
    let server = measure::reader(run)?;
    let (cost, found) = ask(&server, run, held)?;
    ensure!(found[0] > 0, "no series has instance `{}`", run.instance);
    question("selective read, new process, files from the disk", cost)?;
    drop(server);
    let server = measure::reader(run)?;
    let (cost, again) = ask(&server, run, held)?;
    ensure!(found == again, "two equal questions have different answers");
    question("selective read, new process", cost)?;
    let (mut walls, mut peak) = (Vec::new(), 0.0_f64);
    let before = server.cpu()?;
    for _ in 0..WARM {
        let (cost, again) = ask(&server, run, held)?;
        ensure!(found == again, "two equal questions have different answers");
        walls.push(cost.wall);
        peak = peak.max(cost.peak);
    }
    let cost = Cost {
        wall: median(walls),
        cpu: (server.cpu()? - before) / f64::from(WARM),
        peak,
    };
    question("selective read, warm", cost)?;
    line(&format!("| - series, samples | {} | {} | | |", found[0], found[1]))
}

/// Bytes of the series tables of an archive.
pub(crate) fn series_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            bytes += series_bytes(&path)?;
        } else if path.to_string_lossy().contains("series") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
