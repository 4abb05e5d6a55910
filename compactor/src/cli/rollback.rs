//! `compactor rollback`: removals are taken back, receipts never.

use anyhow::Context;
use clap::Args;
use emberkeep_service::problem::Outcome;
use emberkeep_service::time_expr;

use super::keeping::{ArchiveFlags, bytes, say};
use crate::undo::{self, Target, Undo};

/// `compactor rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    #[command(flatten)]
    target: TargetFlags,
    /// Print what would come back, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Where to go back to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetFlags {
    /// Undo every removal after this root.
    #[arg(long, value_name = "N")]
    to_root: Option<u64>,
    /// Undo every removal after the root that was the newest then: RFC 3339, unix seconds or `-2h`.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

/// Takes removals back, or prints what would come back.
///
/// # Errors
/// A root that there never was, or whose files are deleted; a store that fails.
pub(super) async fn run(args: RollbackArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let target = match (&args.target.to, args.target.to_root) {
        (Some(text), _) => Target::Time(time_expr::parse(text, kept.now_ms).context("--to")?),
        (None, root) => Target::Root(root.context("neither `--to-root` nor `--to`")?),
    };
    let undo = if args.dry_run {
        undo::preview(&kept.catalog, target).await?
    } else {
        undo::undo(&kept.catalog, target, kept.now_ms).await?
    };
    say(&report(&undo, args.dry_run))?;
    Ok(Outcome::Done)
}

fn report(undo: &Undo, dry_run: bool) -> Vec<String> {
    let target = undo.target;
    if undo.undone.is_empty() {
        return vec![format!("nothing was removed since root {target}")];
    }
    let verb = if dry_run { "would bring" } else { "brought" };
    let undone = &undo.undone;
    let reasons = undo
        .reasons
        .iter()
        .map(|(why, files)| format!("{files} {}", why.as_str()));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!(
        "{verb} back what was removed since root {target}: {} files ({reasons}) with {}, and lifted {} deletions",
        undone.files,
        bytes(undone.bytes),
        undone.masks.len()
    )];
    lines.extend(undone.masks.iter().map(|id| format!("deletion {id} holds no more")));
    if let Some(root) = undo.root {
        lines.push(format!("root {root} has it; what was received since is untouched"));
    }
    if undo.would_go_again() {
        lines.push(
            "the next run of retention or quota takes it away again: change the configuration, or `compactor lock` the range"
                .to_owned(),
        );
    }
    lines
}
