//! Undo: every removal since a root is taken back, and no receipt is (DESIGN §5.7).
//!
//! What retention and the quota took would be taken again by their next run; so an undo tells which reasons it undid, for the operator to
//! change the rules or to lock the range first.

use std::collections::BTreeMap;

use emberkeep_archive::{Catalog, Live, Removal, Undone, forget_masks, fresh_nonce, rollback};

use crate::guard::UpkeepError;

/// Where to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A root by its number.
    Root(u64),
    /// The root that was the newest at a moment, milliseconds since 1970.
    Time(i64),
}

/// What an undo brings back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The root after which removals are undone.
    pub target: u64,
    /// The root that undid them; none when it is only looked at, or when there is nothing to undo.
    pub root: Option<u64>,
    /// What comes back.
    pub undone: Undone,
    /// Files by the reason for which they were removed.
    pub reasons: BTreeMap<Removal, u64>,
}

impl Undo {
    fn of(live: &Live, target: u64, undone: Undone) -> Self {
        let mut reasons = BTreeMap::new();
        for entry in live
            .condemned()
            .iter()
            .filter(|entry| undone.lists.contains(&entry.name))
        {
            *reasons.entry(entry.why).or_insert(0) += entry.files;
        }
        Self {
            target,
            root: None,
            undone,
            reasons,
        }
    }

    /// Whether the next run of retention or quota would take it away again.
    #[must_use]
    pub fn would_go_again(&self) -> bool {
        [Removal::Expired, Removal::Quota]
            .iter()
            .any(|why| self.reasons.contains_key(why))
    }
}

/// The number of the root that is meant.
///
/// # Errors
/// [`UpkeepError::Archive`] when there was no such root, or it is not retained.
pub async fn root_of(catalog: &Catalog, target: Target) -> Result<u64, UpkeepError> {
    match target {
        Target::Root(n) => Ok(n),
        Target::Time(moment) => Ok(catalog.as_of(moment).await?.root_n),
    }
}

/// What an undo would bring back. Nothing is changed.
///
/// # Errors
/// As [`Undone::since`] and [`root_of`].
pub async fn preview(catalog: &Catalog, target: Target) -> Result<Undo, UpkeepError> {
    let n = root_of(catalog, target).await?;
    let live = catalog.live().await?;
    let undone = Undone::since(&live, n)?;
    Ok(Undo::of(&live, n, undone))
}

/// Takes every removal since the root back.
///
/// # Errors
/// As [`rollback`] and [`root_of`].
pub async fn undo(catalog: &Catalog, target: Target, now_ms: i64) -> Result<Undo, UpkeepError> {
    let before = preview(catalog, target).await?;
    let Some((root, undone)) = rollback(catalog, before.target, &fresh_nonce(), now_ms).await? else {
        return Ok(before);
    };
    forget_masks(catalog, &undone.masks).await?;
    Ok(Undo {
        root: Some(root.n),
        undone,
        ..before
    })
}

#[cfg(test)]
mod tests;
