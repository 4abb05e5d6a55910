//! `compactor collect`: what the loop does now and then, at once.

use std::path::PathBuf;

use clap::Args;
use emberkeep_archive::collect;
use emberkeep_service::problem::Outcome;

use super::keeping::{ArchiveFlags, bytes, say};
use crate::orphans::{self, LEFTOVER_AGE};

/// `compactor collect`.
#[derive(Debug, Args)]
pub struct CollectArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Also list the whole archive and condemn the files that nothing names.
    #[arg(long)]
    orphans: bool,
    /// Print orphans, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Collects.
///
/// # Errors
/// A store that fails.
pub(super) async fn run(args: CollectArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let retention = kept.retention()?;
    if args.dry_run {
        let found = emberkeep_archive::find_orphans(&kept.catalog, kept.now_ms).await?;
        let mut lines = found.paths.clone();
        lines.push(format!(
            "{} of {} files with {} belong to nothing; {} are too young to tell",
            found.paths.len(),
            found.listed,
            bytes(found.bytes),
            found.young
        ));
        say(&lines)?;
        return Ok(Outcome::Done);
    }
    let mut lines = Vec::new();
    if args.orphans {
        let found = orphans::search(&kept.catalog, &orphans::OrphanMetrics::default(), kept.now_ms).await?;
        lines.push(format!(
            "{} of {} files belong to nothing and are condemned, {}",
            found.paths.len(),
            found.listed,
            bytes(found.bytes)
        ));
        // A directory is located by its absolute path, a bucket by a URL.
        let location = PathBuf::from(kept.store.location(""));
        if location.is_absolute() {
            let removed = orphans::remove_unfinished(&location, LEFTOVER_AGE)?;
            lines.push(format!("removed {removed} unfinished files of dead processes"));
        }
    }
    let collected = collect(&kept.catalog, &retention.collect_settings(), kept.now_ms).await?;
    lines.push(format!(
        "deleted {} files with {}, {} commit records, {} roots, {} leftovers; {} lists wait for a reader",
        collected.files,
        bytes(collected.bytes),
        collected.records,
        collected.roots,
        collected.leftovers,
        collected.pinned
    ));
    say(&lines)?;
    Ok(Outcome::Done)
}
