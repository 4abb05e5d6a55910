//! What must be true: looked at after each step, through a store that never fails.
//!
//! The model knows each sample, each file ever written, and each root that was the newest one. It decides nothing: whatever the actors
//! do, a sample that was acknowledged must stay readable until retention or a mask may take it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use emberkeep_archive::{
    Catalog, CatalogView, CommitRecord, CondemnedList, Lock, Mask, PartEntry, Removal, Root, Ulid, names, open_envelope,
};
use futures::FutureExt;
use object_store::path::Path;
use parking_lot::Mutex;

use crate::sample::{Sample, ids_in};
use crate::store::{Event, Reply, Request, SimStore, World};

/// How long folded records are left.
pub(crate) const LOG_GRACE: i64 = 10_000;

/// One root that was the newest.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) root: Root,
    pub(crate) exists: bool,
    parts: BTreeMap<Ulid, Arc<PartEntry>>,
    pub(crate) ids: BTreeSet<u64>,
    /// Without what masks hide.
    pub(crate) visible: BTreeSet<u64>,
    files: BTreeSet<String>,
}

/// What a look must see at least: the newest root when it begins, and every sample that is committed by then, with its record.
#[derive(Debug)]
pub(crate) struct Promise {
    newest: u64,
    committed: BTreeMap<u64, (String, u64)>,
}

/// A commit record as it lies in the store.
#[derive(Debug)]
struct Record {
    nonce: String,
    ids: BTreeSet<u64>,
    files: BTreeSet<String>,
}

/// A pin that somebody holds, and what it protects.
#[derive(Debug, Clone)]
struct Hold {
    files: BTreeSet<String>,
    until: i64,
}

/// How much happened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) roots: u64,
    pub(crate) strays: u64,
    pub(crate) deleted_files: u64,
    pub(crate) merges: u64,
    pub(crate) losses: u64,
    pub(crate) undone: u64,
    pub(crate) views: u64,
    pub(crate) held: u64,
    pub(crate) refused: u64,
    pub(crate) rebuilt: u64,
    pub(crate) adopted: u64,
}

#[derive(Debug)]
pub(crate) struct Model {
    catalog: Catalog,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) samples: BTreeMap<u64, Sample>,
    pub(crate) files: BTreeMap<String, BTreeSet<u64>>,
    /// Records that count, by receiver and sequence.
    records: BTreeMap<(String, u64), Record>,
    /// Samples whose commit was answered with success, and the record that holds them.
    committed: BTreeMap<u64, (String, u64)>,
    /// Roots in their order, root 1 first.
    pub(crate) chain: Vec<Link>,
    holds: BTreeMap<u64, Hold>,
    /// Undo brings parts back beside those that were made of them, and of two receivers with one name each finds the other's record as the
    /// newest and flushes again what it had committed before: equal rows, which are one when they are read.
    pub(crate) may_repeat: bool,
    /// An accident has happened that is not mended yet.
    pub(crate) is_damaged: bool,
    /// An accident has happened.
    pub(crate) was_damaged: bool,
    /// Nonces of roots that were made from files.
    pub(crate) rebuilds: BTreeSet<String>,
    pub(crate) violation: Option<String>,
    pub(crate) seen: Seen,
}

impl Model {
    pub(crate) fn new(world: &Arc<Mutex<World>>) -> Self {
        Self {
            catalog: Catalog::new(Arc::new(SimStore::for_model(world))),
            world: Arc::clone(world),
            samples: BTreeMap::new(),
            files: BTreeMap::new(),
            records: BTreeMap::new(),
            committed: BTreeMap::new(),
            chain: Vec::new(),
            holds: BTreeMap::new(),
            may_repeat: false,
            is_damaged: false,
            was_damaged: false,
            rebuilds: BTreeSet::new(),
            violation: None,
            seen: Seen::default(),
        }
    }

    /// Notes the first thing that must not be.
    pub(crate) fn demand(&mut self, holds: impl Into<Option<String>>) {
        if let (None, Some(what)) = (&self.violation, holds.into()) {
            self.violation = Some(what);
        }
    }

    fn newest(&self) -> u64 {
        self.chain.len() as u64
    }

    fn link(&self, n: u64) -> Option<&Link> {
        let index = usize::try_from(n.checked_sub(1)?).ok()?;
        self.chain.get(index)
    }

    fn mark(&self, receiver: &str) -> u64 {
        let marks = self.chain.last().map(|link| &link.root.watermarks);
        marks.and_then(|marks| marks.get(receiver)).map_or(0, |mark| mark.seq)
    }

