//! What a reader sees: the newest root plus the commit records above its watermarks (DESIGN §5.5).
//!
//! An old root is never an error, the log is only longer; so a bucket whose servers are gone reads the same.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use parking_lot::RwLock;
use tokio::sync::Mutex;

use super::commit::load_record;
use super::load::{list_log, load_root, newest_root_number};
use super::manifest::load_manifest;
use super::{CommitRecord, Live, Lock, Mask, PartEntry, Root};
use crate::ArchiveError;

/// How many records are read at the same time.
const PARALLEL_READS: usize = 8;

/// How often a look is repeated when the log moved under it.
const ATTEMPTS: usize = 4;

/// A look that took longer is checked again. Collectors leave folded records for far longer.
const SLOW_LOOK: Duration = Duration::from_secs(60);

/// Everything live, as of one look.
#[derive(Debug, Clone)]
pub struct CatalogView {
    /// The root it rests on; 0 before the first one.
    pub root_n: u64,
    /// When that root was made, milliseconds since 1970.
    pub root_created_at: Option<i64>,
    /// For each receiver the last sequence up to which nothing is missing.
    pub committed: BTreeMap<String, u64>,
    /// All live parts.
    pub parts: Vec<Arc<PartEntry>>,
    /// Deletions in force, which readers apply to parts with a smaller number in [`PartEntry::masks`], and to heads.
    pub masks: Arc<[Mask]>,
    /// Ranges that nothing may remove.
    pub locks: Arc<[Lock]>,
    /// When the look began.
    pub looked_at: Instant,
}

impl CatalogView {
    /// Whether everything that the receiver committed up to `seq` is in the view.
    #[must_use]
    pub fn covers(&self, receiver: &str, seq: u64) -> bool {
        self.committed.get(receiver).copied().unwrap_or(0) >= seq
    }
}

/// The catalog of one archive, with what was read of it before.
#[derive(Debug)]
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
    view: RwLock<Option<Arc<CatalogView>>>,
    known: Mutex<Known>,
}

/// The newest root and the records above it: what a view is made of and a fold works on.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) root: Option<Arc<KnownRoot>>,
    pub(super) unfolded: BTreeMap<(String, u64), Arc<KnownRecord>>,
}

/// A root with its entries shared, so that views of one root do not copy them.
#[derive(Debug)]
pub(super) struct KnownRoot {
    /// Without its parts of level 0.
    pub(super) root: Root,
    level0: Vec<Arc<PartEntry>>,
    /// The parts of each manifest, by its name.
    days: BTreeMap<String, Parts>,
}

/// Entries that are shared.
pub(super) type Parts = Arc<[Arc<PartEntry>]>;

impl KnownRoot {
    /// A root without its parts of level 0, those, and the parts of its manifests by name.
    pub(super) fn new(root: Root, level0: Vec<Arc<PartEntry>>, days: BTreeMap<String, Parts>) -> Self {
        Self { root, level0, days }
    }

    /// All its parts, those of level 0 first.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Arc<PartEntry>> {
        self.level0.iter().chain(self.compacted())
    }

    /// Its parts of level 1 and above, by day.
    fn compacted(&self) -> impl Iterator<Item = &Arc<PartEntry>> {
        let days = self
            .root
            .manifests
            .iter()
            .filter_map(|entry| self.days.get(&entry.name));
        days.flat_map(|parts| parts.iter())
    }
}

/// A commit record with its entries shared.
#[derive(Debug)]
pub(super) struct KnownRecord {
    pub(super) record: CommitRecord,
    parts: Vec<Arc<PartEntry>>,
}

impl KnownRecord {
    /// Takes the parts out of a record.
    pub(super) fn new(mut record: CommitRecord) -> Self {
        let committed_at = record.committed_at;
        let parts = std::mem::take(&mut record.parts).into_iter();
        let parts = parts.map(|part| Arc::new(PartEntry { committed_at, ..part })).collect();
        Self { record, parts }
    }
}

