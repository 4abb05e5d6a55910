//! The binary `receiver`: remote write to parts, as a process of its own.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use emberkeep_receiver::cli::{self, ReceiverArgs};
use emberkeep_service::{flags, problem};

/// Receives Prometheus remote write and brings it into the archive.
#[derive(Debug, Parser)]
#[command(name = "receiver")]
struct Command {
    #[command(flatten)]
    args: ReceiverArgs,
}

fn main() -> ExitCode {
    let run = |args| {
        let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
        let result = runtime.block_on(cli::run(args));
        // Nothing that still blocks holds anything that is not on disk.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    };
    problem::conclude("receiver", run(flags::parse::<Command>().args))
}
