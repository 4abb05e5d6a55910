//! The binary `receiver`: remote write to parts, as a process of its own.

use std::process::ExitCode;

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

#[tokio::main]
async fn main() -> ExitCode {
    problem::conclude("receiver", cli::run(flags::parse::<Command>().args).await)
}
