//! Changing what is live: one root adds and removes, all at once (DESIGN §5.4).
//!
//! A change is decided on the newest root and lands as the next one; when another committer was faster, it is decided again on
//! what that one left. So whoever decides must look at what is live, and may find that nothing is left to do. Objects that a root
//! names (manifests, lists of what it removes, masks, locks) exist before it does.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use super::condemned::{CondemnedEntry, CondemnedList, Removal, load_condemned};
use super::load::has_landed;
use super::manifest::{Manifest, ManifestEntry};
use super::{Catalog, Live, Lock, Mask, PartEntry, Quarantined, Root};
use crate::{ArchiveError, Created, names, put_create};

/// How often a lost race is run again.
const ATTEMPTS: usize = 16;

/// Questions to the store that run at the same time.
const PARALLEL_HEADS: usize = 16;

/// What one root adds and takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Parts that become live. Their files are in the store.
    pub add: Vec<PartEntry>,
    /// Parts that stop being live, and why. All of them must be live.
    pub remove: BTreeMap<Removal, Vec<Ulid>>,
    /// Files that belong to no part and are to be deleted.
    pub orphans: Vec<String>,
    /// Deletions that begin; their number is given by the root.
    pub masks: Vec<Mask>,
    /// Deletions that end, by id.
    pub lifted: Vec<String>,
    /// Ranges that are kept from now on.
    pub locks: Vec<Lock>,
    /// Ranges that are released, by id.
    pub released: Vec<String>,
    /// Lists of condemned files whose parts become live again, by name.
    pub restored: Vec<String>,
    /// Lists of condemned files that are deleted, by name.
    pub forgotten: Vec<String>,
    /// Lists that the root names (manifests, condemned files) and that are written anew, by object name. Any other name in it makes a new root
    /// and does nothing else: what the root itself holds is written anew each time.
    pub renewed: BTreeSet<String>,
    /// Parts that cannot be read.
    pub quarantined: Vec<Quarantined>,
    /// Parts that can be read again, by ULID.
    pub cured: Vec<String>,
    /// The least number that a root must have to be readable; never lowered.
    pub floor: u64,
}

impl Change {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Removes a part for a reason.
    pub fn removing(&mut self, why: Removal, part: Ulid) {
        self.remove.entry(why).or_default().push(part);
    }
}

/// Creates the next root from what `decide` says of the newest one; `None` when it says nothing. `decide` is asked again after
/// each lost race. Commit records stay as they are: folding is another change.
///
/// `nonce` must be fresh for each call.
///
/// # Errors
/// As [`Catalog::refresh`]; errors of `decide`; [`ArchiveError::Contended`] when others won every time;
/// [`ArchiveError::Refused`] for a change that adds what is condemned or not there, removes what is not live, or takes what is live for
/// an orphan.
pub async fn apply<E: From<ArchiveError>>(
    catalog: &Catalog,
    nonce: &str,
    now_ms: i64,
    mut decide: impl FnMut(&Live) -> Result<Option<Change>, E>,
) -> Result<Option<Root>, E> {
    let store = &**catalog.store();
    let mut n = 0;
    for _ in 0..ATTEMPTS {
        let live = catalog.look_at_root().await?;
        let Some(change) = decide(&live)?.filter(|change| !change.is_empty()) else {
            return Ok(None);
        };
        let root = write(store, &live, change, nonce, now_ms).await?;
        n = root.n;
        let created = put_create(store, &names::root(n), &root, nonce).await?;
        if created == Created::Ours && has_landed(store, &root).await? {
            return Ok(Some(root));
        }
    }
    let contended = ArchiveError::Contended {
        object: names::root(n).to_string(),
        attempts: ATTEMPTS,
    };
    Err(contended.into())
}

