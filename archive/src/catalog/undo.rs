//! Undo: what deletes, retention and quota took since a root comes back; what was received since stays (DESIGN §5.7).

use super::{Catalog, Change, Live, Root, apply};
use crate::ArchiveError;

/// What an undo would bring back, or has brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Names of the lists whose parts become live again.
    pub lists: Vec<String>,
    /// Files of those parts.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ids of the masks that are lifted.
    pub masks: Vec<String>,
}

impl Undone {
    /// What has to be undone so that no removal after root `n` holds.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when there was no such root yet, or what was removed since is deleted already.
    pub fn since(live: &Live, n: u64) -> Result<Self, ArchiveError> {
        let (newest, floor) = (live.root_n(), live.floor());
        if n > newest {
            return Err(ArchiveError::Refused(format!(
                "there is no root {n} yet, the newest is {newest}"
            )));
        }
        if n < floor {
            return Err(ArchiveError::Refused(format!(
                "files that were live in root {n} are deleted; the oldest root that can be gone back to is {floor}"
            )));
        }
        let mut undone = Self::default();
        for entry in live
            .condemned()
            .iter()
            .filter(|entry| entry.root > n && entry.why.is_loss())
        {
            undone.lists.push(entry.name.clone());
            undone.files += entry.files;
            undone.bytes += entry.bytes;
        }
        let masks = live.masks().iter().filter(|mask| mask.number > n);
        undone.masks.extend(masks.map(|mask| mask.id.clone()));
        Ok(undone)
    }

    /// Whether there is nothing to undo.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.masks.is_empty()
    }
}

/// Takes back every removal since root `n`. `None` when there was none.
///
/// # Errors
/// As [`Undone::since`] and [`apply`].
pub async fn rollback(
    catalog: &Catalog,
    n: u64,
    nonce: &str,
    now_ms: i64,
) -> Result<Option<(Root, Undone)>, ArchiveError> {
    let mut undone = Undone::default();
    let root = apply(catalog, nonce, now_ms, |live| {
        undone = Undone::since(live, n)?;
        let change = Change {
            restored: undone.lists.clone(),
            lifted: undone.masks.clone(),
            ..Change::default()
        };
        Ok::<_, ArchiveError>(Some(change))
    });
    Ok(root.await?.map(|root| (root, undone)))
}
