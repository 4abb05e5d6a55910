//! `compactor scrub`: reads files again at once, whatever the schedule says.

use clap::Args;
use emberkeep_service::problem::Outcome;
use emberkeep_service::size;

use super::keeping::{ArchiveFlags, bytes, moment, say};
use crate::scrub::{ScrubMetrics, Scrubbed, scrub};

/// What is read before what was found is kept.
const STEP_BYTES: u64 = 1 << 30;

/// `compactor scrub`.
#[derive(Debug, Args)]
pub struct ScrubArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Read so much, the parts that wait longest first [default: everything].
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    bytes: Option<u64>,
}

/// Reads files again. Damage ends it with code 2.
///
/// # Errors
/// A store that fails.
pub(super) async fn run(args: ScrubArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let all = kept.catalog.live().await?.bytes();
    let budget = args.bytes.unwrap_or(all);
    let metrics = ScrubMetrics::default();
    let mut scrubbed = Scrubbed::default();
    // In steps, so that a scrub that is interrupted goes on where it was.
    while scrubbed.bytes < budget && scrubbed.oldest_unverified.is_none_or(|oldest| oldest < kept.now_ms) {
        let step = STEP_BYTES.min(budget - scrubbed.bytes);
        let more = scrub(&kept.catalog, step, &metrics, kept.now_ms).await?;
        if more.parts == 0 {
            break;
        }
        scrubbed.add(more);
    }
    let mut lines: Vec<String> = scrubbed
        .damaged
        .iter()
        .map(|(part, reason)| format!("damaged: {part}: {reason}"))
        .collect();
    lines.push(format!(
        "read {} parts with {}, {} are damaged",
        scrubbed.parts,
        bytes(scrubbed.bytes),
        scrubbed.damaged.len()
    ));
    if let Some(at) = scrubbed.oldest_unverified {
        lines.push(format!("the part that waits longest does since {}", moment(at)));
    }
    say(&lines)?;
    Ok(if scrubbed.damaged.is_empty() {
        Outcome::Done
    } else {
        Outcome::DifferenceFound
    })
}
