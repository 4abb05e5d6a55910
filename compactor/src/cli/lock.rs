//! `compactor lock`, `unlock`, `locks`.

use clap::Args;
use emberkeep_archive::Lock;
use emberkeep_model::TenantId;
use emberkeep_service::problem::Outcome;

use super::keeping::{ArchiveFlags, FormFlag, RangeFlags, ReasonFlags, moment, say};
use crate::locks::{self, LockRequest};

/// `compactor lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Whose data [default: everybody's].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    #[command(flatten)]
    range: RangeFlags,
    #[command(flatten)]
    why: ReasonFlags,
}

/// `compactor unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// The lock, as `locks` lists it.
    #[arg(value_name = "ID")]
    id: String,
}

/// `compactor locks`.
#[derive(Debug, Args)]
pub struct LocksArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    #[command(flatten)]
    form: FormFlag,
}

/// Locks a range.
///
/// # Errors
/// A time that is none, and a store that fails.
pub(super) async fn run(args: LockArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let request = LockRequest {
        tenant: args.tenant,
        range: args.range.resolve(kept.now_ms)?,
        reason: args.why.reason.clone(),
        who: args.why.who(),
    };
    let locked = locks::lock(&kept.catalog, &request, kept.now_ms).await?;
    let mut lines = vec![format!("locked: {}", lock_line(&locked.lock))];
    for mask in &locked.masks {
        lines.push(format!(
            "the deletion {} of {} hides rows of this range; they stay in their files, `compactor undelete` shows them again",
            mask.id,
            moment(mask.created_at)
        ));
    }
    if locked.condemned > 0 {
        lines.push(format!(
            "{} removals were made before and can still be undone with `compactor rollback`; a lock does not bring them back",
            locked.condemned
        ));
    }
    say(&lines)?;
    Ok(Outcome::Done)
}

/// Releases a lock.
///
/// # Errors
/// An id that no lock has, and a store that fails.
pub(super) async fn unlock(args: UnlockArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let lock = locks::unlock(&kept.catalog, &args.id, kept.now_ms).await?;
    say(&[format!("released: {}", lock_line(&lock))])?;
    Ok(Outcome::Done)
}

/// Lists locks.
///
/// # Errors
/// A store that fails.
pub(super) async fn locks(args: LocksArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let live = kept.catalog.live().await?;
    args.form.print(&live.locks(), |out| {
        live.locks()
            .iter()
            .try_for_each(|lock| writeln!(out, "{}", lock_line(lock)))
    })?;
    Ok(Outcome::Done)
}

/// A lock in one line.
pub(super) fn lock_line(lock: &Lock) -> String {
    format!(
        "{}  {}  from {} to {}  by {} at {}: {}",
        lock.id,
        lock.tenant.as_deref().unwrap_or("all tenants"),
        moment(lock.from),
        moment(lock.to),
        lock.who,
        moment(lock.created_at),
        lock.reason,
    )
}
