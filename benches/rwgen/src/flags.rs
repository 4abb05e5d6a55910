//! The command line.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::encode::Profile;
use crate::http::Url;
use crate::request::Protocol;

/// Encodes remote write requests into a file, sends them, and checks what came of them.
#[derive(Debug, Parser)]
#[command(name = "rwgen", version)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes whole requests into a file, and a manifest of their series beside it
    Encode(EncodeFlags),
    /// Sends the requests of a file, and prints rate and latency
    Send(SendFlags),
    /// Reads everything back by remote read, and compares; exit code 2 when something differs
    Check(CheckFlags),
    /// Shows what a file holds
    Info {
        /// A file of `rwgen encode`
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EncodeFlags {
    /// Which data
    #[arg(long, value_enum)]
    pub(crate) profile: Profile,
    /// Series at a time
    #[arg(long)]
    pub(crate) series: u64,
    /// Samples of each series
    #[arg(long)]
    pub(crate) scrapes: u64,
    /// Time between two scrapes
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub(crate) interval: Duration,
    /// What the data follows from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Version of remote write
    #[arg(long, value_enum, default_value = "1")]
    pub(crate) protocol: Protocol,
    /// Samples of a request
    #[arg(long, default_value_t = 2_000)]
    pub(crate) per_request: u32,
    /// Connections over which the series are shared out
    #[arg(long, default_value_t = 4)]
    pub(crate) connections: u32,
    /// Percent of the targets that end each minute; others, with another pod, begin
    #[arg(long, default_value_t = 0.0, value_parser = percent, value_name = "PCT_PER_MIN")]
    pub(crate) churn: f64,
    /// Percent of the samples that are sent one to eight scrapes late
    #[arg(long, default_value_t = 0.0, value_parser = percent, value_name = "PCT")]
    pub(crate) out_of_order: f64,
    /// Percent of the samples that are sent again, one to eight scrapes later
    #[arg(long, default_value_t = 0.0, value_parser = percent, value_name = "PCT")]
    pub(crate) duplicates: f64,
    /// Percent of the scrapes that fail: a stale marker in each series of the target
    #[arg(long, default_value_t = 0.0, value_parser = percent, value_name = "PCT")]
    pub(crate) stale: f64,
    /// Recorded request bodies, for `--profile real`
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Option<PathBuf>,
    /// Time of the first scrape, milliseconds since 1970 [default: so that the last is now]
    #[arg(long, value_name = "MS")]
    pub(crate) start: Option<i64>,
    /// Where to write; the manifest goes into FILE.manifest
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SendFlags {
    /// A file of `rwgen encode`
    pub(crate) file: PathBuf,
    /// Where to send: `http://host:port/path`
    #[arg(long)]
    pub(crate) url: Url,
    /// Connections; fewer than in the file share its queues [default: as encoded]
    #[arg(long)]
    pub(crate) connections: Option<u32>,
    /// Only those requests of the file, `FROM..TO`, counted from 0; either end may be left out [default: all]. So a server may get its
    /// first scrapes in a closed loop, and the rest on a schedule
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    pub(crate) requests: Option<Range<usize>>,
    /// Open loop at that many samples per second; latencies count from the scheduled time
    #[arg(long, value_name = "SAMPLES_PER_SECOND")]
    pub(crate) rate: Option<f64>,
    /// Begin no request after that time
    #[arg(long, value_name = "S")]
    pub(crate) limit_seconds: Option<f64>,
    /// Note which requests were acknowledged
    #[arg(long, value_name = "FILE")]
    pub(crate) acked: Option<PathBuf>,
    /// Go on with the file of `--acked`: what it has is not sent again
    #[arg(long, requires = "acked")]
    pub(crate) resume: bool,
    /// Repeat a request after a 5xx or a broken connection, with backoff
    #[arg(long)]
    pub(crate) retry: bool,
    /// Print the requests that took longest, and when they were acknowledged
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) slowest: usize,
}

#[derive(Debug, Args)]
pub(crate) struct CheckFlags {
    /// A file of `rwgen encode`; FILE.manifest must lie beside it
    pub(crate) file: PathBuf,
    /// Where to read: `http://host:port/api/v1/read`
    #[arg(long)]
    pub(crate) url: Url,
    /// What was acknowledged, as `rwgen send` noted it [default: everything]
    #[arg(long, value_name = "FILE")]
    pub(crate) acked: Option<PathBuf>,
    /// Metric names that are compared, a regular expression
    #[arg(long, default_value = ".+", value_name = "REGEX")]
    pub(crate) metrics: String,
    /// Cut the time into so many remote reads [default: one for each 50 million samples]
    #[arg(long)]
    pub(crate) reads: Option<u64>,
}

fn duration(text: &str) -> Result<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits]
        .parse()
        .with_context(|| format!("`{text}` does not begin with a number"))?;
    let milliseconds = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        other => anyhow::bail!("`{other}` is no unit; there are ms, s, m and h"),
    };
    let milliseconds = milliseconds.filter(|number| (1..=86_400_000).contains(number));
    milliseconds
        .map(Duration::from_millis)
        .context("it must be between 1ms and 24h")
}

fn range(text: &str) -> Result<Range<usize>> {
    let (from, to) = text.split_once("..").context("a range is `FROM..TO`")?;
    let end = |text: &str, missing| {
        if text.is_empty() {
            Ok(missing)
        } else {
            text.parse::<usize>().with_context(|| format!("`{text}` is no number"))
        }
    };
    let range = end(from, 0)?..end(to, usize::MAX)?;
    ensure!(!range.is_empty(), "it holds nothing");
    Ok(range)
}

fn percent(text: &str) -> Result<f64> {
    let number: f64 = text.parse()?;
    ensure!((0.0..=100.0).contains(&number), "it must be between 0 and 100");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let read = |text| duration(text).map_err(|error| error.to_string());
        assert_eq!(read("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(read("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "15", "s", "1d", "0s", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_may_lack_an_end() {
        let read = |text| range(text).ok();
        assert_eq!(read("0..50"), Some(0..50));
        assert_eq!(read("50.."), Some(50..usize::MAX));
        assert_eq!(read("..7"), Some(0..7));
        for wrong in ["", "7", "7..7", "9..8", "a..", "-1..2"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_flags_are_sound() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }
}
