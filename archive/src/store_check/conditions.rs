//! The one primitive of the catalog: an object is created only if it does not exist, and of many creators one wins.

use futures::future::join_all;

use super::ground::{Ground, Shortfall, at, broken, noise};

/// Creators of a race.
const CREATORS: u64 = 16;

/// Races that are run; a store that looks and writes in two steps seldom gets through one of them unseen.
const RACES: u64 = 4;

/// How often a creation is tried that fails while other writes succeed.
const ATTEMPTS: u64 = 3;

/// Said whenever creations are not what they must be.
const REMEDY: &str = "conditional writes (`If-None-Match: *`) are missing; without them two writers overwrite each other's records: \
    upgrade the store, or use one that has them (Amazon S3, MinIO, Ceph RGW, Cloudflare R2, Google Cloud Storage, Azure Blob, a directory)";

/// The second of two creations of one object is refused, and changes nothing.
pub(super) async fn create_twice(ground: &Ground) -> Result<(), Shortfall> {
    let (first, second) = (noise(1, 500), noise(2, 700));
    let path = first_creation(ground, &first).await?;
    let again = ground.create(&path, second.clone()).await;
    match ground.get(&path).await? {
        Some(found) if found == second => broken(format!("a second creation overwrote the first; {REMEDY}")),
        Some(found) if found == first => match again {
            Ok(()) => broken(format!("a second creation was said to succeed; {REMEDY}")),
            // Whatever it said, it was not done, and the catalog believes only what it reads back.
            Err(_) => Ok(()),
        },
        Some(_) => broken("a created object has other content than was given"),
        None => broken("a created object cannot be read"),
    }
}

/// Creates an object. A store that does not know the condition may ignore it, which shows later, or refuse the request, in any of many ways:
/// when plain writes before and after succeed, the refusal is meant.
async fn first_creation(ground: &Ground, content: &bytes::Bytes) -> Result<object_store::path::Path, Shortfall> {
    let mut attempt = 1;
    loop {
        let path = ground.path(&format!("object-{attempt}"));
        ground
            .put(&ground.path(&format!("plain-{attempt}")), noise(3, 100))
            .await?;
        let error = match ground.create(&path, content.clone()).await {
            Ok(()) => return Ok(path),
            Err(error) => error,
        };
        let unsupported = matches!(
            error,
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }
        );
        let denied = matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
        );
        if unsupported || (attempt == ATTEMPTS && !denied) {
            return broken(format!(
                "creating a new object fails while plain writes succeed ({error}); {REMEDY}"
            ));
        }
        if denied {
            return Err(at(&path)(error));
        }
        attempt += 1;
    }
}

/// Of 16 that create one object at the same moment, at most one is told that it did, and its content stays.
pub(super) async fn race(ground: &Ground) -> Result<(), Shortfall> {
    for round in 0..RACES {
        let path = ground.path(&round.to_string());
        let contents: Vec<_> = (0..CREATORS).map(|creator| noise(100 + creator, 300)).collect();
        let answers = join_all(contents.iter().map(|content| ground.create(&path, content.clone()))).await;
        let winners: Vec<_> = (0..answers.len()).filter(|creator| answers[*creator].is_ok()).collect();
        let found = ground.get(&path).await?;
        let Some(holder) = contents.iter().position(|content| Some(content) == found.as_ref()) else {
            // All may have been turned away by a conflict (S3's 409) that left nothing; that one answer would be an error then.
            let error = answers.into_iter().find_map(Result::err);
            return match (found, winners.is_empty(), error) {
                (None, true, Some(error)) => Err(at(&path)(error)),
                (None, ..) => broken("the winner of a race cannot read what it created"),
                (Some(_), ..) => broken("a race of creators left content that none of them gave"),
            };
        };
        if winners.len() > 1 {
            let count = winners.len();
            return broken(format!(
                "{count} of {CREATORS} creators of one object were told that they made it; {REMEDY}"
            ));
        }
        // Nobody may have been told: the client repeats a request whose answer was lost, and then finds its own object.
        if winners.first().is_some_and(|winner| *winner != holder) {
            return broken(format!("the creator that was told it won a race did not; {REMEDY}"));
        }
    }
    Ok(())
}
