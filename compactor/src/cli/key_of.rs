//! `compactor key-of FILE`: the key of one encrypted file, so that another program can read that file.
//!
//! It must never print a master key, and says on stderr what it has given away.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use emberkeep_archive::{KeyPurpose, file_stamp};
use emberkeep_service::problem::Outcome;

use super::keeping::ArchiveFlags;

/// `compactor key-of`.
#[derive(Debug, Args)]
pub struct KeyOfArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// The file, as it is called in the archive or with the archive's place before it.
    #[arg(value_name = "FILE")]
    file: String,
}

/// Prints the key as 64 hexadecimal digits.
///
/// # Errors
/// The file is not there, is not encrypted, or its master key is missing.
pub(super) async fn run(args: &KeyOfArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let place = kept.store.location("");
    let name = args
        .file
        .strip_prefix(&place)
        .unwrap_or(&args.file)
        .trim_start_matches('/');
    let stamp = file_stamp(&**kept.catalog.store(), name).await?;
    let stamp = stamp.with_context(|| format!("`{name}` is not encrypted"))?;
    let key = kept.store.keys().derived(&stamp, KeyPurpose::File)?;
    tracing::warn!(
        file = name,
        key = stamp.key(),
        "whoever has what is printed now can read this file, and nothing else"
    );
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", *key.reveal_hex()).context("standard output")?;
    Ok(Outcome::Done)
}