    /// Looks at what has changed in the store.
    pub(crate) fn observe(&mut self) {
        let events = std::mem::take(&mut self.world.lock().events);
        for event in events {
            match event {
                Event::Created(path, bytes) => self.created(&path, &bytes),
                Event::Deleted(path) => self.deleted(&path),
            }
        }
    }

    fn created(&mut self, path: &Path, bytes: &Bytes) {
        if let Some(n) = names::parse_root(path) {
            match n == self.newest() + 1 {
                true => self.next_root(n),
                false => self.seen.strays += 1,
            }
        } else if let Some((receiver, seq)) = names::parse_log_record(path) {
            // While a catalog is rebuilt, records count below its watermark as well, when they come early enough.
            if seq > self.mark(&receiver) || self.is_damaged {
                let record: CommitRecord = open_envelope(path.as_ref(), bytes).expect("we wrote it");
                let files: BTreeSet<String> = file_names(&record.parts).collect();
                let missing = files.iter().find(|file| !self.exists(file));
                let missing = missing.map(|file| format!("record {path} names {file}, which is not there"));
                self.demand(missing);
                for file in &files {
                    self.files.entry(file.clone()).or_default();
                }
                let ids = files.iter().flat_map(|file| self.files[file].clone()).collect();
                let nonce = record.nonce;
                self.records.insert((receiver, seq), Record { nonce, ids, files });
            }
        } else if path.as_ref().ends_with(".parquet") {
            self.files.insert(path.to_string(), ids_in(bytes));
        }
    }

    fn exists(&self, file: &str) -> bool {
        self.world.lock().contains(&Path::from(file))
    }

    fn deleted(&mut self, path: &Path) {
        if let Some(n) = names::parse_root(path) {
            let newest = self.newest();
            self.demand((n == newest).then(|| format!("the newest root {n} is deleted")));
            let index = usize::try_from(n).map_or(0, |n| n.saturating_sub(1));
            if let Some(link) = self.chain.get_mut(index) {
                link.exists = false;
            }
            return;
        }
        let name = path.to_string();
        let floor = self.chain.last().map_or(0, |link| link.root.floor);
        let mut trouble = None;
        if self.files.contains_key(&name) {
            self.seen.deleted_files += 1;
            for link in self.chain.iter().filter(|link| link.exists && link.root.n >= floor) {
                if link.files.contains(&name) {
                    trouble = Some(format!(
                        "{name} is deleted and named by root {}, the floor is {floor}",
                        link.root.n
                    ));
                }
            }
            let now = self.world.lock().now;
            if self
                .holds
                .values()
                .any(|hold| hold.until > now && hold.files.contains(&name))
            {
                trouble = Some(format!("{name} is deleted and pinned"));
            }
            let unfolded = self
                .records
                .iter()
                .filter(|((receiver, seq), _)| *seq > self.mark(receiver));
            if let Some((key, _)) = unfolded.into_iter().find(|(_, record)| record.files.contains(&name)) {
                trouble = Some(format!("{name} is deleted and in the unfolded record {key:?}"));
            }
        } else if let Some((receiver, seq)) = names::parse_log_record(path) {
            if seq > self.mark(&receiver) {
                trouble = Some(format!("{name} is deleted and not folded"));
            }
        } else if let Some(ulid) = names::ulid_of(path) {
            let text = ulid.to_string();
            let is_named = |root: &Root| {
                root.manifests.iter().any(|entry| entry.name == text)
                    || root.condemned.iter().any(|entry| entry.name == text)
                    || root.locks.iter().any(|lock| lock.id == text)
                    || root.masks.iter().any(|mask| mask.id == text)
            };
            if self.chain.last().is_some_and(|link| is_named(&link.root)) {
                trouble = Some(format!("{name} is deleted and named by the newest root"));
            }
        }
        self.demand(trouble);
    }

    fn next_root(&mut self, n: u64) {
        self.seen.roots += 1;
        let live = self.catalog.live().now_or_never().expect("the model never waits");
        let live = match live {
            Ok(live) => live,
            Err(error) => return self.demand(format!("root {n} cannot be read: {error}")),
        };
        let root = live.root().expect("it was just created").clone();
        let parts = live.by_ulid();
        let link = self.link_of(root, parts);
        let missing = link.files.iter().find(|file| !self.exists(file));
        self.demand(missing.map(|file| format!("root {n} names {file}, which is not there")));
        let before = self.chain.last().cloned();
        let trouble = match self.rebuilds.contains(&link.root.nonce) {
            true => self.compare_rebuilt(before.as_ref(), &link),
            false => before.and_then(|before| self.compare(&before, &link)),
        };
        self.demand(trouble);
        let hidden = link.parts.values().find_map(|part| {
            let mut ids = self.ids_of(part);
            let masks = &link.root.masks;
            let seen = ids.find(|id| {
                masks
                    .iter()
                    .any(|mask| mask.number <= part.masks && self.samples[id].is_under(mask))
            });
            seen.map(|id| {
                format!(
                    "root {n}: sample {id} is under a mask that was applied to its part {}",
                    part.ulid
                )
            })
        });
        self.demand(hidden);
        self.chain.push(link);
    }

