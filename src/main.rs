//! The program `emberkeep`: receiver, compactor and reader in one process, or any of them alone.
//!
//! It wires the three libraries together and holds no logic of theirs. The command lines of the parts are those of their own
//! binaries, so `emberkeep reader export-tsdb ...` and `reader export-tsdb ...` are the same.

mod everything;
mod snippet;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use emberkeep_compactor::cli::CompactorArgs;
use emberkeep_reader::cli::ReaderCli;
use emberkeep_receiver::cli::ReceiverArgs;
use emberkeep_service::problem::Outcome;
use emberkeep_service::{flags, problem};

use crate::everything::EverythingFlags;

/// A continuous archive for Prometheus. Without a command it runs receiver, compactor and reader in one process.
#[derive(Debug, Parser)]
#[command(name = "emberkeep", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    everything: EverythingFlags,
}

/// One part alone.
#[derive(Debug, Subcommand)]
enum Part {
    /// Takes remote write and brings it into the archive.
    Receiver(Box<ReceiverArgs>),
    /// Folds commit records into roots.
    Compactor(Box<CompactorArgs>),
    /// Answers remote read, and exports blocks.
    Reader(Box<ReaderCli>),
}

fn main() -> ExitCode {
    problem::conclude("emberkeep", run(flags::parse()))
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(async {
        match cli.part {
            None => everything::run(&cli.everything).await,
            Some(Part::Receiver(args)) => emberkeep_receiver::cli::run(*args).await,
            Some(Part::Compactor(args)) => emberkeep_compactor::cli::run(*args).await,
            Some(Part::Reader(args)) => emberkeep_reader::cli::run(*args).await,
        }
    });
    // Not waiting for threads that still work, such as a flush: the log and the staging folder are made to be left at any
    // moment, and the end must come within its budget.
    runtime.shutdown_background();
    result
}