/// Writes what the next root names, and gives that root.
async fn write(
    store: &dyn ObjectStore,
    live: &Live,
    change: Change,
    nonce: &str,
    now_ms: i64,
) -> Result<Root, ArchiveError> {
    let n = live.root_n() + 1;
    let mut root = next_root(live, nonce, now_ms);
    let mut parts: BTreeMap<Ulid, PartEntry> = live.parts().map(|part| (part.ulid, PartEntry::clone(part))).collect();
    let order: Vec<Ulid> = live
        .parts()
        .filter(|part| part.day.is_none())
        .map(|part| part.ulid)
        .collect();
    refuse_missing(store, &change.add).await?;
    let mut added = change.add;
    for name in &change.restored {
        added.extend(take_list(store, &mut root, name).await?);
    }
    refuse_condemned(store, live, &added).await?;
    refuse_live(&parts, &change.orphans)?;
    let mut touched: BTreeSet<i32> = added.iter().filter_map(|part| part.day).collect();
    let by: Vec<String> = added.iter().map(|part| part.ulid.to_string()).collect();
    for (why, ulids) in change.remove {
        let mut list = CondemnedList {
            nonce: nonce.to_owned(),
            why,
            parts: Vec::new(),
            paths: Vec::new(),
            by: if why.is_merge() { by.clone() } else { Vec::new() },
        };
        for ulid in ulids {
            let removed = parts
                .remove(&ulid)
                .ok_or_else(|| refused(format!("part {ulid} is not live")))?;
            touched.extend(removed.day);
            list.parts.push(removed);
        }
        condemn(store, &mut root, list).await?;
    }
    if !change.orphans.is_empty() {
        let list = CondemnedList {
            nonce: nonce.to_owned(),
            why: Removal::Orphan,
            parts: Vec::new(),
            paths: change.orphans,
            by: Vec::new(),
        };
        condemn(store, &mut root, list).await?;
    }
    let new_level0: Vec<Ulid> = added
        .iter()
        .filter(|part| part.day.is_none())
        .map(|part| part.ulid)
        .collect();
    for part in added {
        if parts.contains_key(&part.ulid) {
            return Err(refused(format!("part {} is live already", part.ulid)));
        }
        parts.insert(part.ulid, part);
    }
    root.level0 = order
        .into_iter()
        .chain(new_level0)
        .filter_map(|ulid| parts.get(&ulid).cloned())
        .collect();
    let is_renewed = |entry: &&ManifestEntry| change.renewed.contains(names::manifest(&entry.name).as_ref());
    touched.extend(live.manifests().iter().filter(is_renewed).map(|entry| entry.day));
    root.manifests = manifests(store, live, &parts, &touched, nonce).await?;

    root.masks.retain(|mask| !change.lifted.contains(&mask.id));
    // One that is in force already stays as it is: whoever was not told that it landed asks again.
    for mask in change.masks {
        if root.masks.iter().any(|known| known.id == mask.id) {
            continue;
        }
        put_create(store, &names::mask(&mask.id), &mask, &mask.id).await?;
        root.masks.push(Mask { number: n, ..mask });
    }
    root.locks.retain(|lock| !change.released.contains(&lock.id));
    for lock in change.locks {
        if root.locks.iter().any(|known| known.id == lock.id) {
            continue;
        }
        put_create(store, &names::lock(&lock.id), &lock, &lock.id).await?;
        root.locks.push(lock);
    }
    root.condemned.retain(|entry| !change.forgotten.contains(&entry.name));
    for entry in &mut root.condemned {
        if change.renewed.contains(names::condemned(&entry.name).as_ref()) {
            renew_list(store, entry, nonce).await?;
        }
    }
    let is_there = |entry: &Quarantined| Ulid::from_string(&entry.part).is_ok_and(|ulid| parts.contains_key(&ulid));
    root.quarantined.extend(change.quarantined);
    root.quarantined
        .retain(|entry| is_there(entry) && !change.cured.contains(&entry.part));
    root.floor = root.floor.max(change.floor);
    Ok(root)
}

/// The root after `live` with nothing changed but its number.
fn next_root(live: &Live, nonce: &str, now_ms: i64) -> Root {
    let before = live.root().cloned().unwrap_or_else(Root::empty);
    Root {
        n: before.n + 1,
        nonce: nonce.to_owned(),
        previous: before.nonce.clone(),
        created_at: now_ms,
        ..before
    }
}

/// Takes a list out of the root; the parts that it holds.
async fn take_list(store: &dyn ObjectStore, root: &mut Root, name: &str) -> Result<Vec<PartEntry>, ArchiveError> {
    let position = root.condemned.iter().position(|entry| entry.name == name);
    let position = position.ok_or_else(|| refused(format!("`{}` is condemned no more", names::condemned(name))))?;
    let entry = root.condemned.remove(position);
    Ok(load_condemned(store, &entry).await?.parts)
}