    fn ids_of<'a>(&'a self, part: &'a PartEntry) -> impl Iterator<Item = u64> + 'a {
        part.files
            .iter()
            .flat_map(|file| self.files[&file.path].iter().copied())
    }

    fn link_of(&self, root: Root, parts: BTreeMap<Ulid, Arc<PartEntry>>) -> Link {
        let ids = parts.values().flat_map(|part| self.ids_of(part)).collect();
        let visible = parts
            .values()
            .flat_map(|part| self.visible_in(part, &root.masks))
            .collect();
        let files = parts
            .values()
            .flat_map(|part| part.files.iter().map(|file| file.path.clone()));
        Link {
            exists: true,
            ids,
            visible,
            files: files.collect(),
            root,
            parts,
        }
    }

    fn visible_in(&self, part: &PartEntry, masks: &[Mask]) -> BTreeSet<u64> {
        let masks: Vec<&Mask> = masks.iter().filter(|mask| part.masks < mask.number).collect();
        let is_visible = |id: &u64| !masks.iter().any(|mask| self.samples[id].is_under(mask));
        self.ids_of(part).filter(is_visible).collect()
    }

    /// What one root may take from the one before, and bring.
    fn compare(&mut self, before: &Link, after: &Link) -> Option<String> {
        let n = after.root.n;
        for (receiver, mark) in &before.root.watermarks {
            let now = after.root.watermarks.get(receiver);
            if now.is_none_or(|now| now.seq < mark.seq || now.epoch < mark.epoch) {
                return Some(format!(
                    "root {n}: the watermark of {receiver} goes back to {now:?} from {mark:?}"
                ));
            }
        }
        if after.root.floor < before.root.floor {
            return Some(format!("root {n}: the floor goes down"));
        }
        let mut reasons: BTreeMap<Ulid, Removal> = BTreeMap::new();
        for entry in after.root.condemned.iter().filter(|entry| entry.root == n) {
            let list = self.list(&entry.name).expect("the newest root names it");
            let live = list.all_paths().find(|path| after.files.contains(*path));
            if let Some(path) = live {
                return Some(format!("root {n} condemns {path}, which is live"));
            }
            match entry.why {
                Removal::Compacted => self.seen.merges += 1,
                Removal::Orphan => {}
                _ => self.seen.losses += 1,
            }
            reasons.extend(list.parts.iter().map(|part| (part.ulid, entry.why)));
        }
        for (ulid, part) in before.parts.iter().filter(|(ulid, _)| !after.parts.contains_key(*ulid)) {
            let Some(why) = reasons.get(ulid) else {
                return Some(format!("root {n}: part {ulid} is gone and not condemned"));
            };
            let is_kept = *why == Removal::Expired && before.root.locks.iter().any(|lock| lock.keeps_part(part));
            if is_kept {
                return Some(format!("root {n}: retention took part {ulid} under a lock"));
            }
            for id in self.ids_of(part).filter(|id| !after.ids.contains(id)) {
                let sample = &self.samples[&id];
                let is_masked = before
                    .root
                    .masks
                    .iter()
                    .any(|mask| part.masks < mask.number && sample.is_under(mask));
                if *why != Removal::Expired && !(*why == Removal::Rewritten && is_masked) {
                    return Some(format!(
                        "root {n}: sample {id} is lost, part {ulid} was {}",
                        why.as_str()
                    ));
                }
            }
        }
        let is_kept = |lock: &Lock, id: &u64| {
            let sample = &self.samples[id];
            lock.keeps(Some(sample.tenant), sample.at, sample.at)
        };
        for lock in after.root.locks.iter().filter(|lock| before.root.locks.contains(lock)) {
            let mut gone = before.visible.difference(&after.visible);
            if let Some(id) = gone.find(|id| is_kept(lock, id)) {
                return Some(format!("root {n}: sample {id} is gone and locked"));
            }
        }
        let mut restored = BTreeSet::new();
        for entry in &before.root.condemned {
            let is_gone = !after.root.condemned.contains(entry);
            if is_gone && entry.why.is_loss() && self.world.lock().contains(&names::condemned(&entry.name)) {
                let list = self.list(&entry.name);
                restored.extend(list.iter().flat_map(|list| file_names(&list.parts)));
            }
        }
        // Whoever made this root may never hear that it is there.
        self.may_repeat |= restored.iter().any(|file| after.files.contains(file));
        let mut folded = BTreeSet::new();
        for (receiver, mark) in &after.root.watermarks {
            let from = before.root.watermarks.get(receiver).map_or(0, |mark| mark.seq);
            for seq in from + 1..=mark.seq {
                match self.records.get(&(receiver.clone(), seq)) {
                    Some(record) => folded.extend(record.files.iter().cloned()),
                    None => return Some(format!("root {n} folds record {seq} of {receiver}, which is not there")),
                }
            }
        }
        if let Some(file) = folded.iter().find(|file| !after.files.contains(*file)) {
            return Some(format!("root {n}: {file} of a folded record is not live"));
        }
        if self.is_damaged {
            // What a rebuild missed at first.
            folded.extend(self.records.values().flat_map(|record| record.files.iter().cloned()));
        }
        let known = before.files.iter().chain(&folded).chain(&restored);
        let known: BTreeSet<u64> = known.flat_map(|file| self.files[file].iter().copied()).collect();
        if let Some(id) = after.ids.difference(&known).next() {
            return Some(format!("root {n}: sample {id} comes from nowhere"));
        }
        let count: usize = after.parts.values().map(|part| self.ids_of(part).count()).sum();
        if count != after.ids.len() && !self.may_repeat {
            let twice = after.ids.iter().find_map(|id| {
                let holding = after
                    .parts
                    .values()
                    .filter(|part| self.ids_of(part).any(|held| held == *id));
                let holding: Vec<&String> = holding
                    .flat_map(|part| part.files.iter().map(|file| &file.path))
                    .collect();
                (holding.len() > 1).then(|| format!("sample {id} lies in {holding:?}"))
            });
            return Some(format!(
                "root {n}: {count} rows of {} samples, {twice:?}",
                after.ids.len()
            ));
        }
        None
    }

