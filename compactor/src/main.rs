//! The binary `compactor`: the command line of the library, and nothing else.

use std::process::ExitCode;

use clap::Parser;
use emberkeep_compactor::cli::{self, CompactorArgs};
use emberkeep_service::{flags, problem};

/// Emberkeep's compactor: folds commit records into roots.
#[derive(Debug, Parser)]
#[command(name = "compactor")]
struct Cli {
    #[command(flatten)]
    args: CompactorArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    problem::conclude("compactor", cli::run(flags::parse::<Cli>().args).await)
}
