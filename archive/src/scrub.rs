//! Reading files again to find damage before anybody needs them.
//!
//! A store promises that bytes stay as they are; a disk that rots, a bug or a person with a shell break that promise without a
//! word. What was read and when is kept as a small object, the newest of which counts, so that any number of processes can go on where
//! another one stopped. Losing that object costs reading again, and nothing else.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::catalog::{Catalog, FileEntry, PartEntry};
use crate::envelope::CatalogObject;
use crate::newest::{load_newest, save_newest};
use crate::{ArchiveError, Checksummed, fresh_nonce, names};

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
        let newest = load_newest(catalog, &names::scrub_states()).await?;
        Ok(newest.unwrap_or_default())
    }

    /// Writes it as the newest one, for the parts that are live, and removes those that nobody needs any more.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store fails.
    pub async fn save(&mut self, catalog: &Catalog, now_ms: i64) -> Result<(), ArchiveError> {
        let live = catalog.live().await?.by_ulid();
        self.verified
            .retain(|part, _| Ulid::from_string(part).is_ok_and(|ulid| live.contains_key(&ulid)));
        (self.nonce, self.created_at) = (fresh_nonce(), now_ms);
        let path = names::scrub_state(&Ulid::generate().to_string());
        save_newest(catalog, (&names::scrub_states(), &path), self, &self.nonce).await
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
