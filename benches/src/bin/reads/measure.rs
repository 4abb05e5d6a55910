//! Which figures are taken, in which order, with which commands.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive::Held;
use super::figures::{head, line, rate};
use super::programs::{Cost, Server, run as run_program};
use super::{Run, What, selective, streamed};

/// Takes all figures that are wanted.
pub(crate) fn all(run: &Run) -> Result<()> {
    let held = Held::of(&run.storage)?;
    let temporary = tempfile::tempdir()?;
    let scratch = match &run.scratch {
        Some(scratch) => {
            std::fs::create_dir_all(scratch)?;
            tempfile::tempdir_in(scratch)?
        }
        None => temporary,
    };
    line(&format!(
        "{} series, {} samples, {:.1} h; series tables {:.1} MB",
        held.series,
        held.samples,
        (held.end - held.start) as f64 / 3_600_000.0,
        selective::series_bytes(&run.storage.join("archive"))? as f64 / 1e6,
    ))?;
    head()?;
    if run.wants(What::Selective) {
        selective::measure(run, held)?;
    }
    if run.wants(What::Streamed) {
        let server = reader(run)?;
        streamed::measure("emberkeep", &server, held, run.repeats)?;
    }
    if run.wants(What::Verify) {
        let [flag, place] = run.place()?;
        let arguments = ["reader", "verify", flag, place, "--level", "rows", "--jobs", "1"];
        rate("verify, rows", held.samples, run_program(&run.program, arguments)?)?;
    }
    if run.wants(What::Diff) {
        diff(run, held)?;
    }
    let needs_blocks = run.wants(What::Seed) || run.wants(What::Streamed) && run.prometheus.is_some();
    if run.wants(What::Export) || needs_blocks {
        blocks(run, held, scratch.path())?;
    }
    Ok(())
}

/// A reader of the archive.
pub(crate) fn reader(run: &Run) -> Result<Server> {
    let [flag, place] = run.place()?;
    let arguments = ["reader", "serve", flag, place, "--web.listen-address", "{address}"];
    Server::start(&run.program, &arguments)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is no text")
}

/// Exports, and what is done with the blocks.
fn blocks(run: &Run, held: Held, scratch: &Path) -> Result<()> {
    let export = |output: &Path, more: &[&str]| -> Result<Cost> {
        let (from, to) = ((held.start / 1000).to_string(), (held.end / 1000).to_string());
        let [flag, place] = run.place()?;
        let mut arguments = vec!["reader", "export-tsdb", flag, place];
        arguments.extend(["--from", &from, "--to", &to, "--parallel", "1", "--log.level", "warn"]);
        arguments.extend(["--output", text(output)?]);
        arguments.extend(more);
        run_program(&run.program, arguments)
    };
    let output = scratch.join("blocks");
    let cost = export(&output, &["--no-verify"])?;
    if run.wants(What::Export) {
        rate("export, not read back", held.samples, cost)?;
        let verified: PathBuf = scratch.join("verified");
        rate("export, read back", held.samples, export(&verified, &[])?)?;
        std::fs::remove_dir_all(verified)?;
    }
    if run.wants(What::Seed) {
        let seeded = scratch.join("seeded");
        let arguments = [
            "compactor",
            "seed",
            "--storage.path",
            text(&seeded)?,
            "--from",
            text(&output)?,
        ];
        rate("seed from blocks", held.samples, run_program(&run.program, arguments)?)?;
        std::fs::remove_dir_all(seeded)?;
    }
    if let (Some(program), true) = (&run.prometheus, run.wants(What::Streamed)) {
        let server = streamed::prometheus(program, &output, scratch)?;
        streamed::measure("Prometheus", &server, held, run.repeats)?;
    }
    Ok(())
}

/// The archive compared with a server that answers from it, so that everything is equal.
fn diff(run: &Run, held: Held) -> Result<()> {
    let source = reader(run)?;
    let url = format!("http://{}", source.address);
    let before = source.cpu()?;
    let (from, to) = ((held.start / 1000).to_string(), (held.end / 1000).to_string());
    let [flag, place] = run.place()?;
    let mut arguments = vec!["reader", "diff", flag, place, "--source", &url];
    arguments.extend(["--from", &from, "--to", &to]);
    rate("diff", held.samples, run_program(&run.program, arguments)?)?;
    let cost = Cost {
        wall: f64::NAN,
        cpu: source.cpu()? - before,
        peak: f64::NAN,
    };
    rate("- its source", held.samples, cost)
}
