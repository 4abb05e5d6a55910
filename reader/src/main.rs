//! The binary `reader`: the library's command line, and nothing else.

use std::process::ExitCode;

use emberkeep_reader::cli::{self, ReaderCli};
use emberkeep_service::flags;
use emberkeep_service::problem::conclude;

fn main() -> ExitCode {
    let cli: ReaderCli = flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(cli::run(cli)));
    conclude("reader", result)
}
