//! `compactor store check`: whether an object store does what an archive rests on, before it holds one or when it is doubted.
//!
//! It may be run on a bucket that is in use: it works in a folder of its own and removes it. It must never need more than the store.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};
use emberkeep_archive::{StoreConfig, StoreFinding, check_store};
use emberkeep_service::flags::{ConfigFileFlag, LogFlags, ObjstoreFlags, StorageFlags};
use emberkeep_service::logs;
use emberkeep_service::problem::Outcome;

/// `compactor store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Do everything once that an archive rests on, below `_archive/check/`: creations of which one wins, listings, ranged reads, uploads in
    /// parts, deletions. One line for each check; exit 0 when the store can hold an archive.
    Check(CheckFlags),
}

/// `compactor store check`.
#[derive(Debug, Args)]
pub struct CheckFlags {
    #[command(flatten)]
    config_file: ConfigFileFlag,
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    objstore: ObjstoreFlags,
}

/// Does what the command line says.
///
/// # Errors
/// A configuration that cannot be used, a store that is unfit, or one that could not be checked.
pub(super) async fn run(command: &StoreCommand) -> anyhow::Result<Outcome> {
    let StoreCommand::Check(flags) = command;
    let file = flags.config_file.load()?;
    let (level, format) = flags.log.resolve(&file);
    logs::init(level, format)?;
    let config = match flags.objstore.resolve(&file)? {
        Some(config) => StoreConfig::parse(&config.yaml).with_context(|| config.place)?,
        None => StoreConfig::directory(flags.storage.resolve(&file).join("archive")),
    };
    let place = config.location("");
    let checked = check_store(&config.open()?, tell).await;
    checked.with_context(|| format!("`{place}`"))?;
    Ok(Outcome::Done)
}

/// One line on standard output. When nobody reads it the exit code still says how it ended.
fn tell(finding: &StoreFinding) {
    let line = match &finding.trouble {
        None => format!("ok    {}\n", finding.check),
        Some(trouble) => format!("FAIL  {}: {trouble}\n", finding.check),
    };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
