//! Which key something in a store lies under, also when that key is not there; and putting it under another one.

use std::sync::{Arc, OnceLock};

use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutMode, PutPayload};

use super::sealed_object::stamp_in;
use crate::create::read;
use crate::{ArchiveError, PartEntry, file_stamp, names};

/// What a [`KeyedStore`](super::KeyedStore) notes of an object that it decrypts for a request that carries this.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenKey(Arc<OnceLock<String>>);

impl SeenKey {
    /// The one in a request.
    pub(super) fn asked(options: &GetOptions) -> Option<Self> {
        options.extensions.get::<Self>().cloned()
    }

    /// Notes the key of stored bytes; none for clear ones.
    pub(super) fn note(&self, stored: &[u8]) {
        if let Some(stamp) = stamp_in(stored) {
            // A request is answered once.
            let _ = self.0.set(stamp.key().to_owned());
        }
    }
}

/// The id of the key that an object of the catalog is encrypted with, `None` when it is clear. The key need not be configured.
///
/// # Errors
/// [`ArchiveError::Store`], and [`ArchiveError::Corrupt`] for an object that is not what was encrypted.
pub async fn object_key(store: &dyn ObjectStore, path: &Path) -> Result<Option<String>, ArchiveError> {
    let seen = SeenKey::default();
    let mut options = GetOptions::default();
    options.extensions.insert(seen.clone());
    let stored = match store.get_opts(path, options).await {
        Ok(stored) => stored.bytes().await,
        Err(error) => Err(error),
    };
    match stored.map_err(ArchiveError::store(path)) {
        Ok(bytes) => seen.note(&bytes),
        Err(ArchiveError::Key { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(seen.0.get().cloned())
}

/// The id of the key that the files of a part are encrypted with, `None` when they are clear. The key need not be configured. One request: a
/// part is written by one process with one key, and its series table is always there.
///
/// # Errors
/// As [`file_stamp`].
pub async fn part_key(store: &dyn ObjectStore, part: &PartEntry) -> Result<Option<String>, ArchiveError> {
    let table = part.file(names::FileKind::Series)?;
    match file_stamp(store, &table.path).await {
        Ok(stamp) => Ok(stamp.map(|stamp| stamp.key().to_owned())),
        Err(ArchiveError::Key { object, source }) => match source.key() {
            Some(key) => Ok(Some(key.to_owned())),
            None => Err(ArchiveError::Key { object, source }),
        },
        Err(error) => Err(error),
    }
}

/// Puts an object in its own place again: its content stays, its key becomes the one that is written with. This is the one thing in an
/// archive that is ever written over, and nobody can tell before from after; so it is only for objects whose name must stay, and of which
/// no time of storing is believed.
///
/// # Errors
/// [`ArchiveError::Key`] when it cannot be read; [`ArchiveError::Store`].
pub async fn reseal(store: &dyn ObjectStore, path: &Path) -> Result<(), ArchiveError> {
    let content = read(store, path).await?;
    let payload = PutPayload::from_bytes(content);
    let put = store.put_opts(path, payload, PutMode::Overwrite.into()).await;
    put.map(drop).map_err(ArchiveError::store(path))
}
