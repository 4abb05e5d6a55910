//! Rebuild: a new root from what the files of parts say of themselves, when the roots or manifests are lost (DESIGN §5.8).
//!
//! Only Parquet footers, masks and locks are needed; commit records, claims and lists of what was removed are used where they can be
//! read. In doubt a part is kept: rows that are there twice are one for every reader, rows that are gone are gone. What retention
//! removed and the undelete window still holds comes back, to be removed again; what a mask hides stays hidden, also where the part that
//! was rewritten without it lies beside the one with it.
//!
//! Receivers go on meanwhile. A record that is created after the files were listed may be below the watermark of the new root, so the log
//! is looked at once more when that root is there, and what was missed follows in another one. A receiver that is later still reads the new
//! root and flushes again.

mod described;
mod missed;
mod replaced;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use ulid::Ulid;

use self::described::Described;
use self::missed::{missed, take_in};
use self::replaced::{Settled, settle};
use super::condemned::CondemnedList;
use super::load::{load, newest_root_number, numbered};
use super::manifest::{Manifest, ManifestEntry};
use super::orphans::data_prefixes;
use super::{Catalog, CommitRecord, Lock, Mask, PartEntry, Root, Watermark};
use crate::{ArchiveError, Created, names, put_create};

/// Footers that are read at the same time.
const PARALLEL_READS: usize = 16;

/// What was found, and what the next root would hold.
#[derive(Debug, Clone)]
pub struct Rebuild {
    /// The newest root by its name, which may be damaged; 0 when there is none.
    pub newest_root: u64,
    /// Whether that root and all its manifests can be read: then nothing needs to be rebuilt.
    pub is_readable: bool,
    /// Parts that become live.
    pub parts: Vec<PartEntry>,
    /// Parts that were merged into others and stay as they are, until they are collected.
    pub replaced: Vec<Ulid>,
    /// Parts that name others as their sources without a proof that they hold all of them: both are kept.
    pub doubtful: Vec<Ulid>,
    /// Parts of folded records that the newest root, which can be read, knows nothing of though their files are there: what a rebuild has
    /// left that ended too early.
    pub missed: Vec<PartEntry>,
    /// Files that become part of nothing, and why.
    pub unusable: BTreeMap<String, String>,
    /// Names below the prefixes of parts that are none of ours.
    pub foreign: u64,
    /// How far each receiver's log is taken as folded: far beyond anything that is named.
    pub watermarks: BTreeMap<String, Watermark>,
    /// Deletions in force. They are applied to all parts anew.
    pub masks: Vec<Mask>,
    /// Ranges that nothing may remove.
    pub locks: Vec<Lock>,
    /// Parts with a file that cannot be read.
    pub(super) damaged: BTreeSet<Ulid>,
}

/// The watermark is so far above all that is seen that no receiver reaches it while it is looked: so a record that comes too late for the
/// rebuild is below it, and told from those that were folded, of which the newest never is.
const PASSED_OVER: u64 = 1_000_000;

impl Rebuild {
    /// Looks at everything there is: lists the archive and reads the footer of every file. Nothing is changed.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store does not answer, [`ArchiveError::Key`] when a key is missing or wrong. What is damaged is no
    /// error, but reported.
    pub async fn survey(catalog: &Catalog) -> Result<Self, ArchiveError> {
        let store = &**catalog.store();
        let mut rebuild = Self {
            newest_root: newest_root_number(store).await?,
            is_readable: false,
            parts: Vec::new(),
            replaced: Vec::new(),
            doubtful: Vec::new(),
            missed: Vec::new(),
            unusable: BTreeMap::new(),
            foreign: 0,
            watermarks: BTreeMap::new(),
            masks: objects(store, &names::masks()).await?,
            locks: objects(store, &names::locks()).await?,
            damaged: BTreeSet::new(),
        };
        rebuild.is_readable = rebuild.newest_root > 0 && readable(catalog.look_at_root().await)?;
        let files = rebuild.list(store).await?;
        let paths = files.values().flatten().map(|file| &file.location);
        let numbered_files = paths
            .filter_map(names::parse_level0)
            .map(|(receiver, seq, ..)| (receiver, seq));
        let numbered_files: Vec<(String, u64)> = numbered_files.collect();
        let (entries, sources) = rebuild.describe(catalog.store(), files).await?;
        // What is live first, then what is removed: what is removed in between was live.
        let live = match rebuild.is_readable {
            true => Some(catalog.look_at_root().await?),
            false => None,
        };
        let removed: Vec<CondemnedList> = objects(store, &names::condemned_lists()).await?;
        rebuild.settle(entries, &sources, &removed);
        rebuild.find_watermarks(catalog, numbered_files).await?;
        if let Some(live) = live {
            let mut known: HashSet<Ulid> = live.parts().map(|part| part.ulid).collect();
            known.extend(rebuild.replaced.iter().copied());
            known.extend(removed.iter().flat_map(|list| &list.parts).map(|part| part.ulid));
            rebuild.missed = missed(store, live.root(), &known).await?;
        }
        Ok(rebuild)
    }

