//! The catalog under suspicion: every object of it is read and checked, and what is whole of it is put together.
//!
//! Readers and committers stop at the first object that is damaged, because what they would do without it could be wrong. Whoever
//! looks for damage must go on: one bad manifest must not hide the state of a thousand parts. Nothing that is given here may be used
//! to answer a query or to make a root.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use object_store::path::Path;

use super::commit::load_record;
use super::condemned::CondemnedList;
use super::epoch::EpochClaim;
use super::load::{list_log, load, load_root};
use super::manifest::{Manifest, load_manifest};
use super::view::{Known, KnownRecord, KnownRoot, view_of};
use super::{Catalog, CatalogView, CommitRecord, DeletionRecord, Format, Lock, Mask, Pin, Root};
use crate::envelope::CatalogObject;
use crate::scrub::ScrubState;
use crate::{ArchiveError, DrillState, names};

/// How many objects are read at the same time.
const PARALLEL_READS: usize = 8;

/// How often a look is repeated when the log moved under it.
const ATTEMPTS: usize = 4;

/// What can be read of the catalog.
#[derive(Debug)]
pub struct Salvage {
    /// The newest root that can be read, those of its manifests that can, and the commit records above it that can.
    pub view: Arc<CatalogView>,
    /// What is missing in it: objects that are damaged or not there.
    pub damage: Vec<ArchiveError>,
}

/// A kind of objects of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Root,
    Manifest,
    Condemned,
    Mask,
    Lock,
    Deletion,
    Scrub,
    Drill,
    Pin,
    Record,
    Claim,
}

const KINDS: [(Kind, fn() -> Path); 11] = [
    (Kind::Root, names::roots),
    (Kind::Manifest, names::manifests),
    (Kind::Condemned, names::condemned_lists),
    (Kind::Mask, names::masks),
    (Kind::Lock, names::locks),
    (Kind::Deletion, names::deletion_records),
    (Kind::Scrub, names::scrub_states),
    (Kind::Drill, names::drill_states),
    (Kind::Pin, names::pins),
    (Kind::Record, names::log),
    (Kind::Claim, names::receivers),
];

