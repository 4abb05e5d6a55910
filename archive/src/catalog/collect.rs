//! Collection: deleting what nobody can need any more (DESIGN §5.6).
//!
//! Data is deleted only when a root condemned it, the undelete window is over, no pin protects it, and the newest root still
//! condemns it. The floor is raised in a root first, then the pins are listed, then files go: whoever pins a root after that listing
//! reads the floor. It may be interrupted anywhere; what is left is deleted again, and an object that is gone is no error.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::condemned::load_condemned;
use super::load::load_root;
use super::pin::pins;
use super::{Catalog, Change, CondemnedEntry, Live, RetainedRoot, apply};
use crate::{ArchiveError, fresh_nonce, names};

/// Deletions that run at the same time.
const PARALLEL_DELETES: usize = 16;

/// When what may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectSettings {
    /// How long a removal can be undone, and past roots be read.
    pub undelete_window: Duration,
    /// How long a commit record stays after the root that holds it, for readers that listed it before.
    pub log_grace: Duration,
    /// Younger roots all stay; of older ones the last of each hour, and none that is older than the undelete window.
    pub every_root: Duration,
    /// Catalog objects that no retained root names go after this. It must be far longer than any committer may stall.
    pub leftover_after: Duration,
}

impl Default for CollectSettings {
    fn default() -> Self {
        Self {
            undelete_window: Duration::from_secs(7 * 86_400),
            log_grace: Duration::from_secs(600),
            every_root: Duration::from_secs(3600),
            leftover_after: Duration::from_secs(86_400),
        }
    }
}

/// What a collection deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files of data.
    pub files: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// Lists that wait because of a pin.
    pub pinned: u64,
    /// Commit records.
    pub records: u64,
    /// Roots.
    pub roots: u64,
    /// Manifests, lists and pins that nothing names any more.
    pub leftovers: u64,
}

/// Deletes what may go now.
///
/// # Errors
/// As [`apply`]; [`ArchiveError::Store`] when the store does not delete. What was deleted stays deleted, the rest is for the next
/// time.
pub async fn collect(catalog: &Catalog, settings: &CollectSettings, now_ms: i64) -> Result<Collected, ArchiveError> {
    let mut collected = Collected::default();
    condemned_files(catalog, settings, now_ms, &mut collected).await?;
    let live = catalog.look_at_root().await?;
    folded_records(catalog, &live, settings, now_ms, &mut collected).await?;
    let retained = old_roots(catalog, &live, settings, now_ms, &mut collected).await?;
    leftovers(catalog, &retained, settings, now_ms, &mut collected).await?;
    Ok(collected)
}

