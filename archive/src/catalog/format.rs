//! `_archive/format`: the object, created once, that makes a bucket an archive.

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::load::{load, parse};
use crate::envelope::CatalogObject;
use crate::{ArchiveError, Created, fresh_nonce, names, put_create};

/// What the bucket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// The random id of this archive, which stands in the footer of every part.
    pub dataset: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

impl CatalogObject for Format {
    const VERSION: u64 = 1;
}

impl Format {
    /// What the bucket is; `None` when it is no archive yet.
    ///
    /// # Errors
    /// As [`Catalog::refresh`](super::Catalog::refresh).
    pub async fn load(store: &dyn ObjectStore) -> Result<Option<Self>, ArchiveError> {
        match load(store, &names::format()).await {
            Ok(format) => Ok(Some(format)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the bucket is, after making it an archive when it is none yet. Of several that try at once one wins, and all
    /// return the same.
    ///
    /// # Errors
    /// As [`Catalog::refresh`](super::Catalog::refresh).
    pub async fn load_or_create(store: &dyn ObjectStore, now_ms: i64) -> Result<Self, ArchiveError> {
        if let Some(format) = Self::load(store).await? {
            return Ok(format);
        }
        let format = Self {
            nonce: fresh_nonce(),
            dataset: fresh_nonce(),
            created_at: now_ms,
        };
        match put_create(store, &names::format(), &format, &format.nonce).await? {
            Created::Ours => Ok(format),
            Created::Theirs(bytes) => parse(&names::format(), &bytes),
        }
    }
}