impl Catalog {
    /// Puts together what can be read.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store does not answer: that proves nothing.
    pub async fn salvage(&self) -> Result<Salvage, ArchiveError> {
        for attempt in 1.. {
            let looked_at = Instant::now();
            let mut damage = Vec::new();
            let root = self.readable_root(&mut damage).await?;
            let before = damage.len();
            let unfolded = self.readable_records(root.as_ref(), &mut damage).await?;
            // Records that are folded and collected meanwhile look like a gap.
            if attempt == ATTEMPTS || damage.len() == before {
                let known = Known { root, unfolded };
                let view = Arc::new(view_of(&known, looked_at));
                return Ok(Salvage { view, damage });
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn readable_root(&self, damage: &mut Vec<ArchiveError>) -> Result<Option<Arc<KnownRoot>>, ArchiveError> {
        for retained in self.retained_roots().await? {
            let mut root = match proven(load_root(&**self.store(), retained.n).await)? {
                Ok(root) => root,
                // It was collected since it was listed.
                Err(error) if error.is_not_found() => continue,
                Err(error) => {
                    damage.push(error);
                    continue;
                }
            };
            let mut days = BTreeMap::new();
            for entry in &root.manifests {
                match proven(load_manifest(&**self.store(), entry).await)? {
                    Ok(parts) => {
                        days.insert(entry.name.clone(), parts.into_iter().map(Arc::new).collect());
                    }
                    Err(error) => damage.push(error),
                }
            }
            let level0 = std::mem::take(&mut root.level0).into_iter().map(Arc::new).collect();
            return Ok(Some(Arc::new(KnownRoot::new(root, level0, days))));
        }
        Ok(None)
    }

    async fn readable_records(
        &self,
        root: Option<&Arc<KnownRoot>>,
        damage: &mut Vec<ArchiveError>,
    ) -> Result<BTreeMap<(String, u64), Arc<KnownRecord>>, ArchiveError> {
        let watermark = |receiver: &str| {
            let marks = root.map(|known| &known.root.watermarks);
            marks.and_then(|marks| marks.get(receiver)).map_or(0, |mark| mark.seq)
        };
        let mut listed = list_log(&**self.store()).await?;
        listed.retain(|(receiver, seq)| *seq > watermark(receiver));
        listed.sort();
        let mut found = BTreeMap::new();
        let mut ends: BTreeMap<String, u64> = BTreeMap::new();
        for (receiver, seq) in listed {
            let end = ends.entry(receiver.clone()).or_insert_with(|| watermark(&receiver));
            if seq != *end + 1 {
                let first = names::log_record(&receiver, *end + 1);
                damage.push(ArchiveError::corrupt(
                    first,
                    format!("it is gone, and record {seq} behind it is there"),
                ));
            }
            *end = seq;
            match proven(load_record(&**self.store(), &receiver, seq).await)? {
                Ok(record) => {
                    found.insert((receiver, seq), Arc::new(KnownRecord::new(record)));
                }
                Err(error) => damage.push(error),
            }
        }
        Ok(found)
    }

    /// Reads every object of the catalog and calls `visit` with its name, and with its size or what is wrong with it. Lists that a
    /// retained root names and that are not there are told as well.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store cannot be listed.
    pub async fn check_objects(
        &self,
        mut visit: impl FnMut(&str, Result<u64, ArchiveError>),
    ) -> Result<(), ArchiveError> {
        let store = &**self.store();
        match Format::load(store).await {
            Ok(None) if self.retained_roots().await?.is_empty() && list_log(store).await?.is_empty() => {}
            Ok(None) => visit(
                names::format().as_ref(),
                Err(ArchiveError::corrupt(
                    names::format(),
                    "it is gone, and there is an archive around it",
                )),
            ),
            found => visit(names::format().as_ref(), found.map(|_| 0)),
        }
        let mut named: Vec<(Path, u64)> = Vec::new();
        let mut there = HashSet::new();
        for (kind, folder) in KINDS {
            let folder = folder();
            let mut listing = store.list(Some(&folder));
            let mut objects = Vec::new();
            while let Some(object) = listing.next().await {
                let object = object.map_err(ArchiveError::store(&folder))?;
                objects.push((object.location, object.size));
            }
            drop(listing);
            let checks = objects.into_iter().map(|(path, size)| async move {
                let checked = self.check_object(kind, &path).await;
                (path, size, checked)
            });
            let mut checks = futures::stream::iter(checks.collect::<Vec<_>>()).buffer_unordered(PARALLEL_READS);
            while let Some((path, size, checked)) = checks.next().await {
                match checked {
                    Ok(lists) => {
                        let root = names::parse_root(&path);
                        named.extend(lists.into_iter().map(|list| (list, root.unwrap_or(0))));
                        visit(path.as_ref(), Ok(size));
                        there.insert(path);
                    }
                    // It was collected since it was listed; what a root still names is looked for below.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => {
                        visit(path.as_ref(), Err(error));
                        there.insert(path);
                    }
                }
            }
        }
        named.sort();
        named.dedup_by(|next, kept| next.0 == kept.0);
        for (path, root) in named.into_iter().filter(|(path, _)| !there.contains(path)) {
            // A list that was made since, or a root that was collected since, is no damage.
            let is_there = match read_again(store, &path).await {
                Err(error) if error.is_not_found() => false,
                other => other.map(|()| true)?,
            };
            let is_collected = matches!(load_root(store, root).await, Err(error) if error.is_not_found());
            if !is_there && !is_collected {
                visit(
                    path.as_ref(),
                    Err(ArchiveError::corrupt(
                        &path,
                        format!("it is gone, and root {root} names it"),
                    )),
                );
            }
        }
        Ok(())
    }

    /// Checks one object; of a root it gives the lists that it names.
    async fn check_object(&self, kind: Kind, path: &Path) -> Result<Vec<Path>, ArchiveError> {
        let misnamed = || ArchiveError::corrupt(path, "it says that it is another one");
        let mut lists = Vec::new();
        match kind {
            Kind::Root => {
                let root: Root = self.object(path).await?;
                if names::root(root.n) != *path {
                    return Err(misnamed());
                }
                lists.extend(root.manifests.iter().map(|entry| names::manifest(&entry.name)));
                lists.extend(root.condemned.iter().map(|entry| names::condemned(&entry.name)));
            }
            Kind::Record => {
                let record: CommitRecord = self.object(path).await?;
                record.check()?;
                if names::log_record(&record.receiver, record.seq) != *path {
                    return Err(misnamed());
                }
            }
            Kind::Manifest => drop(self.object::<Manifest>(path).await?),
            Kind::Condemned => drop(self.object::<CondemnedList>(path).await?),
            Kind::Mask => self.object::<Mask>(path).await?.compile().map(drop)?,
            Kind::Lock => drop(self.object::<Lock>(path).await?),
            Kind::Deletion => drop(self.object::<DeletionRecord>(path).await?),
            Kind::Scrub => drop(self.object::<ScrubState>(path).await?),
            Kind::Drill => drop(self.object::<DrillState>(path).await?),
            Kind::Pin => drop(self.object::<Pin>(path).await?),
            Kind::Claim => drop(self.object::<EpochClaim>(path).await?),
        }
        Ok(lists)
    }

    async fn object<T: CatalogObject>(&self, path: &Path) -> Result<T, ArchiveError> {
        load(&**self.store(), path).await
    }
}

async fn read_again(store: &dyn object_store::ObjectStore, path: &Path) -> Result<(), ArchiveError> {
    crate::create::read(store, path).await.map(drop)
}

/// Tells what proves damage, or that something is not there, from a store that does not answer.
fn proven<T>(read: Result<T, ArchiveError>) -> Result<Result<T, ArchiveError>, ArchiveError> {
    match read {
        Err(error) if error.is_transient() && !error.is_not_found() => Err(error),
        read => Ok(read),
    }
}