impl Catalog {
    /// A catalog of which nothing is known yet.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            view: RwLock::new(None),
            known: Mutex::default(),
        }
    }

    /// The store it lies in.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The last view, however old.
    #[must_use]
    pub fn cached(&self) -> Option<Arc<CatalogView>> {
        self.view.read().clone()
    }

    /// Looks at the archive: one listing of roots, one of the log, and one read for each new root or unfolded record.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store does not answer; [`ArchiveError::NewerVersion`] and [`ArchiveError::Corrupt`] name
    /// the object. The last view stays available.
    pub async fn refresh(&self) -> Result<Arc<CatalogView>, ArchiveError> {
        let looked_at = Instant::now();
        let mut known = self.known.lock().await;
        self.look(&mut known).await?;
        let view = Arc::new(view_of(&known, looked_at));
        *self.view.write() = Some(Arc::clone(&view));
        Ok(view)
    }

    /// The last view if it covers what the receiver committed up to `seq`, a new one otherwise. The new one may still not cover
    /// it (see [`CatalogView::covers`]): then the log has a gap, and an answer from it would be silently shorter.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn covering(&self, receiver: &str, seq: u64) -> Result<Arc<CatalogView>, ArchiveError> {
        match self.cached().filter(|view| view.covers(receiver, seq)) {
            Some(view) => Ok(view),
            None => self.refresh().await,
        }
    }

    /// A fresh look for the committer.
    pub(super) async fn look_for_fold(&self) -> Result<Known, ArchiveError> {
        let mut known = self.known.lock().await;
        self.look(&mut known).await?;
        Ok(known.clone())
    }

    /// The newest root alone, with all its manifests: what a change is decided on.
    pub(super) async fn look_at_root(&self) -> Result<Live, ArchiveError> {
        let held = self.held_root().await;
        for attempt in 1..=ATTEMPTS {
            match self.newest_root(held.as_ref()).await {
                Err(error) if error.is_not_found() && attempt < ATTEMPTS => {}
                found => {
                    let found = found?;
                    self.remember(found.as_ref()).await;
                    return Ok(Live { known: found });
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Keeps a newer root, so that the next look reads only the manifests that it does not know. Records below its watermarks are gone
    /// with it: the next look that wants records lists them anew.
    async fn remember(&self, found: Option<&Arc<KnownRoot>>) {
        let mut known = self.known.lock().await;
        let held = known.root.as_ref().map_or(0, |held| held.root.n);
        if let Some(found) = found.filter(|found| found.root.n > held) {
            let marks = &found.root.watermarks;
            known
                .unfolded
                .retain(|(receiver, seq), _| marks.get(receiver).is_none_or(|mark| *seq > mark.seq));
            known.root = Some(Arc::clone(found));
        }
    }

    /// The newest root that was read.
    pub(super) async fn held_root(&self) -> Option<Arc<KnownRoot>> {
        self.known.lock().await.root.clone()
    }

    /// What is live in the newest root.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn live(&self) -> Result<Live, ArchiveError> {
        self.look_at_root().await
    }

    /// Roots are listed before the log: a record that is folded in between is then seen twice, never missed. One that is folded
    /// *and collected* in between leaves a gap or a missing object, and the look is repeated.
    async fn look(&self, known: &mut Known) -> Result<(), ArchiveError> {
        for attempt in 1..=ATTEMPTS {
            let begun = Instant::now();
            let root = match self.newest_root(known.root.as_ref()).await {
                // It was superseded and collected after it was listed.
                Err(error) if error.is_not_found() && attempt < ATTEMPTS => continue,
                found => found?,
            };
            let watermark = |receiver: &str| {
                let marks = root.as_ref().map(|known| &known.root.watermarks);
                marks.and_then(|marks| marks.get(receiver)).map_or(0, |mark| mark.seq)
            };
            let log = list_log(&*self.store).await?;
            let unfolded: Vec<_> = log
                .into_iter()
                .filter(|(receiver, seq)| *seq > watermark(receiver))
                .collect();
            match self.records(known, unfolded).await {
                Err(error) if error.is_not_found() && attempt < ATTEMPTS => continue,
                Err(error) => return Err(error),
                Ok(unfolded) => *known = Known { root, unfolded },
            }
            // A collected record leaves its name to a stalled receiver of the same id, so that no gap shows. That takes longer than
            // the grace of records; whoever took long looks whether anything was folded meanwhile.
            let looked_at = known.root.as_ref().map_or(0, |known| known.root.n);
            if begun.elapsed() > SLOW_LOOK && attempt < ATTEMPTS && newest_root_number(&*self.store).await? != looked_at
            {
                continue;
            }
            if attempt == ATTEMPTS || !known.has_gap() {
                break;
            }
        }
        Ok(())
    }

    async fn newest_root(&self, held: Option<&Arc<KnownRoot>>) -> Result<Option<Arc<KnownRoot>>, ArchiveError> {
        let n = newest_root_number(&*self.store).await?;
        match held {
            Some(held) if held.root.n >= n => Ok(Some(Arc::clone(held))),
            _ if n == 0 => Ok(None),
            _ => self.load(n, held).await.map(Some),
        }
    }

    /// Reads a root and those of its manifests that `held` does not know.
    pub(super) async fn load(&self, n: u64, held: Option<&Arc<KnownRoot>>) -> Result<Arc<KnownRoot>, ArchiveError> {
        let mut root = load_root(&*self.store, n).await?;
        let level0 = std::mem::take(&mut root.level0).into_iter().map(Arc::new).collect();
        let days = root.manifests.iter().map(|entry| {
            let known = held.and_then(|held| held.days.get(&entry.name)).cloned();
            async move {
                let parts: Parts = match known {
                    Some(parts) => parts,
                    None => load_manifest(&*self.store, entry)
                        .await?
                        .into_iter()
                        .map(Arc::new)
                        .collect(),
                };
                Ok::<_, ArchiveError>((entry.name.clone(), parts))
            }
        });
        let days = futures::stream::iter(days.collect::<Vec<_>>())
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await?;
        Ok(Arc::new(KnownRoot::new(root, level0, days)))
    }

    async fn records(
        &self,
        known: &Known,
        wanted: Vec<(String, u64)>,
    ) -> Result<BTreeMap<(String, u64), Arc<KnownRecord>>, ArchiveError> {
        let reads = wanted.into_iter().map(|key| {
            let held = known.unfolded.get(&key).cloned();
            async move {
                let record = match held {
                    Some(record) => record,
                    None => Arc::new(KnownRecord::new(load_record(&*self.store, &key.0, key.1).await?)),
                };
                Ok((key, record))
            }
        });
        futures::stream::iter(reads.collect::<Vec<_>>())
            .buffer_unordered(PARALLEL_READS)
            .try_collect()
            .await
    }
}

impl Known {
    /// The last sequence of each receiver up to which nothing is missing.
    pub(super) fn contiguous(&self) -> BTreeMap<String, u64> {
        let marks = self.root.as_ref().map(|known| &known.root.watermarks);
        let mut ends: BTreeMap<String, u64> = marks
            .into_iter()
            .flatten()
            .map(|(receiver, mark)| (receiver.clone(), mark.seq))
            .collect();
        for (receiver, seq) in self.unfolded.keys() {
            let end = ends.entry(receiver.clone()).or_insert(0);
            if *seq == *end + 1 {
                *end = *seq;
            }
        }
        ends
    }

    fn has_gap(&self) -> bool {
        let ends = self.contiguous();
        self.unfolded
            .keys()
            .any(|(receiver, seq)| ends.get(receiver).is_none_or(|end| seq > end))
    }

    /// The parts of level 0 of the newest root and of the wanted records above it.
    pub(super) fn level0(&self, wanted: impl Fn(&str, u64) -> bool) -> Vec<Arc<PartEntry>> {
        let rooted = self.root.iter().flat_map(|known| known.level0.iter());
        let records = self
            .unfolded
            .iter()
            .filter(|((receiver, seq), _)| wanted(receiver, *seq));
        // A part that a rebuild found before its record came is in both.
        let mut seen = HashSet::new();
        rooted
            .chain(records.flat_map(|(_, known)| known.parts.iter()))
            .filter(|part| seen.insert(part.ulid))
            .cloned()
            .collect()
    }
}

/// Records above a gap are committed as well and therefore shown; they are only not *covered*.
pub(super) fn view_of(known: &Known, looked_at: Instant) -> CatalogView {
    let mut parts = known.level0(|_, _| true);
    parts.extend(known.root.iter().flat_map(|known| known.compacted()).cloned());
    let root = known.root.as_ref().map(|known| &known.root);
    CatalogView {
        root_n: known.root.as_ref().map_or(0, |known| known.root.n),
        root_created_at: known.root.as_ref().map(|known| known.root.created_at),
        committed: known.contiguous(),
        parts,
        masks: root.map_or_else(Arc::default, |root| root.masks.iter().cloned().collect()),
        locks: root.map_or_else(Arc::default, |root| root.locks.iter().cloned().collect()),
        looked_at,
    }
}

/// What a root alone shows.
pub(super) fn view_at(known: &Arc<KnownRoot>, looked_at: Instant) -> CatalogView {
    let known = Known {
        root: Some(Arc::clone(known)),
        unfolded: BTreeMap::new(),
    };
    view_of(&known, looked_at)
}
