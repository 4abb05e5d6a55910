//! Rebuild: a new root from what the files of parts say of themselves, when the roots or manifests are lost (DESIGN §5.8).
//!
//! Only Parquet footers, masks and locks are needed; commit records, claims and lists of what was removed are used where they can be
//! read. In doubt a part is kept: rows that are there twice are one for every reader, rows that are gone are gone. What retention
//! removed and the undelete window still holds comes back, to be removed again; what a mask hides stays hidden.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use ulid::Ulid;

use super::condemned::{CondemnedList, Removal};
use super::load::{load, newest_root_number, numbered};
use super::manifest::{Manifest, ManifestEntry};
use super::orphans::data_prefixes;
use super::{Catalog, CommitRecord, FileEntry, Lock, Mask, PartEntry, Root, Watermark};
use crate::part::{DescribedFile, PartOrigin, part_number};
use crate::{ArchiveError, Created, FileKind, names, put_create};

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
    /// Files that become part of nothing, and why.
    pub unusable: BTreeMap<String, String>,
    /// Names below the prefixes of parts that are none of ours.
    pub foreign: u64,
    /// How far each receiver's log is taken as folded.
    pub watermarks: BTreeMap<String, Watermark>,
    /// Deletions in force. They are applied to all parts anew.
    pub masks: Vec<Mask>,
    /// Ranges that nothing may remove.
    pub locks: Vec<Lock>,
}

