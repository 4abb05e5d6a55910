//! `compactor rebuild`: a lost catalog made anew from the files of the archive.

use clap::Args;
use emberkeep_archive::Rebuild;
use emberkeep_service::problem::Outcome;

use super::keeping::{ArchiveFlags, bytes, say};
use crate::guard::Consent;
use crate::rebuild;

/// `compactor rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Print what would be found, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Rebuild even when the newest root can be read.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

/// Rebuilds, or prints what would become live.
///
/// # Errors
/// A root that can be read, somebody else who works on the archive, and a store that fails.
pub(super) async fn run(args: RebuildArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let found = rebuild::survey(&kept.catalog).await?;
    let mut lines = report(&found);
    if !args.dry_run {
        let root = rebuild::rebuild(&kept.catalog, found, Consent::from(args.yes), kept.now_ms).await?;
        lines.push(match root.floor == root.n {
            true => format!("root {} holds all that; older roots can be read no more", root.n),
            false => format!("root {} holds all that", root.n),
        });
    }
    say(&lines)?;
    Ok(Outcome::Done)
}

fn report(found: &Rebuild) -> Vec<String> {
    let mut lines = vec![match (found.newest_root, found.is_readable) {
        (0, _) => "there is no root".to_owned(),
        (n, true) => format!("root {n} and all that it names can be read"),
        (n, false) => format!("root {n} or something that it names is damaged"),
    }];
    for (path, reason) in &found.unusable {
        lines.push(format!("left out: {path}: {reason}"));
    }
    if !found.unusable.is_empty() {
        lines.push(
            "files that are left out are orphans: copy them away before a collection of orphans deletes them"
                .to_owned(),
        );
    }
    if !found.missed.is_empty() {
        lines.push(format!(
            "{} parts are committed and not live: an earlier rebuild ended too early, the next one makes them live",
            found.missed.len()
        ));
    }
    for part in &found.doubtful {
        lines.push(format!(
            "kept beside its sources, which it may not hold completely: {part}"
        ));
    }
    let size = found
        .parts
        .iter()
        .map(emberkeep_archive::PartEntry::bytes)
        .fold(0, u64::saturating_add);
    let samples = found
        .parts
        .iter()
        .map(emberkeep_archive::PartEntry::samples)
        .fold(0, u64::saturating_add);
    lines.push(format!(
        "{} parts with {} and {samples} samples become live",
        found.parts.len(),
        bytes(size)
    ));
    lines.push(format!(
        "{} parts were merged into others and stay away",
        found.replaced.len()
    ));
    lines.push(format!(
        "{} deletions and {} locks are in force",
        found.masks.len(),
        found.locks.len()
    ));
    for (receiver, mark) in &found.watermarks {
        lines.push(format!(
            "receiver {receiver} goes on after {} in epoch {}",
            mark.seq, mark.epoch
        ));
    }
    lines
}
