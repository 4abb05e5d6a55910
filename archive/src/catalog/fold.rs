//! The committer's side of the catalog: new commit records become the next root (DESIGN §5.3).
//!
//! Any number of committers may run; whoever creates root n+1 wins, and the others load it and start over. Nothing rests on a
//! lease, and nothing is lost when a fold is interrupted anywhere.

use std::collections::BTreeMap;

use object_store::ObjectStore;

use super::load::has_landed;
use super::view::Known;
use super::{Catalog, Root, Watermark};
use crate::{ArchiveError, Created, names, put_create};

/// How often a lost race is run again.
const ATTEMPTS: usize = 16;

/// Folds the records above the watermarks into a new root; `None` when there are none. Only contiguous numbers are folded: a gap
/// means that the log is not wholly visible, and a watermark past it would hide the missing record for ever.
///
/// `nonce` must be fresh for each call.
///
/// # Errors
/// As [`Catalog::refresh`]; [`ArchiveError::Contended`] when others won every time.
pub async fn fold(
    store: &dyn ObjectStore,
    catalog: &Catalog,
    nonce: &str,
    now_ms: i64,
) -> Result<Option<Root>, ArchiveError> {
    let mut n = 0;
    for _ in 0..ATTEMPTS {
        let known = catalog.look_for_fold().await?;
        let Some(root) = next_root(&known, nonce, now_ms) else {
            return Ok(None);
        };
        n = root.n;
        let created = put_create(store, &names::root(n), &root, nonce).await?;
        if created == Created::Ours && has_landed(store, &root).await? {
            return Ok(Some(root));
        }
    }
    Err(ArchiveError::Contended {
        object: names::root(n).to_string(),
        attempts: ATTEMPTS,
    })
}

fn next_root(known: &Known, nonce: &str, now_ms: i64) -> Option<Root> {
    let ends = known.contiguous();
    let before = known.root.as_ref().map(|known| &known.root);
    let mut watermarks: BTreeMap<String, Watermark> = before.map(|root| root.watermarks.clone()).unwrap_or_default();
    let is_folded = |receiver: &str, seq: u64| ends.get(receiver).is_some_and(|end| seq <= *end);
    let mut any = false;
    for ((receiver, seq), record) in known
        .unfolded
        .iter()
        .filter(|((receiver, seq), _)| is_folded(receiver, *seq))
    {
        any = true;
        let mark = watermarks
            .entry(receiver.clone())
            .or_insert(Watermark { seq: 0, epoch: 0 });
        mark.seq = mark.seq.max(*seq);
        mark.epoch = mark.epoch.max(record.record.epoch);
    }
    any.then(|| Root {
        n: before.map_or(1, |root| root.n + 1),
        nonce: nonce.to_owned(),
        previous: before.map_or_else(String::new, |root| root.nonce.clone()),
        created_at: now_ms,
        watermarks,
        level0: known
            .level0(is_folded)
            .iter()
            .map(|part| part.as_ref().clone())
            .collect(),
        ..before.cloned().unwrap_or_else(Root::empty)
    })
}