/// Files of one part as listed and described.
type Described = Vec<(String, u64, DescribedFile)>;

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
            unusable: BTreeMap::new(),
            foreign: 0,
            watermarks: BTreeMap::new(),
            masks: objects(store, &names::masks()).await?,
            locks: objects(store, &names::locks()).await?,
        };
        rebuild.is_readable = rebuild.newest_root > 0 && readable(catalog.look_at_root().await)?;
        let files = rebuild.list(store).await?;
        let (entries, sources) = rebuild.describe(store, files).await?;
        let removed = removed_by_merges(store).await?;
        rebuild.settle(entries, &sources, &removed);
        rebuild.find_watermarks(catalog).await?;
        Ok(rebuild)
    }

    /// Creates the root. Everything older can be read no more.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when another root was created meanwhile; otherwise as [`Rebuild::survey`].
    pub async fn commit(self, catalog: &Catalog, nonce: &str, now_ms: i64) -> Result<Root, ArchiveError> {
        let store = &**catalog.store();
        let n = self.newest_root + 1;
        let mut days: BTreeMap<i32, Vec<PartEntry>> = BTreeMap::new();
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
            Created::Ours => Ok(root),
            Created::Theirs(_) => Err(ArchiveError::Refused(format!(
                "root {n} was created meanwhile: somebody else works on this archive"
            ))),
        }
    }

    /// All files of parts, by part.
    async fn list(&mut self, store: &dyn ObjectStore) -> Result<BTreeMap<Ulid, Vec<ObjectMeta>>, ArchiveError> {
        let mut files: BTreeMap<Ulid, Vec<ObjectMeta>> = BTreeMap::new();
        for prefix in data_prefixes() {
            let mut listing = store.list(Some(&prefix));
            while let Some(found) = listing.next().await {
                let found = found.map_err(ArchiveError::store(&prefix))?;
                let level0 = names::parse_level0(&found.location).map(|(_, _, ulid, _)| ulid);
                match level0.or_else(|| names::parse_compacted(&found.location).map(|(_, _, _, ulid)| ulid)) {
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
        store: &dyn ObjectStore,
        files: BTreeMap<Ulid, Vec<ObjectMeta>>,
    ) -> Result<(BTreeMap<Ulid, PartEntry>, BTreeMap<Ulid, Vec<Ulid>>), ArchiveError> {
        let described = futures::stream::iter(files).map(|(ulid, objects)| async move {
            let mut described = Described::new();
            let mut unusable = Vec::new();
            for object in objects {
                match DescribedFile::read(store, &object.location, object.size).await {
                    Ok(file) => described.push((object.location.to_string(), object.size, file)),
                    Err(error) if is_no_damage(&error) => return Err(error),
                    Err(error) => unusable.push((object.location.to_string(), error.to_string())),
                }
            }
            Ok((ulid, described, unusable))
        });
        let mut described = described.buffer_unordered(PARALLEL_READS);
        let (mut entries, mut sources) = (BTreeMap::new(), BTreeMap::new());
        while let Some(part) = described.next().await {
            let (ulid, files, unusable) = part?;
            let is_whole = unusable.is_empty();
            self.unusable.extend(unusable);
            let paths: Vec<String> = files.iter().map(|(path, ..)| path.clone()).collect();
            match entry_of(ulid, files) {
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

    /// Decides which parts are live. Those that went into others are not, once it is sure that nothing of them is missing there: all
    /// of them are gone, so the merge was committed long ago; or the catalog said so; or no row was lost on the way.
    fn settle(
        &mut self,
        mut entries: BTreeMap<Ulid, PartEntry>,
        sources: &BTreeMap<Ulid, Vec<Ulid>>,
        removed: &HashSet<Ulid>,
    ) {
        let mut merges: BTreeMap<BTreeSet<Ulid>, Vec<Ulid>> = BTreeMap::new();
        for (output, inputs) in sources {
            merges
                .entry(inputs.iter().copied().collect())
                .or_default()
                .push(*output);
        }
        let mut replaced = BTreeSet::new();
        for (inputs, outputs) in merges {
            let present: Vec<&Ulid> = inputs.iter().filter(|input| entries.contains_key(input)).collect();
            if present.is_empty() {
                continue;
            }
            let rows = |parts: &mut dyn Iterator<Item = &Ulid>| {
                let rows = parts.filter_map(|ulid| entries.get(ulid)).map(rows_of);
                rows.fold(0, u64::saturating_add)
            };
            let nothing_is_lost =
                present.len() == inputs.len() && rows(&mut inputs.iter()) == rows(&mut outputs.iter());
            let was_committed = present.iter().all(|input| removed.contains(input));
            if nothing_is_lost || was_committed {
                replaced.extend(present);
            } else {
                self.doubtful.extend(outputs);
            }
        }
        entries.retain(|ulid, _| !replaced.contains(ulid));
        self.doubtful.retain(|ulid| entries.contains_key(ulid));
        self.replaced = replaced.into_iter().collect();
        self.parts = entries.into_values().collect();
    }

    /// The greatest sequence of each receiver that anything names: a file, or a record.
    async fn find_watermarks(&mut self, catalog: &Catalog) -> Result<(), ArchiveError> {
        let store = &**catalog.store();
        let epochs = catalog.epochs().await?;
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let files = self.parts.iter().flat_map(|part| &part.files);
        let paths = files
            .map(|file| file.path.as_str())
            .chain(self.unusable.keys().map(String::as_str));
        let of_files = paths.filter_map(|path| names::parse_level0(&Path::parse(path).ok()?));
        let of_files = of_files.map(|(receiver, seq, ..)| (receiver, seq));
        let of_log = numbered(store, &names::log(), names::parse_log_record).await?;
        for (receiver, seq) in of_files.chain(of_log) {
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
            self.watermarks.insert(receiver, Watermark { seq, epoch });
        }
        Ok(())
    }
}

/// The catalog's entry of a part, and its sources when it was merged; or why it can be none.
fn entry_of(ulid: Ulid, files: Described) -> Result<(PartEntry, Option<Vec<Ulid>>), String> {
    let series = files.iter().find(|(_, _, file)| file.kind == FileKind::Series);
    let (path, _, table) = series.ok_or("its part has no series table")?;
    let tenants = table.tenants.clone();
    let tenants = tenants.ok_or("a version before 3 wrote it, which does not say what tenants have in it")?;
    for (path, _, file) in &files {
        if file.info != table.info || file.info.ulid != ulid {
            return Err(format!("`{path}` says that it belongs to another part"));
        }
    }
    let rows = |kind: FileKind| {
        let file = files.iter().find(|(_, _, file)| file.kind == kind);
        file.map_or(0, |(_, _, file)| file.rows)
    };
    let sums = tenants.values().fold([0_u64; 4], |sums, held| {
        let counts = [held.samples, held.histograms, held.exemplars, held.series];
        std::array::from_fn(|i| sums[i].saturating_add(counts[i]))
    });
    let kinds = [
        FileKind::Samples,
        FileKind::Histograms,
        FileKind::Exemplars,
        FileKind::Series,
    ];
    if let Some((kind, _)) = kinds.iter().zip(sums).find(|&(kind, sum)| rows(*kind) != sum) {
        return Err(format!("its part does not have all rows of `{}`", kind.as_str()));
    }
    if tenants.values().any(|held| held.metadata > 0) && rows(FileKind::Metadata) == 0 {
        return Err("its part has no metadata, and should".to_owned());
    }
    let (min_time, max_time) = (table.min_time, table.max_time);
    let mut entry = PartEntry {
        ulid,
        part: part_number(ulid),
        level: table.info.level(),
        receiver: None,
        min_time,
        max_time,
        tenants,
        committed_at: 0,
        day: None,
        masks: 0,
        merge: None,
        rules: Vec::new(),
        files: Vec::new(),
    };
    let mut sources = None;
    match &table.info.origin {
        // As the name says: what was adopted was written by another one than the one that committed it.
        PartOrigin::Flush { .. } => {
            entry.receiver = Path::parse(path)
                .ok()
                .and_then(|path| Some(names::parse_level0(&path)?.0))
        }
        PartOrigin::Compacted(of) => {
            (entry.committed_at, entry.day, entry.masks) = (of.committed_at, Some(of.day), of.masks);
            entry.merge.clone_from(&of.merge);
            sources = Some(of.sources.clone());
        }
    }
    let file = |(path, bytes, file): (String, u64, DescribedFile)| FileEntry {
        kind: file.kind,
        path,
        rows: file.rows,
        bytes,
        // Not known before all of it was read; a check compares its size alone.
        crc32c: 0,
    };
    entry.files = files.into_iter().map(file).collect();
    entry.files.sort_by_key(|file| file.kind);
    Ok((entry, sources))
}

/// Rows of all kinds that a merge keeps.
fn rows_of(part: &PartEntry) -> u64 {
    let is_row = |kind| matches!(kind, FileKind::Samples | FileKind::Histograms | FileKind::Exemplars);
    let files = part.files.iter().filter(|file| is_row(file.kind));
    files.map(|file| file.rows).fold(0, u64::saturating_add)
}

/// Parts that a merge replaced, as far as the lists of what was removed can be read.
async fn removed_by_merges(store: &dyn ObjectStore) -> Result<HashSet<Ulid>, ArchiveError> {
    let lists: Vec<CondemnedList> = objects(store, &names::condemned_lists()).await?;
    let merged = lists
        .iter()
        .filter(|list| matches!(list.why, Removal::Compacted | Removal::Rewritten));
    Ok(merged.flat_map(|list| &list.parts).map(|part| part.ulid).collect())
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
