//! `compactor plan`, `job` and `commit`: the seam on which another engine spreads merges over many machines.
//!
//! A plan is one JSON object for each job, a line each. A job reads one of them and prints its result, a line; it can run anywhere
//! that reaches the bucket, and twice. Results are committed into one root; those whose inputs are gone meanwhile are dropped.

use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use emberkeep_archive::Catalog;
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::problem::Outcome;
use serde::de::DeserializeOwned;

use super::{Flags, Opened};
use crate::job_result::{JobResult, commit_results};
use crate::plan::Job;

/// `compactor plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    flags: Flags,
    /// Print the jobs as JSON, one a line, instead of a table.
    #[arg(long)]
    json: bool,
}

/// `compactor job`.
#[derive(Debug, Args)]
pub struct JobArgs {
    #[command(flatten)]
    flags: Flags,
    /// File with one job as `plan --json` prints it [default: standard input].
    #[arg(long, value_name = "FILE")]
    job: Option<PathBuf>,
}

/// `compactor commit`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    #[command(flatten)]
    flags: Flags,
    /// Files with results as `job` prints them, one a line [default: standard input].
    #[arg(value_name = "FILE")]
    results: Vec<PathBuf>,
}

/// Prints what is due.
///
/// # Errors
/// The store fails, or something in the bucket cannot be used.
pub(super) async fn plan(args: PlanArgs) -> anyhow::Result<Outcome> {
    let opened = Opened::open(&args.flags)?;
    let jobs = opened.upkeep().plan().await?;
    let mut out = std::io::stdout().lock();
    for job in &jobs {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(job)?)?;
        } else {
            writeln!(out, "{}", line(job))?;
        }
    }
    if jobs.is_empty() && !args.json {
        writeln!(out, "nothing is due")?;
    }
    Ok(Outcome::Done)
}

fn line(job: &Job) -> String {
    let mut tenants: Vec<&str> = job.windows.iter().map(|window| window.tenant.as_str()).collect();
    tenants.dedup();
    format!(
        "{}: {} parts, {} bytes, into {} windows of {}",
        job.kind.as_str(),
        job.inputs.len(),
        job.bytes(),
        job.windows.len(),
        tenants.join(", ")
    )
}

/// Runs one job and prints its result.
///
/// # Errors
/// The job cannot be read or run.
pub(super) async fn job(args: JobArgs) -> anyhow::Result<Outcome> {
    let opened = Opened::open(&args.flags)?;
    let text = match &args.job {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            text
        }
    };
    let job: Job = parse(text.trim(), "the job")?;
    let result = opened.merger().run(&job).await?;
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&result)?)?;
    Ok(Outcome::Done)
}

/// Makes results live.
///
/// # Errors
/// A result cannot be read, or the store fails.
pub(super) async fn commit(args: CommitArgs) -> anyhow::Result<Outcome> {
    let opened = Opened::open(&args.flags)?;
    let mut results: Vec<JobResult> = Vec::new();
    for path in &args.results {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            results.push(parse(line, &path.display().to_string())?);
        }
    }
    if args.results.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line = line.context("cannot read standard input")?;
            if !line.trim().is_empty() {
                results.push(parse(&line, "standard input")?);
            }
        }
    }
    let catalog = Catalog::new(Arc::clone(&opened.store));
    let landed = commit_results(&catalog, &results, SystemClock.now_ms()).await?;
    let root = landed
        .root
        .map_or_else(|| "no root".to_owned(), |root| format!("root {}", root.n));
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{root}: {} results are live, {} came too late",
        landed.landed, landed.dropped
    )?;
    for reason in &landed.refused {
        writeln!(out, "one is not live: {reason}")?;
    }
    Ok(Outcome::Done)
}

fn parse<T: DeserializeOwned>(text: &str, place: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).with_context(|| format!("{place} is not what `compactor plan --json` or `job` prints"))
}
