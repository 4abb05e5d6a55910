//! `rwgen`: the load generator for remote write.
//!
//! ```text
//! rwgen encode --profile node --series 100000 --scrapes 40 --output /tmp/load      whole requests, and /tmp/load.manifest
//! rwgen send /tmp/load --url http://127.0.0.1:9201/api/v1/write                    as fast as it is acknowledged
//! rwgen send /tmp/load --url ... --rate 500000                                     at a rate; latency from the schedule
//! rwgen check /tmp/load --url http://127.0.0.1:9201/api/v1/read                    is everything there, and nothing else?
//! ```
//!
//! Three rules. It shares no code with the server, so a mistake of the product cannot hide in its own measurement. Everything
//! follows from the seed and the flags, byte for byte (give `--start` too: without it the data ends now). And it costs so little
//! while it sends, with all requests encoded before, that it may run beside the server: it prints what it took.
//!
//! `send --acked` notes what was begun and what was acknowledged. `check --acked` then holds a server to exactly that: what was
//! acknowledged must be there, what went out without an answer may be, nothing else must. Without `--acked` all of it must be.
//! Exit codes: 0 success, 1 error, 2 a difference was found.
//!
//! 1.0 requests hold no metadata, and no profile holds exemplars or start timestamps: remote read could not show them.

mod bits;
mod check;
mod chunk;
mod encode;
mod explain;
mod file;
mod flags;
mod histogram;
mod http;
mod journal;
mod manifest;
mod native;
mod pace;
mod queue;
mod random;
mod recorded;
mod recording;
mod remote_read;
mod request;
mod request_reader;
mod row;
mod send;
mod synthetic;
#[cfg(test)]
mod tests;
mod timeline;
mod universe;
mod values;
mod wire;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::check::{Outcome, Question};
use crate::encode::{Recipe, encode};
use crate::file::{RequestFile, Summary};
use crate::flags::{CheckFlags, Command, EncodeFlags, Flags, SendFlags};
use crate::journal::read_journal;
use crate::pace::Pace;
use crate::send::{Orders, send};
use crate::timeline::Timeline;

/// Exit code of a difference.
const DIFFERENT: u8 = 2;

fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Encode(flags) => run_encode(flags).and_then(|line| print(&line)),
        Command::Send(flags) => run_send(flags).and_then(|line| print(&line)),
        Command::Info { file } => RequestFile::open(&file)
            .map(|file| shown(&file.summary))
            .and_then(|line| print(&line)),
        Command::Check(flags) => match run_check(flags) {
            Ok(outcome) => {
                let code = if outcome.different == 0 {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(DIFFERENT)
                };
                return print(&told(&outcome)).map_or_else(failed, |()| code);
            }
            Err(error) => Err(error),
        },
    };
    done.map_or_else(failed, |()| ExitCode::SUCCESS)
}

fn print(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn failed(error: anyhow::Error) -> ExitCode {
    // Nobody is left to be told when this fails.
    let _ = writeln!(std::io::stderr(), "rwgen: {error:#}");
    ExitCode::FAILURE
}

fn run_encode(flags: EncodeFlags) -> Result<String> {
    let interval_ms = flags.interval.as_millis() as i64;
    let span = i64::try_from(flags.scrapes)
        .ok()
        .and_then(|scrapes| scrapes.checked_add(2)?.checked_mul(interval_ms));
    let span = span.context("`--scrapes` times `--interval` is too long")?;
    let start_ms = match flags.start {
        Some(start) => start,
        None => now_ms()? - span,
    };
    ensure!(start_ms.checked_add(span).is_some(), "`--start` is too late");
    let recipe = Recipe {
        profile: flags.profile,
        corpus: flags.corpus,
        protocol: flags.protocol,
        series: flags.series,
        per_request: flags.per_request,
        connections: flags.connections,
        timeline: Timeline {
            seed: flags.seed,
            start_ms,
            interval_ms,
            scrapes: flags.scrapes,
            churn: flags.churn,
            stale: flags.stale,
            late: flags.out_of_order,
            repeated: flags.duplicates,
        },
    };
    encode(&recipe, &flags.output).map(|summary| shown(&summary))
}

#[expect(clippy::disallowed_methods, reason = "the clock of the product is not to be shared")]
fn now_ms() -> Result<i64> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(since.as_millis() as i64)
}

fn run_send(flags: SendFlags) -> Result<String> {
    let limit = flags
        .limit_seconds
        .map(Duration::try_from_secs_f64)
        .transpose()
        .context("`--limit-seconds`")?;
    let orders = Orders {
        url: flags.url,
        connections: flags.connections,
        requests: flags.requests.unwrap_or(0..usize::MAX),
        pace: Pace {
            rate: flags.rate,
            limit,
            retry: flags.retry,
        },
        journal: flags.acked,
        resume: flags.resume,
    };
    send(&RequestFile::open(&flags.file)?, &orders).map(|report| report.line() + &report.slowest(flags.slowest))
}

fn run_check(flags: CheckFlags) -> Result<Outcome> {
    let file = RequestFile::open(&flags.file)?;
    let fates = flags.acked.map(|path| read_journal(&path, &file)).transpose()?;
    let question = Question {
        file: &file,
        requests: &flags.file,
        url: flags.url,
        fates,
        metrics: flags.metrics,
        reads: flags.reads,
    };
    question.check()
}

fn told(outcome: &Outcome) -> String {
    let mut text = format!(
        "series={} samples={} found={} doubtful={} different_series={}",
        outcome.series, outcome.expected, outcome.found, outcome.doubtful, outcome.different
    );
    for difference in &outcome.shown {
        text.push_str(&format!("\n{difference}"));
    }
    text
}

fn shown(summary: &Summary) -> String {
    let totals = summary.totals;
    let per_sample = |bytes: u64| bytes as f64 / totals.samples.max(1) as f64;
    format!(
        "profile={} protocol={} seed={} connections={} active_series={} series={} scrapes={} interval_ms={} samples={} \
         distinct_samples={} histograms={} duplicates={} out_of_order={} stale={} requests={} bytes={} bytes_per_sample={:.1} \
         raw_bytes_per_sample={:.1} start_ms={} end_ms={}",
        summary.profile,
        summary.protocol.version(),
        summary.seed,
        summary.connections,
        summary.active_series,
        totals.series,
        summary.scrapes,
        summary.interval_ms,
        totals.samples,
        totals.rows,
        totals.histograms,
        totals.repeated,
        totals.late,
        totals.stale,
        totals.requests,
        totals.bytes,
        per_sample(totals.bytes),
        per_sample(totals.raw_bytes),
        totals.min_ms,
        totals.max_ms,
    )
}
