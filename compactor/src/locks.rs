//! Locks: ranges that neither retention, nor deletion, nor a quota may touch until they are released.
//!
//! A lock holds from the root that names it. It does not bring back what is gone: what it cannot keep any more is told to whoever
//! locks, because a legal hold that silently covers less than it says would be worse than none.

use emberkeep_archive::{Catalog, Change, Lock, Mask, PartEntry, Ulid, apply, forget_locks, fresh_nonce};
use emberkeep_model::{TenantId, TimeRange};

use crate::guard::UpkeepError;

/// What is to be kept, who says so, and why.
#[derive(Debug, Clone)]
pub struct LockRequest {
    /// Whose data; none = everybody's.
    pub tenant: Option<TenantId>,
    /// Which time.
    pub range: TimeRange,
    /// Why, in words.
    pub reason: String,
    /// Who asks for it.
    pub who: String,
}

/// A lock that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The lock.
    pub lock: Lock,
    /// Deletions in force that hide rows of the locked range; they stay hidden, but are not rewritten.
    pub masks: Vec<Mask>,
    /// Lists of files that were removed before and can still be brought back with `compactor rollback`.
    pub condemned: usize,
}

/// Locks a range.
///
/// # Errors
/// [`UpkeepError::Invalid`] for an empty range; otherwise as [`apply`].
pub async fn lock(catalog: &Catalog, request: &LockRequest, now_ms: i64) -> Result<Locked, UpkeepError> {
    let LockRequest {
        tenant,
        range,
        reason,
        who,
    } = request;
    if range.is_empty() {
        return Err(UpkeepError::Invalid(
            "the range is empty: `--to` must be after `--from`".to_owned(),
        ));
    }
    let lock = Lock {
        id: Ulid::generate().to_string(),
        tenant: tenant.as_ref().map(|tenant| tenant.as_str().to_owned()),
        from: range.start,
        to: range.end,
        reason: reason.clone(),
        who: who.clone(),
        created_at: now_ms,
    };
    let mut locked = Locked {
        lock: lock.clone(),
        masks: Vec::new(),
        condemned: 0,
    };
    let applied = apply(catalog, &fresh_nonce(), now_ms, |live| {
        let is_inside = |mask: &&Mask| lock.keeps(Some(&mask.tenant), mask.from, mask.to.saturating_sub(1));
        locked.masks = live.masks().iter().filter(is_inside).cloned().collect();
        locked.condemned = live.condemned().iter().filter(|list| list.why.is_loss()).count();
        Ok::<_, UpkeepError>(Some(Change {
            locks: vec![lock.clone()],
            ..Change::default()
        }))
    })
    .await;
    if applied.as_ref().is_err_and(UpkeepError::is_certain) {
        // Its object may be there since a race that was lost: a rebuilt catalog must not lock what nobody was told is locked.
        forget_locks(catalog, &[lock.id]).await?;
    }
    applied?;
    Ok(locked)
}

/// Releases a lock.
///
/// # Errors
/// [`UpkeepError::Unknown`] when no lock has the id; otherwise as [`apply`].
pub async fn unlock(catalog: &Catalog, id: &str, now_ms: i64) -> Result<Lock, UpkeepError> {
    let mut released = None;
    apply(catalog, &fresh_nonce(), now_ms, |live| {
        released = live.locks().iter().find(|lock| lock.id == id).cloned();
        match &released {
            Some(lock) => Ok(Some(Change {
                released: vec![lock.id.clone()],
                ..Change::default()
            })),
            None => Err(UpkeepError::Unknown {
                what: "lock",
                id: id.to_owned(),
            }),
        }
    })
    .await?;
    forget_locks(catalog, &[id.to_owned()]).await?;
    Ok(released.expect("the change was decided before the root was created"))
}

/// Whether a lock keeps rows of the part: it may be merged, but no row of it may be left out.
#[must_use]
pub fn keeps(locks: &[Lock], part: &PartEntry) -> bool {
    locks.iter().any(|lock| lock.keeps_part(part))
}

#[cfg(test)]
mod tests;
