//! The record of a deletion: which rows it hid when it was made, by number and digest.
//!
//! Together with the mask (what, who, when, why) it shows later what a deletion took, and that no row of it is left in a file. Nothing
//! depends on it.

use serde::{Deserialize, Serialize};

use super::Catalog;
use super::load::load;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, names, put_create};

/// `_archive/deletions/<id of the mask>` (`docs/formats/deletions.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletionRecord {
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// The id of the mask.
    pub mask: String,
    /// The root whose parts were looked at.
    pub root: u64,
    /// What was hidden in each part that had such rows.
    pub parts: Vec<HiddenRows>,
}

/// The rows of one part that a mask hides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiddenRows {
    /// The part's ULID as text.
    pub part: String,
    /// Number of rows.
    pub rows: u64,
    /// Digest of the floats, 16 hexadecimal digits: the sum of those of all series and windows; likewise the next ones.
    pub samples: String,
    /// Of the histograms.
    pub histograms: String,
    /// Of the exemplars.
    pub exemplars: String,
}

impl CatalogObject for DeletionRecord {
    const VERSION: u64 = 1;
}

impl DeletionRecord {
    /// The record of a mask; none when there is none.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn load(catalog: &Catalog, mask: &str) -> Result<Option<Self>, ArchiveError> {
        match load(&**catalog.store(), &names::deletion_record(mask)).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates it. One that is there already stays.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store fails.
    pub async fn save(&self, catalog: &Catalog) -> Result<(), ArchiveError> {
        put_create(
            &**catalog.store(),
            &names::deletion_record(&self.mask),
            self,
            &self.nonce,
        )
        .await?;
        Ok(())
    }
}