async fn condemn(store: &dyn ObjectStore, root: &mut Root, list: CondemnedList) -> Result<(), ArchiveError> {
    let entry = CondemnedEntry {
        name: Ulid::generate().to_string(),
        why: list.why,
        root: root.n,
        at: root.created_at,
        files: list.all_paths().count() as u64,
        bytes: list.parts.iter().map(PartEntry::bytes).fold(0, u64::saturating_add),
    };
    put_create(store, &names::condemned(&entry.name), &list, &list.nonce).await?;
    root.condemned.push(entry);
    Ok(())
}

/// Writes a list under another name.
async fn renew_list(store: &dyn ObjectStore, entry: &mut CondemnedEntry, nonce: &str) -> Result<(), ArchiveError> {
    let list = CondemnedList {
        nonce: nonce.to_owned(),
        ..load_condemned(store, entry).await?
    };
    entry.name = Ulid::generate().to_string();
    put_create(store, &names::condemned(&entry.name), &list, nonce).await?;
    Ok(())
}

/// A job that stalled until what it wrote was taken for a leftover must not make it live: it may be deleted at any moment.
async fn refuse_condemned(store: &dyn ObjectStore, live: &Live, added: &[PartEntry]) -> Result<(), ArchiveError> {
    if added.is_empty() {
        return Ok(());
    }
    let mut condemned = HashSet::new();
    for entry in live.condemned().iter().filter(|entry| entry.why == Removal::Orphan) {
        condemned.extend(load_condemned(store, entry).await?.paths);
    }
    match added
        .iter()
        .flat_map(|part| &part.files)
        .find(|file| condemned.contains(&file.path))
    {
        Some(file) => Err(refused(format!("`{}` is condemned, its job took too long", file.path))),
        None => Ok(()),
    }
}

/// A job that stalled until its files were condemned, deleted and forgotten finds nothing of that in the newest root. Files that are there
/// now, and are not condemned in the root on which the next one is built, stay there.
async fn refuse_missing(store: &dyn ObjectStore, added: &[PartEntry]) -> Result<(), ArchiveError> {
    let files: Vec<_> = added.iter().flat_map(|part| &part.files).collect();
    let heads = files.into_iter().map(|file| async move {
        let path = file.location()?;
        match store.head(&path).await {
            Ok(found) if found.size == file.bytes => Ok(()),
            Ok(found) => Err(refused(format!(
                "`{path}` has {} bytes and not {}",
                found.size, file.bytes
            ))),
            Err(object_store::Error::NotFound { .. }) => {
                Err(refused(format!("`{path}` is not there, its job took too long")))
            }
            Err(error) => Err(ArchiveError::store(path)(error)),
        }
    });
    futures::stream::iter(heads.collect::<Vec<_>>())
        .buffer_unordered(PARALLEL_HEADS)
        .try_collect()
        .await
}

/// What a live part names is no orphan, whatever a listing says.
fn refuse_live(parts: &BTreeMap<Ulid, PartEntry>, orphans: &[String]) -> Result<(), ArchiveError> {
    let orphans: HashSet<&str> = orphans.iter().map(String::as_str).collect();
    let mut files = parts.values().flat_map(|part| &part.files);
    match files.find(|file| orphans.contains(file.path.as_str())) {
        Some(file) => Err(refused(format!("`{}` is live and no orphan", file.path))),
        None => Ok(()),
    }
}

/// The manifests of the next root: those of touched days are written, the others stay.
async fn manifests(
    store: &dyn ObjectStore,
    live: &Live,
    parts: &BTreeMap<Ulid, PartEntry>,
    touched: &BTreeSet<i32>,
    nonce: &str,
) -> Result<Vec<ManifestEntry>, ArchiveError> {
    let untouched = live.manifests().iter().filter(|entry| !touched.contains(&entry.day));
    let mut entries: Vec<ManifestEntry> = untouched.cloned().collect();
    for &day in touched {
        let of_day = parts.values().filter(|part| part.day == Some(day));
        let manifest = Manifest {
            nonce: nonce.to_owned(),
            day,
            parts: of_day.cloned().collect(),
        };
        if manifest.parts.is_empty() {
            continue;
        }
        let entry = ManifestEntry::of(&manifest);
        put_create(store, &names::manifest(&entry.name), &manifest, nonce).await?;
        entries.push(entry);
    }
    entries.sort_by_key(|entry| entry.day);
    Ok(entries)
}

fn refused(reason: String) -> ArchiveError {
    ArchiveError::Refused(reason)
}
