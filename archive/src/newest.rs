//! Notes of which the newest counts: small objects below one folder, each named by its ULID.
//!
//! A process that runs for long learns things that the next one should know and that no answer depends on: what was read again, which
//! drill proved what. Objects are never overwritten, so each note is a new object and the older ones go. A note that cannot be read
//! counts as none.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::catalog::Catalog;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, names, open_envelope, put_create};

/// Older notes that are left in place for whoever reads them now.
const KEPT: usize = 2;

/// The newest note of a folder that can be read.
///
/// # Errors
/// As [`Catalog::refresh`]; a damaged note is none.
pub(crate) async fn load_newest<T: CatalogObject>(catalog: &Catalog, folder: &Path) -> Result<Option<T>, ArchiveError> {
    let store = &**catalog.store();
    for path in notes(store, folder).await?.iter().rev() {
        match read(store, path).await {
            Ok(note) => return Ok(Some(note)),
            Err(ArchiveError::Corrupt { .. }) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Writes a note under a new name, and removes those of its folder that nobody needs any more.
///
/// # Errors
/// [`ArchiveError::Store`] when the store fails.
pub(crate) async fn save_newest<T: CatalogObject>(
    catalog: &Catalog,
    (folder, path): (&Path, &Path),
    note: &T,
    nonce: &str,
) -> Result<(), ArchiveError> {
    let store = &**catalog.store();
    put_create(store, path, note, nonce).await?;
    for path in notes(store, folder).await?.iter().rev().skip(KEPT) {
        match store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(ArchiveError::store(path)(error)),
        }
    }
    Ok(())
}

/// All notes, the oldest first.
async fn notes(store: &dyn ObjectStore, folder: &Path) -> Result<Vec<Path>, ArchiveError> {
    let listed: Vec<ObjectMeta> = store
        .list(Some(folder))
        .try_collect()
        .await
        .map_err(ArchiveError::store(folder))?;
    let is_ours = |path: &Path| names::ulid_of(path).is_some();
    let mut paths: Vec<Path> = listed
        .into_iter()
        .map(|object| object.location)
        .filter(is_ours)
        .collect();
    paths.sort();
    Ok(paths)
}

async fn read<T: CatalogObject>(store: &dyn ObjectStore, path: &Path) -> Result<T, ArchiveError> {
    let answer = store.get(path).await.map_err(ArchiveError::store(path))?;
    let bytes = answer.bytes().await.map_err(ArchiveError::store(path))?;
    open_envelope(path.as_ref(), &bytes)
}