    pub(crate) fn list(&self, name: &str) -> Option<CondemnedList> {
        let path = names::condemned(name);
        let object = self.world.lock().execute(&Request::Get(path.clone()));
        match object {
            Ok(Reply::Object(_, bytes)) => Some(open_envelope(path.as_ref(), &bytes).expect("we wrote it")),
            _ => None,
        }
    }

    /// A commit was answered with success.
    pub(crate) fn acknowledge(&mut self, record: &CommitRecord) {
        let key = (record.receiver.clone(), record.seq);
        match self.records.get(&key) {
            Some(held) if held.nonce == record.nonce => {
                self.committed.extend(held.ids.iter().map(|id| (*id, key.clone())));
            }
            other => {
                let found = other.map(|held| held.nonce.clone());
                self.demand(format!("commit of {key:?} succeeded, the record there is {found:?}"));
            }
        }
    }

    /// The receiver has forgotten the sample.
    pub(crate) fn trimmed(&mut self, id: u64) {
        // A rebuild makes parts live whose record comes later.
        let is_live = self.chain.last().is_some_and(|link| link.ids.contains(&id));
        let is_held = is_live || self.records.values().any(|record| record.ids.contains(&id));
        self.demand((!is_held).then(|| format!("sample {id} is trimmed and in no record")));
    }

    /// What a look that begins now must see at least.
    pub(crate) fn promised(&self) -> Promise {
        Promise {
            newest: self.newest(),
            committed: self.committed.clone(),
        }
    }

    /// Checks what a reader sees.
    pub(crate) fn viewed(&mut self, view: &CatalogView, promised: &Promise, took: i64) {
        // A look that takes longer than records are left is looked at again, by a clock that is not simulated.
        if took > LOG_GRACE {
            return;
        }
        self.seen.views += 1;
        let trouble = self.misread(view, promised);
        self.demand(trouble);
    }

