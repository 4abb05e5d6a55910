//! `_archive/format`: the object, created once, that makes a bucket an archive.

use object_store::{GetOptions, ObjectStore, PutMode, PutPayload};
use serde::{Deserialize, Serialize};

use super::load::parse;
use crate::envelope::{CatalogObject, seal_envelope};
use crate::keys::{KeyPurpose, KeySlot, KeyStamp, Keys};
use crate::{ArchiveError, Created, KeyError, fresh_nonce, names, put_create};

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
    /// That it was encrypted from its beginning or when its keys were changed last, and with which key. Says nothing about what was written
    /// later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<FirstKey>,
}

/// The key that an archive was made with, or that the last change of keys gave it: enough to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstKey {
    /// Its id.
    pub key: String,
    /// A salt and the check value of the key under it, base64.
    pub check: String,
}

impl FirstKey {
    /// The key that is written with; none when nothing is encrypted.
    fn fresh(keys: &Keys) -> Result<Option<Self>, ArchiveError> {
        let fresh = keys.fresh(KeyPurpose::Object);
        let fresh = fresh.map_err(ArchiveError::key(names::format()))?;
        Ok(fresh.map(|(stamp, _)| Self {
            key: stamp.key().to_owned(),
            check: stamp.wrapped(),
        }))
    }
}

impl CatalogObject for Format {
    // As of 2 an archive may be encrypted.
    const VERSION: u64 = 2;
}

impl Format {
    /// What the bucket is; `None` when it is no archive yet.
    ///
    /// # Errors
    /// As [`Catalog::refresh`](super::Catalog::refresh); [`ArchiveError::Key`] when it is encrypted and the store has no key, or another one
    /// under the same id.
    pub async fn load(store: &dyn ObjectStore) -> Result<Option<Self>, ArchiveError> {
        Self::load_with(store, &KeySlot::default()).await
    }

    async fn load_with(store: &dyn ObjectStore, slot: &KeySlot) -> Result<Option<Self>, ArchiveError> {
        let path = names::format();
        let stored = match store.get_opts(&path, slot.ask(GetOptions::default())).await {
            Ok(stored) => stored.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = match stored.map_err(ArchiveError::store(&path)) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let format: Self = parse(&path, &bytes)?;
        format.check(&slot.keys())?;
        Ok(Some(format))
    }

    /// That the archive can be read with these keys, as far as is known here. The first key may have gone since: `rekey` leaves nothing under it.
    fn check(&self, keys: &Keys) -> Result<(), ArchiveError> {
        let Some(first) = &self.encryption else {
            return Ok(());
        };
        let path = names::format();
        let stamp = KeyStamp::of_wrapped(&first.key, &first.check);
        let stamp = stamp.ok_or_else(|| ArchiveError::corrupt(&path, "its key check value is none"))?;
        match keys.derived(&stamp, KeyPurpose::Object) {
            Err(KeyError::Unknown { .. }) if !keys.is_empty() => Ok(()),
            checked => checked.map(drop).map_err(ArchiveError::key(path)),
        }
    }

    /// Writes the key that is written with into it, in place of the first one: for when nothing live lies under another key any more.
    ///
    /// # Errors
    /// As [`Format::load`].
    pub async fn renew(store: &dyn ObjectStore) -> Result<(), ArchiveError> {
        let (path, slot) = (names::format(), KeySlot::default());
        let Some(known) = Self::load_with(store, &slot).await? else {
            return Ok(());
        };
        let first = known.encryption.as_ref().map(|first| first.key.as_str());
        if first == slot.keys().write_id() {
            return Ok(());
        }
        let renewed = Self {
            encryption: FirstKey::fresh(&slot.keys())?,
            ..known
        };
        // All that works on the archive by now can do so with either of the two.
        let bytes = PutPayload::from_bytes(seal_envelope(&renewed)?);
        let put = store.put_opts(&path, bytes, PutMode::Overwrite.into()).await;
        put.map(drop).map_err(ArchiveError::store(&path))
    }

    /// What the bucket is, after making it an archive when it is none yet. Of several that try at once one wins, and all
    /// return the same.
    ///
    /// # Errors
    /// As [`Catalog::refresh`](super::Catalog::refresh).
    pub async fn load_or_create(store: &dyn ObjectStore, now_ms: i64) -> Result<Self, ArchiveError> {
        let slot = KeySlot::default();
        if let Some(format) = Self::load_with(store, &slot).await? {
            return Ok(format);
        }
        let format = Self {
            nonce: fresh_nonce(),
            dataset: fresh_nonce(),
            created_at: now_ms,
            encryption: FirstKey::fresh(&slot.keys())?,
        };
        match put_create(store, &names::format(), &format, &format.nonce).await? {
            Created::Ours => Ok(format),
            Created::Theirs(bytes) => {
                let format: Self = parse(&names::format(), &bytes)?;
                format.check(&slot.keys())?;
                Ok(format)
            }
        }
    }
}
