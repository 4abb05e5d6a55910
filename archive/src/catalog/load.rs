//! Reading catalog objects and listing their numbered names.

use bytes::Bytes;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::Root;
use crate::create::read;
use crate::envelope::{CatalogObject, open_envelope};
use crate::{ArchiveError, names};

/// How many names of roots are looked at: the first page of a listing. The newest root lists first.
const ROOTS_LISTED: usize = 1000;

/// Reads and checks one object.
pub(super) async fn load<T: CatalogObject>(store: &dyn ObjectStore, path: &Path) -> Result<T, ArchiveError> {
    parse(path, &read(store, path).await?)
}

/// Checks and parses the bytes of one object.
pub(super) fn parse<T: CatalogObject>(path: &Path, bytes: &Bytes) -> Result<T, ArchiveError> {
    open_envelope(path.as_ref(), bytes)
}

/// The number of the newest root, 0 when there is none. One listing, one page of it.
pub(super) async fn newest_root_number(store: &dyn ObjectStore) -> Result<u64, ArchiveError> {
    let prefix = names::roots();
    let mut listing = store.list(Some(&prefix)).take(ROOTS_LISTED);
    let mut newest = 0;
    while let Some(found) = listing.next().await {
        let found = found.map_err(ArchiveError::store(&prefix))?;
        newest = newest.max(names::parse_root(&found.location).unwrap_or(0));
    }
    Ok(newest)
}

/// The newest root, if there is one.
pub(super) async fn newest_root(store: &dyn ObjectStore) -> Result<Option<Root>, ArchiveError> {
    match newest_root_number(store).await? {
        0 => Ok(None),
        n => load_root(store, n).await.map(Some),
    }
}

/// Whether a root that its maker has just created is one that counts.
///
/// A creation protects only against names that exist *now*: a committer that stalled until its number was used, superseded and
/// collected succeeds in creating it again, below the newest one, where nobody looks. On the other hand others may build on a root that
/// counts before its maker looks, and then it must not be taken for lost: a mask would be added twice, a merge would be reported as refused.
pub(super) async fn has_landed(store: &dyn ObjectStore, root: &Root) -> Result<bool, ArchiveError> {
    if newest_root_number(store).await? == root.n {
        return Ok(true);
    }
    match load_root(store, root.n.saturating_add(1)).await {
        Ok(next) => Ok(next.previous == root.nonce),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The root with a number.
pub(super) async fn load_root(store: &dyn ObjectStore, n: u64) -> Result<Root, ArchiveError> {
    let path = names::root(n);
    let root: Root = load(store, &path).await?;
    if root.n != n {
        return Err(ArchiveError::corrupt(
            path,
            format!("it says that it is root {}", root.n),
        ));
    }
    Ok(root)
}

/// Receiver and sequence of every commit record that exists, in any order.
pub(super) async fn list_log(store: &dyn ObjectStore) -> Result<Vec<(String, u64)>, ArchiveError> {
    numbered(store, &names::log(), names::parse_log_record).await
}

/// The names below a prefix that parse; foreign names are passed over.
pub(super) async fn numbered<T>(
    store: &dyn ObjectStore,
    prefix: &Path,
    parse: impl Fn(&Path) -> Option<T>,
) -> Result<Vec<T>, ArchiveError> {
    let mut listing = store.list(Some(prefix));
    let mut found = Vec::new();
    while let Some(object) = listing.next().await {
        found.extend(parse(&object.map_err(ArchiveError::store(prefix))?.location));
    }
    Ok(found)
}
