//! Whether a store does what the archive rests on, found out by doing it.
//!
//! Stores that call themselves compatible differ in exactly the corners that everything here is built on: a creation that overwrites, a
//! listing that lags or has an order of its own. That shows as lost data months later, so it is looked for before a bucket becomes an archive, and
//! whenever somebody asks. All happens below `_archive/check/<ulid>/`, a folder of its own for each run, which is removed in the end.
//!
//! What the store does wrong and what it does not let us do (no rights, no answer) are told apart: only the first is a verdict. It must never
//! touch an object that it did not make itself.

mod conditions;
mod ground;
mod listings;
mod transfers;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use crate::ArchiveError;
use ground::{Ground, Shortfall};

/// What a process that died left behind is removed by the next check when it is older than this.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreCheckError {
    /// It does something else than the archive rests on: no archive may be kept there.
    #[error("the object store cannot hold an archive: {}", .0.join("; "))]
    Unfit(Vec<String>),
    /// It could not be found out: the store did not answer or does not let us. Try again when that is mended.
    #[error("the object store could not be checked: {check}: {error}{}", hint(.error))]
    Unavailable {
        /// The check that could not be made.
        check: &'static str,
        /// What the store said. Not as a source, whose text would be told twice: the advice stands at the end.
        error: ArchiveError,
    },
}

/// What one check found.
#[derive(Debug)]
pub struct StoreFinding {
    /// What was checked, in a few words that stay the same.
    pub check: &'static str,
    /// Nothing when the store is as it must be; otherwise what it did, or why that is not known.
    pub trouble: Option<String>,
}

type Check = for<'g> fn(&'g Ground) -> BoxFuture<'g, Result<(), Shortfall>>;

/// The check after whose failure no other is made.
const CREATE: &str = "create twice";

/// Each check, in the order in which they are made: a later one uses what an earlier one has shown.
const CHECKS: [(&str, Check); 11] = [
    ("write and read", |ground| Box::pin(transfers::write_and_read(ground))),
    (CREATE, |ground| Box::pin(conditions::create_twice(ground))),
    ("race of 16 creators", |ground| Box::pin(conditions::race(ground))),
    ("list after write", |ground| {
        Box::pin(listings::list_after_write(ground))
    }),
    ("list in order", |ground| Box::pin(listings::list_in_order(ground))),
    ("list by prefix", |ground| Box::pin(listings::list_by_prefix(ground))),
    ("names kept", |ground| Box::pin(listings::names_kept(ground))),
    ("ranged reads", |ground| Box::pin(transfers::ranged_reads(ground))),
    ("multipart upload", |ground| Box::pin(transfers::multipart(ground))),
    ("aborted upload", |ground| {
        Box::pin(transfers::aborted_multipart(ground))
    }),
    ("delete", |ground| Box::pin(listings::delete(ground))),
];

/// Checks a store; each finding is told as it is made. About 150 small requests and 12 MiB in both directions.
///
/// # Errors
/// [`StoreCheckError::Unfit`] with all that the store does wrong, else [`StoreCheckError::Unavailable`] with the first thing that could not
/// be found out.
pub async fn check_store(
    store: &Arc<dyn ObjectStore>,
    mut told: impl FnMut(&StoreFinding) + Send,
) -> Result<(), StoreCheckError> {
    let own = Ulid::generate();
    let area = checks().join(own.to_string());
    let (mut broken, mut unknown) = (Vec::new(), None);
    for (check, run) in CHECKS {
        let outcome = run(&Ground::new(store.clone(), area.clone().join(check.replace(' ', "-")))).await;
        let trouble = match outcome {
            Ok(()) => None,
            Err(Shortfall::Broken(what)) => {
                broken.push(format!("{check}: {what}"));
                Some(what)
            }
            Err(Shortfall::Store(error)) => {
                let what = format!("{error}{}", hint(&error));
                unknown.get_or_insert((check, error));
                Some(what)
            }
        };
        told(&StoreFinding { check, trouble });
        // Without rights or an answer the others would say the same; without creations nothing else matters.
        if unknown.is_some() || (check == CREATE && !broken.is_empty()) {
            break;
        }
    }
    let swept = sweep(store, own).await;
    if !broken.is_empty() {
        return Err(StoreCheckError::Unfit(broken));
    }
    match (unknown, swept) {
        (Some((check, error)), _) => Err(StoreCheckError::Unavailable { check, error }),
        (None, Err(error)) => Err(StoreCheckError::Unavailable {
            check: "clean up",
            error,
        }),
        (None, Ok(())) => Ok(()),
    }
}

/// The folder of all checks.
fn checks() -> Path {
    Path::from_iter(["_archive", "check"])
}

/// Removes what this check made, and what checks that never ended left long ago. One that runs at the same time keeps its own.
async fn sweep(store: &Arc<dyn ObjectStore>, own: Ulid) -> Result<(), ArchiveError> {
    let all = checks();
    let found: Vec<_> = store
        .list(Some(&all))
        .try_collect()
        .await
        .map_err(ArchiveError::store(&all))?;
    let is_ours_to_remove = |path: &Path| {
        let run = path.parts().nth(2).and_then(|run| Ulid::from_string(run.as_ref()).ok());
        run.is_some_and(|run| {
            let age = own.timestamp_ms().saturating_sub(run.timestamp_ms());
            run == own || u128::from(age) > LEFT_BEHIND.as_millis()
        })
    };
    for object in found {
        if is_ours_to_remove(&object.location) {
            match store.delete(&object.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(ArchiveError::store(&object.location)(error)),
            }
        }
    }
    Ok(())
}

/// What an operator can do about a request that was not let through.
fn hint(error: &ArchiveError) -> &'static str {
    let ArchiveError::Store { source, .. } = error else {
        return "";
    };
    // Listings and deletions that are not allowed come as errors of no special kind.
    let text = source.to_string();
    if text.contains("NoSuchBucket") {
        "; create the bucket, or name another one"
    } else if text.contains("SignatureDoesNotMatch")
        || text.contains("InvalidAccessKeyId")
        || matches!(source, object_store::Error::Unauthenticated { .. })
    {
        "; the store does not know this key or secret"
    } else if matches!(source, object_store::Error::PermissionDenied { .. })
        || text.contains("403 Forbidden")
        || text.contains("AccessDenied")
    {
        "; the key lacks rights: a receiver needs to list and read the bucket, to write below `_archive/` and to delete below \
         `_archive/check/` (deploy/iam)"
    } else {
        ""
    }
}

/// The names below a prefix, as the store lists them.
async fn names_below(store: &dyn ObjectStore, prefix: &Path) -> Result<Vec<Path>, Shortfall> {
    let listing = store
        .list(Some(prefix))
        .map(|found| found.map(|object| object.location));
    let names = listing.try_collect().await;
    names.map_err(|error| Shortfall::Store(ArchiveError::store(prefix)(error)))
}

#[cfg(test)]
mod tests;
