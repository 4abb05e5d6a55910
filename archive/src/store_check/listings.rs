//! What is listed: everything that was written, at once, under its own name, in the order of names, and only below the prefix.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::ground::{Ground, Shortfall, at, broken, noise};
use super::names_below;

/// Names of level 1 hold tenants, which may hold almost anything.
const ODD_NAMES: [&str; 5] = [
    "tenant=a b",
    "tenant=100%",
    "tenant=ä€",
    "tenant=a+b&c;d",
    "part-0.samples.parquet",
];

async fn write(ground: &Ground, names: impl IntoIterator<Item = String>) -> Result<Vec<Path>, Shortfall> {
    let paths: Vec<Path> = names.into_iter().map(|name| ground.path(&name)).collect();
    for path in &paths {
        ground.put(path, noise(4, 64)).await?;
    }
    Ok(paths)
}

/// An object is listed as soon as its write was answered, with its size.
pub(super) async fn list_after_write(ground: &Ground) -> Result<(), Shortfall> {
    for n in 0..8_usize {
        let path = ground.path(&format!("{n:020}"));
        ground.put(&path, noise(5, 10 + n)).await?;
        let listed: Vec<_> = ground
            .store
            .list(Some(&ground.area))
            .try_collect()
            .await
            .map_err(at(&ground.area))?;
        let Some(object) = listed.iter().find(|object| object.location == path) else {
            return broken("an object that was just written is not listed: listings lag behind writes");
        };
        if object.size != 10 + n as u64 {
            return broken(format!("an object of {} bytes is listed with {}", 10 + n, object.size));
        }
        if listed.len() != n + 1 {
            return broken(format!(
                "{} objects were written and {} are listed",
                n + 1,
                listed.len()
            ));
        }
    }
    Ok(())
}

/// The newest root has the least name and must be on the first page of a listing.
pub(super) async fn list_in_order(ground: &Ground) -> Result<(), Shortfall> {
    let order = [7, 2, 9, 0, 4, 8, 1, 6, 3, 5, 11, 10];
    let mut written = write(ground, order.map(|n| format!("{:020}", u64::MAX - n))).await?;
    written.sort_unstable();
    let listed = names_below(&*ground.store, &ground.area).await?;
    if listed == written {
        return Ok(());
    }
    broken("names are not listed in their order (as with S3 directory buckets): use a general purpose bucket")
}

/// A prefix is a folder: what only begins alike is not in it.
pub(super) async fn list_by_prefix(ground: &Ground) -> Result<(), Shortfall> {
    let outside = ground.path("log2").join("x");
    let (inside, deeper) = (ground.path("log").join("x"), ground.path("log").join("y").join("z"));
    for path in [&outside, &inside, &deeper, &ground.path("log.x")] {
        ground.put(path, noise(6, 32)).await?;
    }
    let listed = names_below(&*ground.store, &ground.path("log")).await?;
    if listed == [inside, deeper] {
        return Ok(());
    }
    let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
    broken(format!(
        "a listing below a prefix gives other objects than lie there: {listed:?}"
    ))
}

/// A name is listed as it was written, and can be read under it.
pub(super) async fn names_kept(ground: &Ground) -> Result<(), Shortfall> {
    let mut written = write(ground, ODD_NAMES.map(ToOwned::to_owned)).await?;
    written.sort_unstable();
    let mut listed = names_below(&*ground.store, &ground.area).await?;
    listed.sort_unstable();
    if listed != written {
        return broken("objects are listed under other names than they were written");
    }
    for path in &listed {
        if ground.get(path).await?.is_none() {
            return broken(format!("`{path}` is listed and cannot be read"));
        }
    }
    Ok(())
}

/// What is deleted is gone at once, one by one and many in one request; the rest stays.
pub(super) async fn delete(ground: &Ground) -> Result<(), Shortfall> {
    let written = write(ground, (0..12).map(|n| format!("object {n}"))).await?;
    let (doomed, kept) = written.split_at(10);
    let deletions = stream::iter(doomed.to_vec()).map(Ok).boxed();
    let deleted: Vec<_> = ground
        .store
        .delete_stream(deletions)
        .try_collect()
        .await
        .map_err(at(&ground.area))?;
    if deleted.len() != doomed.len() {
        return broken(format!("of {} deletions {} were answered", doomed.len(), deleted.len()));
    }
    for path in doomed {
        if ground.get(path).await?.is_some() {
            return broken("an object that was deleted can still be read");
        }
    }
    let mut listed = names_below(&*ground.store, &ground.area).await?;
    listed.sort_unstable();
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    if listed != kept {
        return broken("after deletions other objects are listed than those that were not deleted");
    }
    Ok(())
}
