//! Reading files again to find damage before anybody needs them.
//!
//! A store promises that bytes stay as they are; a disk that rots, a bug or a person with a shell break that promise without a
//! word. What was read and when is kept as a small object, the newest of which counts, so that any number of processes can go on where
//! another one stopped. Losing that object costs reading again, and nothing else.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::catalog::{Catalog, FileEntry, PartEntry};
use crate::envelope::CatalogObject;
use crate::{ArchiveError, Checksummed, fresh_nonce, names, open_envelope, put_create};

/// Older states that are left in place for whoever reads them now.
const KEPT_STATES: usize = 2;

/// `_archive/scrub/<ULID>`: when which part was read and found whole (`docs/formats/scrub.md`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrubState {
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// By the part's ULID as text: when it was read last, milliseconds since 1970.
    pub verified: BTreeMap<String, i64>,
}

impl CatalogObject for ScrubState {
    const VERSION: u64 = 1;
}

impl ScrubState {
    /// The newest state; nothing verified when there is none, or none that can be read.
    ///
    /// # Errors
    /// As [`Catalog::refresh`]; a damaged state is none.
    pub async fn load(catalog: &Catalog) -> Result<Self, ArchiveError> {
        let store = &**catalog.store();
        for path in states(store).await?.iter().rev() {
            match read_state(store, path).await {
                Ok(state) => return Ok(state),
                Err(ArchiveError::Corrupt { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::default())
    }

    /// Writes it as the newest one, for the parts that are live, and removes those that nobody needs any more.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store fails.
    pub async fn save(&mut self, catalog: &Catalog, now_ms: i64) -> Result<(), ArchiveError> {
        let store = &**catalog.store();
        let live = catalog.live().await?.by_ulid();
        self.verified
            .retain(|part, _| Ulid::from_string(part).is_ok_and(|ulid| live.contains_key(&ulid)));
        (self.nonce, self.created_at) = (fresh_nonce(), now_ms);
        let path = names::scrub_state(&Ulid::generate().to_string());
        put_create(store, &path, self, &self.nonce).await?;
        let older = states(store).await?;
        for path in older.iter().rev().skip(KEPT_STATES) {
            match store.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(ArchiveError::store(path)(error)),
            }
        }
        Ok(())
    }

    /// When a part was read again; none when it never was.
    #[must_use]
    pub fn verified_at(&self, part: &PartEntry) -> Option<i64> {
        self.verified.get(&part.ulid.to_string()).copied()
    }

    /// Since when a part waits: since it was read last, or since it was written.
    #[must_use]
    pub fn waits_since(&self, part: &PartEntry) -> i64 {
        let written = i64::try_from(part.ulid.timestamp_ms()).unwrap_or(i64::MAX);
        self.verified_at(part).unwrap_or(written)
    }

    /// Since when the part that waits longest does, milliseconds since 1970; none without parts.
    pub fn oldest_unverified<'a>(&self, parts: impl Iterator<Item = &'a Arc<PartEntry>>) -> Option<i64> {
        parts.map(|part| self.waits_since(part)).min()
    }
}

/// All states, the oldest first.
async fn states(store: &dyn ObjectStore) -> Result<Vec<Path>, ArchiveError> {
    let prefix = names::scrub_states();
    let listed: Vec<ObjectMeta> = store
        .list(Some(&prefix))
        .try_collect()
        .await
        .map_err(ArchiveError::store(&prefix))?;
    let is_ours = |path: &Path| names::ulid_of(path).is_some();
    let mut paths: Vec<Path> = listed
        .into_iter()
        .map(|object| object.location)
        .filter(is_ours)
        .collect();
    paths.sort();
    Ok(paths)
}

async fn read_state(store: &dyn ObjectStore, path: &Path) -> Result<ScrubState, ArchiveError> {
    let answer = store.get(path).await.map_err(ArchiveError::store(path))?;
    let bytes = answer.bytes().await.map_err(ArchiveError::store(path))?;
    open_envelope(path.as_ref(), &bytes)
}

/// Reads a file from its first byte to its last and compares size and CRC-32C with what is recorded; one chunk of the store's answer
/// is held in memory. A recorded checksum of 0 is not known (a rebuilt catalog has such entries), and the size alone is compared.
///
/// # Errors
/// [`ArchiveError::Corrupt`] when it is not what it was, or is gone; [`ArchiveError::Store`] when the store does not answer.
pub async fn check_file(store: &dyn ObjectStore, entry: &FileEntry) -> Result<(), ArchiveError> {
    let path = entry.location()?;
    let answer = match store.get(&path).await {
        Ok(answer) => answer,
        Err(object_store::Error::NotFound { .. }) => return Err(ArchiveError::corrupt(&path, "it is gone")),
        Err(error) => return Err(ArchiveError::store(&path)(error)),
    };
    let mut checksum = Checksummed::new(std::io::sink());
    let mut chunks = answer.into_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(ArchiveError::store(&path))?;
        checksum.write_all(&chunk).map_err(ArchiveError::Write)?;
    }
    let (bytes, crc32c) = (checksum.bytes(), checksum.crc32c());
    if bytes != entry.bytes {
        let reason = format!("it has {bytes} bytes, it was written with {}", entry.bytes);
        return Err(ArchiveError::corrupt(&path, reason));
    }
    if !entry.has_checksum(crc32c) {
        let reason = format!(
            "its CRC-32C is `{crc32c:08x}`, it was written with `{:08x}`",
            entry.crc32c
        );
        return Err(ArchiveError::corrupt(&path, reason));
    }
    Ok(())
}
