//! `readback`: reads a range of time back through streamed remote read, and counts.
//!
//! With `--expect` another number of samples is an error: a figure of an incomplete answer would be none.

use std::io::Write;

use anyhow::{Result, ensure};
use clap::Parser;
use emberkeep_benches::{Streamed, Url};
use emberkeep_proto::messages::prometheus::{LabelMatcher, label_matcher};

/// Reads everything of a range back, and prints the rate.
#[derive(Debug, Parser)]
struct Flags {
    /// Where to read: `http://host:port/path`.
    #[arg(long, default_value = "http://127.0.0.1:9201/api/v1/read")]
    url: Url,
    /// First moment, milliseconds since 1970.
    #[arg(long)]
    start: i64,
    /// Last moment, inclusive.
    #[arg(long)]
    end: i64,
    /// Regular expression of the metric names.
    #[arg(long, default_value = ".+")]
    metrics: String,
    /// Number of samples that there must be.
    #[arg(long)]
    expect: Option<u64>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let matcher = LabelMatcher {
        r#type: label_matcher::Type::Re.into(),
        name: "__name__".to_owned(),
        value: flags.metrics.clone(),
    };
    let count = Streamed::read(&flags.url, vec![matcher], flags.start, flags.end)?;
    if let Some(expected) = flags.expect {
        ensure!(
            count.samples == expected,
            "{} samples came back, not {expected}",
            count.samples
        );
    }
    let seconds = count.whole.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "samples={} series={} chunks={} bytes={} seconds={seconds:.3} samples_per_second={:.0} first_byte_ms={:.1}",
        count.samples,
        count.series,
        count.chunks,
        count.bytes,
        count.samples as f64 / seconds,
        count.first_byte.as_secs_f64() * 1000.0,
    )?;
    Ok(())
}