    /// Makes live what an earlier rebuild missed, and leaves the rest as it is; `None` when nothing was missed.
    ///
    /// # Errors
    /// As [`apply`](super::apply).
    pub async fn take_in_missed(self, catalog: &Catalog, now_ms: i64) -> Result<Option<Root>, ArchiveError> {
        take_in(catalog, self.missed, now_ms).await
    }

    /// Creates the root. Everything older can be read no more.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when another root was created meanwhile; otherwise as [`Rebuild::survey`].
    pub async fn commit(self, catalog: &Catalog, nonce: &str, now_ms: i64) -> Result<Root, ArchiveError> {
        let store = &**catalog.store();
        let n = self.newest_root + 1;
        let mut days: BTreeMap<i32, Vec<PartEntry>> = BTreeMap::new();
        let known = self.known();
        let mut root = Root {
            n,
            nonce: nonce.to_owned(),
            created_at: now_ms,
            watermarks: self.watermarks,
            // A number that no part can have noted: each mask is applied again, which changes nothing where it was applied.
            masks: self.masks.into_iter().map(|mask| Mask { number: n, ..mask }).collect(),
            locks: self.locks,
            floor: n,
            ..Root::empty()
        };
        for part in self.parts {
            match part.day {
                Some(day) => days.entry(day).or_default().push(part),
                None => root.level0.push(part),
            }
        }
        for (day, parts) in days {
            let manifest = Manifest {
                nonce: nonce.to_owned(),
                day,
                parts,
            };
            let entry = ManifestEntry::of(&manifest);
            put_create(store, &names::manifest(&entry.name), &manifest, nonce).await?;
            root.manifests.push(entry);
        }
        match put_create(store, &names::root(n), &root, nonce).await? {
            Created::Ours => {
                let late = missed(store, Some(&root), &known).await?;
                Ok(take_in(catalog, late, now_ms).await?.unwrap_or(root))
            }
            Created::Theirs(_) => Err(ArchiveError::Refused(format!(
                "root {n} was created meanwhile: somebody else works on this archive"
            ))),
        }
    }

    /// Parts about which it was decided. One that was not whole may only have been listed while it was uploaded.
    fn known(&self) -> HashSet<Ulid> {
        let live = self.parts.iter().map(|part| part.ulid);
        live.chain(self.replaced.iter().copied())
            .chain(self.damaged.iter().copied())
            .collect()
    }

    /// All files of parts, by part.
    async fn list(&mut self, store: &dyn ObjectStore) -> Result<BTreeMap<Ulid, Vec<ObjectMeta>>, ArchiveError> {
        let mut files: BTreeMap<Ulid, Vec<ObjectMeta>> = BTreeMap::new();
        for prefix in data_prefixes() {
            let mut listing = store.list(Some(&prefix));
            while let Some(found) = listing.next().await {
                let found = found.map_err(ArchiveError::store(&prefix))?;
                match ulid_of(&found.location) {
                    Some(ulid) => files.entry(ulid).or_default().push(found),
                    None => self.foreign += 1,
                }
            }
        }
        Ok(files)
    }

