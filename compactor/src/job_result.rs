//! What a job has made, and how that becomes live: one root, or nothing (DESIGN §5.4).
//!
//! A result is worth nothing until it is committed. It is committed only while all its inputs are live; otherwise another run of the
//! same job, or a removal, was faster, and what it wrote is left to the collection of orphans.

use std::collections::BTreeSet;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Catalog, Change, Live, PartEntry, Removal, Root, Ulid, apply, fresh_nonce};
use serde::{Deserialize, Serialize};

use crate::CompactorError;
use crate::locks::keeps;
use crate::plan::JobKind;

/// What a job has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobResult {
    /// Why it was run.
    pub kind: JobKind,
    /// Own names of the parts that it replaces.
    pub inputs: Vec<Ulid>,
    /// What replaces them; uploaded, read again and found equal to what was meant.
    pub outputs: Vec<PartEntry>,
    /// Rows of the inputs.
    pub rows_read: u64,
    /// Rows of the outputs.
    pub rows_written: u64,
    /// Rows that were there more than once.
    pub duplicates: u64,
    /// Rows that lost against a different one of the same series and timestamp.
    pub conflicts: u64,
    /// Rows and variants of metadata left out because a mask or a rule of retention deletes them.
    pub deleted: u64,
    /// Ids of the masks that were applied.
    pub masks: Vec<String>,
}

/// What became of results.
#[derive(Debug, Default)]
pub struct Landed {
    /// The last root that made some of them live; none when none of them could be.
    pub root: Option<Root>,
    /// How many are live now.
    pub landed: usize,
    /// How many came too late.
    pub dropped: usize,
    /// Why the catalog refuses others, one reason for each: their files are gone, or they name things that cannot be.
    pub refused: Vec<String>,
}

impl JobResult {
    fn is_possible(&self, free: &BTreeSet<Ulid>, live: &Live) -> bool {
        let has_inputs = !self.inputs.is_empty() && self.inputs.iter().all(|input| free.contains(input));
        has_inputs && (self.deleted == 0 || self.may_delete(live))
    }

    /// Whether the rows that it left out may go still: a mask that was lifted and a lock that came meanwhile keep them.
    fn may_delete(&self, live: &Live) -> bool {
        let is_in_force = |id: &String| live.masks().iter().any(|mask| mask.id == *id);
        let is_kept = |part: &Arc<PartEntry>| self.inputs.contains(&part.ulid) && keeps(live.locks(), part);
        self.masks.iter().all(is_in_force) && !live.parts().any(is_kept)
    }

    fn removal(&self) -> Removal {
        match self.deleted {
            0 => Removal::Compacted,
            _ => Removal::Rewritten,
        }
    }
}

/// Makes results live, all in one root; those whose inputs are not live any more are dropped. One that the catalog refuses does not stop the
/// others: they land without it, in some roots more.
///
/// # Errors
/// The store fails, or other committers won every time: committing the same results again is safe.
pub async fn commit_results(catalog: &Catalog, results: &[JobResult], now_ms: i64) -> Result<Landed, CompactorError> {
    let mut landed = Landed::default();
    let mut waiting = Vec::from([results]);
    while let Some(results) = waiting.pop() {
        match land(catalog, results, now_ms, &mut landed).await {
            Ok(()) => {}
            Err(CompactorError::Catalog(ArchiveError::Refused(reason))) => match results.split_at(results.len() / 2) {
                ([], _) => landed.refused.push(reason),
                (first, second) => waiting.extend([second, first]),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(landed)
}

/// Makes results live in one root, or none of them.
async fn land(
    catalog: &Catalog,
    results: &[JobResult],
    now_ms: i64,
    landed: &mut Landed,
) -> Result<(), CompactorError> {
    let mut possible = 0;
    let root = apply(catalog, &fresh_nonce(), now_ms, |live: &Live| {
        let (change, count) = change(live, results);
        possible = count;
        Ok::<_, CompactorError>(Some(change))
    })
    .await?;
    landed.landed += possible;
    landed.dropped += results.len() - possible;
    landed.root = root.or(landed.root.take());
    Ok(())
}

/// The change of those results that are possible together, and their number.
fn change(live: &Live, results: &[JobResult]) -> (Change, usize) {
    let mut free: BTreeSet<Ulid> = live.parts().map(|part| part.ulid).collect();
    let (mut change, mut count) = (Change::default(), 0);
    for result in results {
        let is_new = result.outputs.iter().all(|output| !free.contains(&output.ulid));
        if !is_new || !result.is_possible(&free, live) {
            continue;
        }
        count += 1;
        for input in &result.inputs {
            free.remove(input);
            change.removing(result.removal(), *input);
        }
        change.add.extend(result.outputs.iter().cloned());
    }
    (change, count)
}

#[cfg(test)]
mod tests;
