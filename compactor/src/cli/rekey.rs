//! `compactor rekey`: everything under the key that is written with, and which old keys must be kept, until when.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use clap::Args;
use emberkeep_archive::KeyUse;
use emberkeep_service::clock::SystemClock;
use emberkeep_service::problem::Outcome;

use super::CompactFlags;
use super::keeping::{ArchiveFlags, bytes, moment, say};
use crate::PlanSettings;
use crate::rekey::{Rekey, Rekeyed, StillNeeded, still_needed};

/// `compactor rekey`.
#[derive(Debug, Args)]
pub struct RekeyArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Print what lies under another key, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Changes keys, or prints what lies under which.
///
/// # Errors
/// A key that is missing, a store that fails.
pub(super) async fn run(args: &RekeyArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let write = kept.store.keys().write_id().map(str::to_owned);
    let mut lines = Vec::new();
    if !args.dry_run {
        let merger = CompactFlags::default().job_merger(Arc::clone(kept.catalog.store()), &kept.storage_path);
        let rekey = Rekey {
            catalog: &kept.catalog,
            merger: &merger,
            plan: PlanSettings::default(),
            clock: &SystemClock,
        };
        let done = rekey.run().await?;
        lines.extend(told(&done));
    }
    let found = KeyUse::survey(&kept.catalog, &mut HashMap::new()).await?;
    let needed = still_needed(&found, write.as_deref(), kept.retention()?.undelete_window);
    lines.extend(report(write.as_deref(), &needed, kept.store.keys().ids()));
    say(&lines)?;
    // What waits for a date goes by itself; what does not is something to look at, unless it was only looked.
    let is_left = !args.dry_run && needed.iter().any(|needed| needed.until.is_none());
    Ok(match is_left {
        true => Outcome::DifferenceFound,
        false => Outcome::Done,
    })
}

fn told(done: &Rekeyed) -> Vec<String> {
    let root = done.root.map_or_else(String::new, |root| format!(", root {root}"));
    let mut lines = vec![format!(
        "written again: {} parts with {}, {} objects of the catalog{root}",
        done.parts,
        bytes(done.bytes),
        done.objects
    )];
    if done.denied > 0 {
        lines.push(format!(
            "{} objects stay as they are: the store does not let this program write them (deploy/iam/rekey.json is the policy that does)",
            done.denied
        ));
    }
    lines.extend(
        done.left
            .iter()
            .map(|(part, reason)| format!("part {part} stays as it is: {reason}")),
    );
    lines
}

fn report<'a>(write: Option<&str>, needed: &[StillNeeded], configured: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines = vec![match write {
        Some(key) => format!("key `{key}` is written with"),
        None => "what is written is clear".to_owned(),
    }];
    let keys: BTreeSet<&Option<String>> = needed.iter().map(|needed| &needed.key).collect();
    for key in keys {
        lines.push(match key {
            Some(key) => format!("key `{key}` is still needed: keep it configured"),
            None => "still clear:".to_owned(),
        });
        lines.extend(needed.iter().filter(|needed| needed.key == *key).map(line));
    }
    for key in configured.filter(|key| Some(*key) != write) {
        if !needed.iter().any(|needed| needed.key.as_deref() == Some(key)) {
            lines.push(format!("key `{key}` is needed by nothing in the archive"));
        }
    }
    if !needed.is_empty() {
        lines.push(
            "what has a date goes with the next collection after it; the logs of receivers are not looked at, what they held when their key \
             was changed goes with the next flush; `rekey --dry-run` says how things are"
                .to_owned(),
        );
    }
    lines
}

fn line(needed: &StillNeeded) -> String {
    let size = match needed.bytes {
        0 => String::new(),
        n => format!(" with {}", bytes(n)),
    };
    let until = needed.until.map_or_else(
        || "until they are written again".to_owned(),
        |until| format!("until {}", moment(until)),
    );
    format!("  {} {}{size}, {until}", needed.count, needed.what)
}