    /// Reads the footers; what each part says of itself, and the sources of those that were merged.
    async fn describe(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        files: BTreeMap<Ulid, Vec<ObjectMeta>>,
    ) -> Result<(BTreeMap<Ulid, PartEntry>, BTreeMap<Ulid, Vec<Ulid>>), ArchiveError> {
        let described = futures::stream::iter(files).map(|(ulid, objects)| Described::read(store, ulid, objects));
        let mut described = described.buffer_unordered(PARALLEL_READS);
        let (mut entries, mut sources) = (BTreeMap::new(), BTreeMap::new());
        while let Some(part) = described.next().await {
            let part = part?;
            let (ulid, paths) = (part.ulid, part.paths());
            let is_whole = part.unusable.is_empty();
            self.unusable.extend(part.unusable.clone());
            if !is_whole {
                self.damaged.insert(ulid);
            }
            match part.entry() {
                Ok((entry, of)) if is_whole => {
                    sources.extend(of.map(|of| (ulid, of)));
                    entries.insert(ulid, entry);
                }
                Ok(_) => self.refuse(paths, "another file of its part cannot be read"),
                Err(reason) => self.refuse(paths, &reason),
            }
        }
        Ok((entries, sources))
    }

    fn refuse(&mut self, paths: Vec<String>, reason: &str) {
        self.unusable
            .extend(paths.into_iter().map(|path| (path, reason.to_owned())));
    }

    /// Decides which parts are live: all but those of which it is sure that others hold all their rows.
    fn settle(
        &mut self,
        mut entries: BTreeMap<Ulid, PartEntry>,
        sources: &BTreeMap<Ulid, Vec<Ulid>>,
        removed: &[CondemnedList],
    ) {
        let Settled { replaced, doubtful } = settle(&entries, sources, removed);
        entries.retain(|ulid, _| !replaced.contains(ulid));
        self.doubtful = doubtful;
        self.replaced = replaced.into_iter().collect();
        self.parts = entries.into_values().collect();
    }

    /// The greatest sequence of each receiver that anything names: a file, or a record.
    async fn find_watermarks(
        &mut self,
        catalog: &Catalog,
        numbered_files: Vec<(String, u64)>,
    ) -> Result<(), ArchiveError> {
        let store = &**catalog.store();
        let epochs = catalog.epochs().await?;
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let of_log = numbered(store, &names::log(), names::parse_log_record).await?;
        for (receiver, seq) in numbered_files.into_iter().chain(of_log) {
            let greatest = seen.entry(receiver).or_insert(0);
            *greatest = seq.max(*greatest);
        }
        for (receiver, seq) in seen {
            let epoch = match load::<CommitRecord>(store, &names::log_record(&receiver, seq)).await {
                Ok(record) => record.epoch,
                Err(error) if is_no_damage(&error) => return Err(error),
                // The greatest that was claimed: whoever holds it may go on, and nobody before it.
                Err(_) => epochs.get(&receiver).copied().unwrap_or(0),
            };
            let seq = seq.saturating_add(PASSED_OVER);
            self.watermarks.insert(receiver, Watermark { seq, epoch });
        }
        Ok(())
    }
}

/// The part to which a file belongs, by its name.
fn ulid_of(path: &Path) -> Option<Ulid> {
    let level0 = names::parse_level0(path).map(|(_, _, ulid, _)| ulid);
    level0.or_else(|| names::parse_compacted(path).map(|(_, _, _, ulid)| ulid))
}

/// All objects of a folder that can be read.
async fn objects<T: crate::envelope::CatalogObject>(
    store: &dyn ObjectStore,
    prefix: &Path,
) -> Result<Vec<T>, ArchiveError> {
    let listed: Vec<ObjectMeta> = store
        .list(Some(prefix))
        .try_collect()
        .await
        .map_err(ArchiveError::store(prefix))?;
    let mut objects = Vec::new();
    for object in listed {
        match load(store, &object.location).await {
            Ok(object) => objects.push(object),
            Err(error) if is_no_damage(&error) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(objects)
}

/// Whether a look at the newest root ended well; damage is an answer, a store that fails is none.
fn readable<T>(look: Result<T, ArchiveError>) -> Result<bool, ArchiveError> {
    match look {
        Ok(_) => Ok(true),
        Err(error @ ArchiveError::NewerVersion { .. }) => Err(error),
        Err(error) if is_no_damage(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether an object may be as good as ever, and only cannot be read now: the store fails, or its key is missing or wrong.
fn is_no_damage(error: &ArchiveError) -> bool {
    match error {
        ArchiveError::Store { .. } => !error.is_not_found(),
        ArchiveError::Key { .. } => true,
        _ => false,
    }
}
