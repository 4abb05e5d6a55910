//! A manifest: the live parts of one day, named by roots, so that a root stays small and only touched days are written again.

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::PartEntry;
use super::load::load;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, names};

/// `_archive/manifests/<ULID>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Random text of the attempt that created it.
    pub(crate) nonce: String,
    /// The UTC day of its parts, in days since 1970.
    pub(crate) day: i32,
    /// Live parts of the day, of all tenants.
    pub(crate) parts: Vec<PartEntry>,
}

/// How a root names a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// Its ULID as text.
    pub name: String,
    /// The UTC day of its parts, in days since 1970.
    pub day: i32,
    /// Number of parts.
    pub parts: u64,
    /// Bytes of all files of its parts.
    pub bytes: u64,
}

impl CatalogObject for Manifest {
    const VERSION: u64 = 1;
}

impl ManifestEntry {
    /// The entry of a manifest under a new name.
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            name: Ulid::generate().to_string(),
            day: manifest.day,
            parts: manifest.parts.len() as u64,
            bytes: manifest.parts.iter().map(PartEntry::bytes).fold(0, u64::saturating_add),
        }
    }
}

/// Reads the parts of a manifest.
pub(super) async fn load_manifest(
    store: &dyn ObjectStore,
    entry: &ManifestEntry,
) -> Result<Vec<PartEntry>, ArchiveError> {
    let path = names::manifest(&entry.name);
    let manifest: Manifest = load(store, &path).await?;
    let is_misplaced = |part: &PartEntry| part.day != Some(entry.day);
    if manifest.day != entry.day || manifest.parts.iter().any(is_misplaced) {
        return Err(ArchiveError::corrupt(path, format!("it is not of day {}", entry.day)));
    }
    Ok(manifest.parts)
}
