//! What in an archive lies under which key: for changing keys, and for knowing when an old one may go.
//!
//! Nothing here needs a key that is to be replaced but for the newest root, its manifests and lists. It reads the end of one file of each
//! part and each object of the catalog, so it is for a person who asks and not for a loop.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use ulid::Ulid;

use super::condemned::load_condemned;
use super::{Catalog, CondemnedEntry, Live, PartEntry, Removal};
use crate::{ArchiveError, names, object_key, part_key};

/// Questions to the store that run at the same time.
const PARALLEL_READS: usize = 16;

/// Which key everything lies under; as a key, `None` is none.
#[derive(Debug, Clone, Default)]
pub struct KeyUse {
    /// The newest root.
    pub root_n: u64,
    /// Live parts.
    pub live: Vec<(Arc<PartEntry>, Option<String>)>,
    /// Parts that are live no more and can still be read in past roots, or brought back.
    pub removed: Vec<RemovedPart>,
    /// Objects of the catalog.
    pub objects: Vec<KeyedObject>,
}

/// A part that is live no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedPart {
    /// The id of its key.
    pub key: Option<String>,
    /// When it was removed, milliseconds since 1970.
    pub at: i64,
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An object of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedObject {
    /// Its name.
    pub path: Path,
    /// The id of its key.
    pub key: Option<String>,
    /// How it comes under another one.
    pub place: ObjectPlace,
    /// When the store took it, milliseconds since 1970.
    pub stored_at: i64,
}

/// How an object of the catalog comes under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectPlace {
    /// A root: the next one is under the new key, this one goes in time.
    Root,
    /// A list that roots name: the next root names another one, this one goes in time.
    List,
    /// A pin: it ends by itself, soon.
    Pin,
    /// Its name is fixed, its content never changes: [`reseal`](crate::reseal).
    Fixed,
}

impl KeyUse {
    /// Looks at everything. `known` holds the keys of parts that were looked at before, by their own names, and is added to.
    ///
    /// # Errors
    /// As [`Catalog::refresh`]: a key without which the newest root cannot be read must be there.
    pub async fn survey(catalog: &Catalog, known: &mut HashMap<Ulid, Option<String>>) -> Result<Self, ArchiveError> {
        let live = catalog.live().await?;
        let mut found = Self {
            root_n: live.root_n(),
            live: Self::of_live(catalog, &live, known).await?,
            ..Self::default()
        };
        for entry in live.condemned().iter().filter(|entry| entry.why != Removal::Orphan) {
            found.removed.extend(removed(&**catalog.store(), entry, known).await?);
        }
        found.objects = objects(&**catalog.store()).await?;
        Ok(found)
    }

    /// Looks at the live parts alone.
    ///
    /// # Errors
    /// As [`KeyUse::survey`].
    pub async fn of_live(
        catalog: &Catalog,
        live: &Live,
        known: &mut HashMap<Ulid, Option<String>>,
    ) -> Result<Vec<(Arc<PartEntry>, Option<String>)>, ArchiveError> {
        let parts: Vec<&PartEntry> = live.parts().map(AsRef::as_ref).collect();
        learn(&**catalog.store(), &parts, known).await?;
        let with_key = |part: &Arc<PartEntry>| Some((Arc::clone(part), known.get(&part.ulid)?.clone()));
        Ok(live.parts().filter_map(with_key).collect())
    }
}

/// The parts of a list; none when it has been collected meanwhile.
async fn removed(
    store: &dyn ObjectStore,
    entry: &CondemnedEntry,
    known: &mut HashMap<Ulid, Option<String>>,
) -> Result<Vec<RemovedPart>, ArchiveError> {
    let list = match load_condemned(store, entry).await {
        Ok(list) => list,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    learn(store, &list.parts.iter().collect::<Vec<_>>(), known).await?;
    let part = |part: &PartEntry| {
        Some(RemovedPart {
            key: known.get(&part.ulid)?.clone(),
            at: entry.at,
            files: part.files.len() as u64,
            bytes: part.bytes(),
        })
    };
    Ok(list.parts.iter().filter_map(part).collect())
}

/// Looks at parts of which nothing is known. One that is gone or damaged stays unknown: no key helps it.
async fn learn(
    store: &dyn ObjectStore,
    parts: &[&PartEntry],
    known: &mut HashMap<Ulid, Option<String>>,
) -> Result<(), ArchiveError> {
    let unknown: Vec<&PartEntry> = parts
        .iter()
        .filter(|part| !known.contains_key(&part.ulid))
        .copied()
        .collect();
    let mut keys = futures::stream::iter(unknown)
        .map(|part| async move { (part.ulid, part_key(store, part).await) })
        .buffer_unordered(PARALLEL_READS);
    while let Some((ulid, key)) = keys.next().await {
        match key {
            Ok(key) => {
                known.insert(ulid, key);
            }
            Err(ArchiveError::Corrupt { .. } | ArchiveError::NewerVersion { .. }) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All objects of the catalog that can be encrypted.
async fn objects(store: &dyn ObjectStore) -> Result<Vec<KeyedObject>, ArchiveError> {
    let prefixes = [
        (names::roots(), ObjectPlace::Root),
        (names::manifests(), ObjectPlace::List),
        (names::condemned_lists(), ObjectPlace::List),
        (names::pins(), ObjectPlace::Pin),
        (names::masks(), ObjectPlace::Fixed),
        (names::locks(), ObjectPlace::Fixed),
        (names::deletion_records(), ObjectPlace::Fixed),
        (names::scrub_states(), ObjectPlace::Fixed),
        (names::drill_states(), ObjectPlace::Fixed),
        (names::receivers(), ObjectPlace::Fixed),
        (names::log(), ObjectPlace::Fixed),
    ];
    let mut found = Vec::new();
    for (prefix, place) in prefixes {
        let listing: Result<Vec<ObjectMeta>, _> = store.list(Some(&prefix)).try_collect().await;
        let listed = listing.map_err(ArchiveError::store(&prefix))?;
        let mut keys = futures::stream::iter(listed)
            .map(|object| async move { (object_key(store, &object.location).await, object) })
            .buffer_unordered(PARALLEL_READS);
        while let Some((key, object)) = keys.next().await {
            match key {
                Ok(key) => found.push(KeyedObject {
                    key,
                    place,
                    stored_at: object.last_modified.timestamp_millis(),
                    path: object.location,
                }),
                Err(ArchiveError::Corrupt { .. } | ArchiveError::NewerVersion { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}
