//! What is live no more and not yet deleted: the lists by which a removal is undone, and by which files are deleted later.
//!
//! Each root that removes something creates one list of each reason, and no list is ever written again. A file is deleted only
//! when its list is still named by the newest root, so a removal that was undone deletes nothing.

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::PartEntry;
use super::load::load;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, names};

/// Why something is live no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// Merged into other parts, without a row being lost.
    Compacted,
    /// Rewritten without rows that a mask or a rule of retention deletes.
    Rewritten,
    /// All of it is older than its retention.
    Expired,
    /// The quota of the store wanted the space.
    Quota,
    /// It never was live: what an interrupted job left behind.
    Orphan,
}

impl Removal {
    /// Whether undoing brings such parts back. Compaction loses nothing, and orphans never were live.
    #[must_use]
    pub fn is_loss(self) -> bool {
        match self {
            Self::Rewritten | Self::Expired | Self::Quota => true,
            Self::Compacted | Self::Orphan => false,
        }
    }

    /// Whether other parts hold what is left of it.
    pub(super) fn is_merge(self) -> bool {
        matches!(self, Self::Compacted | Self::Rewritten)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compacted => "compacted",
            Self::Rewritten => "rewritten",
            Self::Expired => "expired",
            Self::Quota => "quota",
            Self::Orphan => "orphan",
        }
    }
}

/// `_archive/condemned/<ULID>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CondemnedList {
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// Why.
    pub why: Removal,
    /// Parts that were live.
    pub parts: Vec<PartEntry>,
    /// Object names that belong to no part.
    pub paths: Vec<String>,
    /// Names of the parts that the same root made live, when these were merged: what a rebuild must find all of before it leaves the
    /// removed ones away. None in lists of version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
}

/// How a root names a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CondemnedEntry {
    /// Its ULID as text.
    pub name: String,
    /// Why.
    pub why: Removal,
    /// The first root in which its files are live no more.
    pub root: u64,
    /// When that was made, milliseconds since 1970.
    pub at: i64,
    /// Number of files.
    pub files: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
}

impl CatalogObject for CondemnedList {
    const VERSION: u64 = 2;
}

impl CondemnedList {
    /// All object names in it.
    pub fn all_paths(&self) -> impl Iterator<Item = &str> {
        let of_parts = self.parts.iter().flat_map(|part| &part.files);
        of_parts
            .map(|file| file.path.as_str())
            .chain(self.paths.iter().map(String::as_str))
    }
}

/// Reads a list.
pub(super) async fn load_condemned(
    store: &dyn ObjectStore,
    entry: &CondemnedEntry,
) -> Result<CondemnedList, ArchiveError> {
    let path = names::condemned(&entry.name);
    let list: CondemnedList = load(store, &path).await?;
    if list.why != entry.why {
        return Err(ArchiveError::corrupt(path, "its reason is not that of the root"));
    }
    Ok(list)
}
