//! Old versions of a table's log: they go when they are older than the table says, as in any Delta table.
//!
//! A version can be read as long as the last checkpoint before it and all commits since are there. So what goes is what lies below a
//! checkpoint that is itself too old for anybody to ask for a version before it.

use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::{ArchiveError, FileKind};

/// Digits of a version in the name of an object.
const DIGITS: usize = 20;

/// Deletes what no version needs that is younger than `retention`; how many objects. One listing.
///
/// Now is when the newest object was written, by the clock of the store: this is asked after a commit.
///
/// # Errors
/// [`ArchiveError::Store`] when the store does not answer. What was deleted stays deleted.
pub(super) async fn clean(store: &dyn ObjectStore, kind: FileKind, retention: Duration) -> Result<u64, ArchiveError> {
    let folder = Path::from(format!("{}/_delta_log", kind.as_str()));
    let listed: Result<Vec<ObjectMeta>, _> = store.list(Some(&folder)).try_collect().await;
    let listed = listed.map_err(ArchiveError::store(&folder))?;
    let Some(now) = listed.iter().map(|object| object.last_modified).max() else {
        return Ok(0);
    };
    let is_old = |object: &&ObjectMeta| (now - object.last_modified).to_std().is_ok_and(|age| age >= retention);
    let checkpoints = listed.iter().filter(is_old).filter_map(|object| {
        let name = object.location.filename()?;
        version(name).filter(|_| &name[DIGITS..] == ".checkpoint.parquet")
    });
    let Some(oldest_needed) = checkpoints.max() else {
        return Ok(0);
    };
    let mut deleted = 0;
    for object in listed {
        let of = object.location.filename().and_then(version);
        if of.is_some_and(|version| version < oldest_needed) {
            match store.delete(&object.location).await {
                Ok(()) => deleted += 1,
                // Another publisher was faster.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(ArchiveError::store(object.location)(error)),
            }
        }
    }
    Ok(deleted)
}

/// The version that an object of the log belongs to.
fn version(name: &str) -> Option<u64> {
    name.get(..DIGITS)?.parse().ok()
}
