//! What is in folded commit records and not in the catalog: looked for by a rebuild when its root is there.
//!
//! It must never bring back what was merged or removed: whoever asks says which parts are known.

use std::collections::{BTreeMap, HashSet};

use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use super::is_no_damage;
use crate::catalog::commit::load_record;
use crate::catalog::load::list_log;
use crate::catalog::{Catalog, Change, PartEntry, Root, apply};
use crate::{ArchiveError, fresh_nonce};

/// Parts of records at or below the watermarks that are not known and whose files are there.
pub(super) async fn missed(
    store: &dyn ObjectStore,
    root: Option<&Root>,
    known: &HashSet<Ulid>,
) -> Result<Vec<PartEntry>, ArchiveError> {
    let mut missed: BTreeMap<Ulid, PartEntry> = BTreeMap::new();
    for (receiver, seq) in list_log(store).await? {
        let marks = root.and_then(|root| root.watermarks.get(&receiver));
        if marks.is_none_or(|mark| seq > mark.seq) {
            continue;
        }
        let record = match load_record(store, &receiver, seq).await {
            Ok(record) => record,
            Err(error) if is_no_damage(&error) => return Err(error),
            // It is collected, or damaged; its files were listed all the same.
            Err(_) => continue,
        };
        let committed_at = record.committed_at;
        for part in record.parts.into_iter().filter(|part| !known.contains(&part.ulid)) {
            if is_there(store, &part).await? {
                missed.insert(part.ulid, PartEntry { committed_at, ..part });
            }
        }
    }
    Ok(missed.into_values().collect())
}

/// Makes parts live that are not yet; `None` when there are none.
pub(super) async fn take_in(
    catalog: &Catalog,
    parts: Vec<PartEntry>,
    now_ms: i64,
) -> Result<Option<Root>, ArchiveError> {
    if parts.is_empty() {
        return Ok(None);
    }
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        let known = live.by_ulid();
        let is_new = |part: &&PartEntry| !known.contains_key(&part.ulid);
        Ok::<_, ArchiveError>(Some(Change {
            add: parts.iter().filter(is_new).cloned().collect(),
            ..Change::default()
        }))
    });
    root.await
}

/// Whether all files of a part are there in their full size.
async fn is_there(store: &dyn ObjectStore, part: &PartEntry) -> Result<bool, ArchiveError> {
    for file in &part.files {
        let path = file.location()?;
        match store.head(&path).await {
            Ok(found) if found.size == file.bytes => {}
            Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(ArchiveError::store(path)(error)),
        }
    }
    Ok(true)
}
