//! Files that nothing names: found by listing everything, which normal work never does (DESIGN §5.6).
//!
//! An interrupted flush or merge leaves files behind. They cost space and nothing else, so this may run rarely. A file is an orphan
//! only when it can never become live: one of level 0 when the record of its sequence is folded and does not name it, any other one when
//! it is so old that no job can still be about to name it. And what is found is first condemned, so that a root that adds it is refused
//! and a mistake can be found before anything is deleted.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::condemned::load_condemned;
use super::load::numbered;
use super::{Catalog, Change, Live, Pin, Root, apply, pin};
use crate::{ArchiveError, FileKind, fresh_nonce, names};

/// A file of level 1 and above that no root names may still be about to be named when it is younger. Far longer than any job.
const COMPACTED_AFTER: Duration = Duration::from_secs(86_400);

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Object names of the files that belong to nothing.
    pub paths: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were looked at.
    pub listed: u64,
    /// Files that are nobody's yet and may still become live.
    pub young: u64,
    /// Names below the prefixes of parts that are none of ours. They are left alone.
    pub foreign: u64,
    /// The root that condemned them; none when it was only looked.
    pub root: Option<u64>,
}

/// Looks for orphans. Lists all data; nothing is changed.
///
/// # Errors
/// As [`Catalog::refresh`].
pub async fn find_orphans(catalog: &Catalog, now_ms: i64) -> Result<Orphans, ArchiveError> {
    // Files first, the root after them: what is committed in between is live then.
    let files = data_files(catalog).await?;
    let live = catalog.look_at_root().await?;
    let mut known = live_paths(&live);
    for entry in live.condemned() {
        match load_condemned(&**catalog.store(), entry).await {
            Ok(list) => known.extend(list.all_paths().map(str::to_owned)),
            // It is being deleted, and its files are gone or will be.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let mut orphans = Orphans::default();
    for object in files {
        orphans.listed += 1;
        if known.contains(object.location.as_ref()) {
            continue;
        }
        match state_of(&object.location, live.root(), now_ms) {
            State::Foreign => orphans.foreign += 1,
            State::Young => orphans.young += 1,
            State::Orphan => {
                orphans.bytes = orphans.bytes.saturating_add(object.size);
                orphans.paths.push(object.location.to_string());
            }
        }
    }
    orphans.paths.sort();
    Ok(orphans)
}

/// Looks for orphans and condemns them; they are deleted after the undelete window.
///
/// # Errors
/// As [`find_orphans`] and [`apply`].
pub async fn condemn_orphans(catalog: &Catalog, now_ms: i64) -> Result<Orphans, ArchiveError> {
    let mut orphans = find_orphans(catalog, now_ms).await?;
    let found = std::mem::take(&mut orphans.paths);
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        let known = live_paths(live);
        orphans.paths = found.iter().filter(|path| !known.contains(*path)).cloned().collect();
        Ok::<_, ArchiveError>(Some(Change {
            orphans: orphans.paths.clone(),
            ..Change::default()
        }))
    });
    orphans.root = root.await?.map(|root| root.n);
    Ok(orphans)
}

/// All files of parts.
async fn data_files(catalog: &Catalog) -> Result<Vec<ObjectMeta>, ArchiveError> {
    let mut files = Vec::new();
    for prefix in data_prefixes() {
        let listed: Vec<ObjectMeta> = catalog
            .store()
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(ArchiveError::store(&prefix))?;
        files.extend(listed);
    }
    Ok(files)
}

/// Where files of parts lie.
pub(super) fn data_prefixes() -> impl Iterator<Item = Path> {
    std::iter::once(names::level0_files()).chain(FileKind::ALL.into_iter().map(names::compacted_files))
}

fn live_paths(live: &Live) -> HashSet<String> {
    let files = live.parts().flat_map(|part| &part.files);
    files.map(|file| file.path.clone()).collect()
}

enum State {
    Foreign,
    Young,
    Orphan,
}

fn state_of(path: &Path, root: Option<&Root>, now_ms: i64) -> State {
    if let Some((receiver, seq, ..)) = names::parse_level0(path) {
        let folded = root
            .and_then(|root| root.watermarks.get(&receiver))
            .map_or(0, |mark| mark.seq);
        return if seq <= folded { State::Orphan } else { State::Young };
    }
    let Some((.., ulid)) = names::parse_compacted(path) else {
        return State::Foreign;
    };
    let made = i64::try_from(ulid.timestamp_ms()).unwrap_or(i64::MAX);
    let age = i64::try_from(COMPACTED_AFTER.as_millis()).unwrap_or(i64::MAX);
    if made.saturating_add(age) <= now_ms {
        State::Orphan
    } else {
        State::Young
    }
}

impl Catalog {
    /// All pins that exist, expired ones too.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn pins(&self) -> Result<Vec<Pin>, ArchiveError> {
        pin::pins(&**self.store()).await
    }

    /// The greatest epoch that each receiver claimed. One listing.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn epochs(&self) -> Result<BTreeMap<String, u64>, ArchiveError> {
        let mut epochs = BTreeMap::new();
        for (receiver, n) in numbered(&**self.store(), &names::receivers(), names::parse_epoch).await? {
            let greatest = epochs.entry(receiver).or_insert(0);
            *greatest = n.max(*greatest);
        }
        Ok(epochs)
    }
}

/// Deletes the objects of masks that are lifted: a rebuilt catalog must not delete again what was taken back.
///
/// # Errors
/// [`ArchiveError::Store`] when the store does not delete.
pub async fn forget_masks(catalog: &Catalog, ids: &[String]) -> Result<(), ArchiveError> {
    forget(catalog, ids.iter().map(|id| names::mask(id))).await
}

/// Deletes the objects of locks that are released.
///
/// # Errors
/// [`ArchiveError::Store`] when the store does not delete.
pub async fn forget_locks(catalog: &Catalog, ids: &[String]) -> Result<(), ArchiveError> {
    forget(catalog, ids.iter().map(|id| names::lock(id))).await
}

async fn forget(catalog: &Catalog, paths: impl Iterator<Item = Path>) -> Result<(), ArchiveError> {
    let mut paths = futures::stream::iter(paths);
    while let Some(path) = paths.next().await {
        match catalog.store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(ArchiveError::store(path)(error)),
        }
    }
    Ok(())
}