async fn condemned_files(
    catalog: &Catalog,
    settings: &CollectSettings,
    now_ms: i64,
    collected: &mut Collected,
) -> Result<(), ArchiveError> {
    let store = &**catalog.store();
    let before = earlier(now_ms, settings.undelete_window);
    let is_due = |entry: &CondemnedEntry, pinned: u64| entry.at <= before && entry.root <= pinned;
    let pinned = least_pinned_root(store, now_ms).await?;
    // Nothing is looked at in a normal run: the root says what is due.
    let (mut due, mut kept): (Vec<CondemnedEntry>, HashSet<String>) = Default::default();
    apply(catalog, &fresh_nonce(), now_ms, |live| {
        kept.clear();
        due = live
            .condemned()
            .iter()
            .filter(|entry| is_due(entry, pinned))
            .cloned()
            .collect();
        if !due.is_empty() {
            kept = live
                .parts()
                .flat_map(|part| part.files.iter().map(|file| file.path.clone()))
                .collect();
        }
        let floor = due.iter().map(|entry| entry.root).max().unwrap_or(0);
        Ok::<_, ArchiveError>((floor > live.floor()).then(|| Change {
            floor,
            ..Change::default()
        }))
    })
    .await?;
    if due.is_empty() {
        return Ok(());
    }
    // A pin that came after the first look and before the floor.
    let pinned = least_pinned_root(store, now_ms).await?;
    let waiting = due.len();
    due.retain(|entry| entry.root <= pinned);
    collected.pinned += (waiting - due.len()) as u64;
    for entry in &due {
        let list = match load_condemned(store, entry).await {
            Ok(list) => list,
            // An earlier collection came this far and lost the race for the last root.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        // What is live is never deleted, whatever a list says. It cannot become live after this look: only a removal above the floor
        // can be undone.
        let paths = list
            .all_paths()
            .filter(|path| !kept.contains(*path))
            .map(Path::parse)
            .collect::<Result<Vec<_>, _>>();
        let paths = paths.map_err(|error| ArchiveError::corrupt(names::condemned(&entry.name), error))?;
        delete(store, paths).await?;
        collected.files += entry.files;
        collected.bytes += entry.bytes;
    }
    let forgotten: Vec<String> = due.into_iter().map(|entry| entry.name).collect();
    apply(catalog, &fresh_nonce(), now_ms, |live| {
        let is_named = |name: &&String| live.condemned().iter().any(|entry| entry.name == **name);
        Ok::<_, ArchiveError>(Some(Change {
            forgotten: forgotten.iter().filter(is_named).cloned().collect(),
            ..Change::default()
        }))
    })
    .await?;
    delete(store, forgotten.iter().map(|name| names::condemned(name)).collect()).await
}

/// Records that are folded, but the newest of each receiver, by which it finds its place again.
async fn folded_records(
    catalog: &Catalog,
    live: &Live,
    settings: &CollectSettings,
    now_ms: i64,
    collected: &mut Collected,
) -> Result<(), ArchiveError> {
    let store = &**catalog.store();
    let Some(root) = live.root() else {
        return Ok(());
    };
    let before = earlier(now_ms, settings.log_grace);
    let mut records: BTreeMap<String, Vec<(u64, ObjectMeta)>> = BTreeMap::new();
    for object in listed(store, &names::log()).await? {
        if let Some((receiver, seq)) = names::parse_log_record(&object.location) {
            records.entry(receiver).or_default().push((seq, object));
        }
    }
    let mut gone = Vec::new();
    for (receiver, mut of_receiver) in records {
        let folded = root.watermarks.get(&receiver).map_or(0, |mark| mark.seq);
        of_receiver.sort_by_key(|(seq, _)| *seq);
        of_receiver.pop();
        let is_due =
            |(seq, object): &&(u64, ObjectMeta)| *seq <= folded && object.last_modified.timestamp_millis() <= before;
        gone.extend(
            of_receiver
                .iter()
                .filter(is_due)
                .map(|(_, object)| object.location.clone()),
        );
    }
    collected.records += gone.len() as u64;
    delete(store, gone).await
}

/// Thins roots out; what stays, by number.
async fn old_roots(
    catalog: &Catalog,
    live: &Live,
    settings: &CollectSettings,
    now_ms: i64,
    collected: &mut Collected,
) -> Result<Vec<RetainedRoot>, ArchiveError> {
    let store = &**catalog.store();
    let (young, oldest) = (
        earlier(now_ms, settings.every_root),
        earlier(now_ms, settings.undelete_window),
    );
    let pinned: HashSet<u64> = unexpired_roots(store, now_ms).await?.into_iter().collect();
    let (roots, strays) = catalog.listed_roots().await?;
    let strays = strays.into_iter().filter(|root| !pinned.contains(&root.n));
    let mut gone: Vec<Path> = strays.map(|root| names::root(root.n)).collect();
    let mut retained = Vec::new();
    let mut hour_after = None;
    for root in roots {
        let hour = root.stored_at.div_euclid(3_600_000);
        let is_newest = root.n >= live.root_n();
        let is_last_of_hour = hour_after != Some(hour);
        let is_readable = root.n >= live.floor() && root.stored_at > oldest;
        if is_newest || pinned.contains(&root.n) || (is_readable && (root.stored_at > young || is_last_of_hour)) {
            retained.push(root);
        } else {
            gone.push(names::root(root.n));
        }
        hour_after = Some(hour);
    }
    collected.roots += gone.len() as u64;
    delete(store, gone).await?;
    Ok(retained)
}

/// Objects of the catalog that no root needs, and pins that have expired.
///
/// A committer writes what a root names before the root, and may stall in between. So an object goes only when a root came after it: then
/// the number for which it was written is taken, whoever wrote it, and it will never be named. (Objects of masks and locks are used again by
/// the next attempt, so they are none of these.)
async fn leftovers(
    catalog: &Catalog,
    retained: &[RetainedRoot],
    settings: &CollectSettings,
    now_ms: i64,
    collected: &mut Collected,
) -> Result<(), ArchiveError> {
    let store = &**catalog.store();
    let before = earlier(now_ms, settings.leftover_after);
    let newest = retained.first().map_or(i64::MIN, |root| root.stored_at);
    let mut old: Vec<(String, Path)> = Vec::new();
    for prefix in [names::manifests(), names::condemned_lists()] {
        for object in listed(store, &prefix).await? {
            let stored_at = object.last_modified.timestamp_millis();
            if let (true, Some(name)) = (
                stored_at <= before && stored_at < newest,
                names::ulid_of(&object.location),
            ) {
                old.push((name.to_string(), object.location));
            }
        }
    }
    for root in retained {
        if old.is_empty() {
            break;
        }
        let root = match load_root(store, root.n).await {
            Ok(root) => root,
            // Another collector has thinned out more, so there is a newer root, and what that one names is not known here.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let lists = root.manifests.iter().map(|entry| &entry.name);
        let lists = lists.chain(root.condemned.iter().map(|entry| &entry.name));
        let named: HashSet<&String> = lists.collect();
        old.retain(|(name, _)| !named.contains(name));
    }
    let mut gone: Vec<Path> = old.into_iter().map(|(_, path)| path).collect();
    let expired = pins(store).await?.into_iter().filter(|pin| pin.expires_at <= before);
    gone.extend(expired.map(|pin| names::pin(&pin.id)));
    collected.leftovers += gone.len() as u64;
    delete(store, gone).await
}

/// The oldest root that somebody holds; what was condemned in it or before is needed by nobody.
async fn least_pinned_root(store: &dyn ObjectStore, now_ms: i64) -> Result<u64, ArchiveError> {
    Ok(unexpired_roots(store, now_ms)
        .await?
        .into_iter()
        .min()
        .unwrap_or(u64::MAX))
}

async fn unexpired_roots(store: &dyn ObjectStore, now_ms: i64) -> Result<Vec<u64>, ArchiveError> {
    let held = pins(store).await?.into_iter().filter(|pin| pin.expires_at > now_ms);
    Ok(held.map(|pin| pin.root).collect())
}

async fn listed(store: &dyn ObjectStore, prefix: &Path) -> Result<Vec<ObjectMeta>, ArchiveError> {
    let listing = store.list(Some(prefix)).try_collect().await;
    listing.map_err(ArchiveError::store(prefix))
}

async fn delete(store: &dyn ObjectStore, paths: Vec<Path>) -> Result<(), ArchiveError> {
    let deletions = paths.into_iter().map(|path| async move {
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ArchiveError::store(path)(error)),
        }
    });
    futures::stream::iter(deletions)
        .buffer_unordered(PARALLEL_DELETES)
        .try_collect()
        .await
}

fn earlier(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}