    fn misread(&self, view: &CatalogView, Promise { newest, committed }: &Promise) -> Option<String> {
        if view.root_n < *newest {
            return Some(format!("a reader sees root {} after root {newest}", view.root_n));
        }
        let link = self.link(view.root_n);
        let mut ulids = BTreeSet::new();
        if let Some(part) = view.parts.iter().find(|part| !ulids.insert(part.ulid)) {
            return Some(format!("a reader sees part {} twice", part.ulid));
        }
        let rows = view.parts.iter().map(|part| self.ids_of(part).count()).sum::<usize>();
        let ids: BTreeSet<u64> = view.parts.iter().flat_map(|part| self.ids_of(part)).collect();
        if rows != ids.len() && !self.may_repeat {
            return Some(format!("a reader sees {rows} rows of {} samples", ids.len()));
        }
        let mark = |receiver: &str| {
            let marks = link.map(|link| &link.root.watermarks);
            marks.and_then(|marks| marks.get(receiver)).map_or(0, |mark| mark.seq)
        };
        let base = link.map(|link| &link.ids).into_iter().flatten();
        if let Some(id) = base.copied().find(|id| !ids.contains(id)) {
            return Some(format!("a reader misses sample {id} of root {}", view.root_n));
        }
        let mut promised = committed.iter().filter(|(_, (receiver, seq))| *seq > mark(receiver));
        if let Some((id, key)) = promised.find(|(id, _)| !ids.contains(id)) {
            return Some(format!(
                "a reader misses sample {id} of record {key:?} above root {}",
                view.root_n
            ));
        }
        if link.is_some_and(|link| link.root.masks[..] != view.masks[..] || link.root.locks[..] != view.locks[..]) {
            return Some(format!(
                "a reader sees other masks or locks than root {} has",
                view.root_n
            ));
        }
        None
    }

    /// Somebody holds a pin now.
    pub(crate) fn hold(&mut self, id: u64, root: u64, until: i64) {
        self.seen.held += 1;
        let files = self.link(root).map(|link| link.files.clone()).unwrap_or_default();
        let missing = files.iter().find(|file| !self.exists(file));
        let missing = missing.map(|file| format!("root {root} is pinned and {file} is gone"));
        let missing = missing.filter(|_| !self.was_damaged);
        self.demand(missing);
        self.holds.insert(id, Hold { files, until });
    }

    pub(crate) fn release(&mut self, id: u64) {
        self.holds.remove(&id);
    }

    /// A change was reported as done or as not done; the nonce tells what is true.
    pub(crate) fn told(&mut self, nonce: &str, root: Option<&Root>) {
        let landed = self
            .chain
            .iter()
            .find(|link| link.root.nonce == nonce)
            .map(|link| link.root.n);
        let told = root.map(|root| root.n);
        // Whoever stalled until even the root above was collected cannot know, and must find out from what is live.
        let is_past = |n: u64| n < self.newest() && self.link(n + 1).is_some_and(|next| !next.exists);
        if told != landed && landed.is_some_and(is_past) {
            return;
        }
        self.demand((landed != told).then(|| format!("root of {nonce}: told {told:?}, landed as {landed:?}")));
    }

    /// A rollback to root `to` was reported as done.
    pub(crate) fn undone(&mut self, to: u64, root: &Root) {
        self.may_repeat = true;
        self.seen.undone += 1;
        let (Some(past), Some(now)) = (self.link(to), self.link(root.n)) else {
            return;
        };
        // What a lifted mask had deleted by then stays visible, what was received since too.
        let lost = past.visible.difference(&now.visible).next().copied();
        self.demand(lost.map(|id| format!("rollback to root {to}: sample {id} is not back")));
    }

    /// At the end: all that was ever acknowledged is live, but for what was deleted on purpose.
    pub(crate) fn finish(&mut self, acknowledged: impl Iterator<Item = u64>) {
        let Some(last) = self.chain.last().cloned() else {
            return;
        };
        for id in acknowledged {
            if !self.chain.iter().any(|link| link.ids.contains(&id)) {
                return self.demand(format!("sample {id} was acknowledged and never became live"));
            }
        }
        let live = last.files;
        let data = self.world.lock().names("samples/");
        let stray = data.into_iter().find(|path| !live.contains(path.as_ref()));
        self.demand(stray.map(|path| format!("{path} is garbage that is never collected")));
    }
}

fn file_names<'a>(parts: impl IntoIterator<Item = &'a PartEntry>) -> impl Iterator<Item = String> {
    let files = parts
        .into_iter()
        .flat_map(|part| part.files.iter().map(|file| file.path.clone()));
    files.collect::<Vec<_>>().into_iter()
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.roots += other.roots;
        self.strays += other.strays;
        self.deleted_files += other.deleted_files;
        self.merges += other.merges;
        self.losses += other.losses;
        self.undone += other.undone;
        self.views += other.views;
        self.held += other.held;
        self.refused += other.refused;
        self.rebuilt += other.rebuilt;
        self.adopted += other.adopted;
    }
}
