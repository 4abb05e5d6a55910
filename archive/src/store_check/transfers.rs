//! What is written is what is read: whole, in ranges, and when it was brought in parts.

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutPayload};

use super::ground::{Ground, Shortfall, at, broken, noise};

/// The least that S3 takes as a part that is not the last.
const PART_BYTES: usize = 5 << 20;

/// An object is there as soon as its write was answered, and an object that is not there is said to be absent: also when it was asked for
/// before it existed.
pub(super) async fn write_and_read(ground: &Ground) -> Result<(), Shortfall> {
    let path = ground.path("object");
    if ground.get(&path).await?.is_some() {
        return broken("an object that was never written can be read");
    }
    let content = noise(7, 10_000);
    ground.put(&path, content.clone()).await?;
    match ground.get(&path).await? {
        Some(found) if found == content => {}
        Some(_) => return broken("an object has other content than was written"),
        None => return broken("an object that was just written cannot be read: an earlier answer was kept"),
    }
    let size = ground.store.head(&path).await.map_err(at(&path))?.size;
    if size != content.len() as u64 {
        return broken(format!("an object of {} bytes is said to have {size}", content.len()));
    }
    Ok(())
}

/// Parquet is read in pieces, several at a time.
pub(super) async fn ranged_reads(ground: &Ground) -> Result<(), Shortfall> {
    let path = ground.path("object");
    let content = noise(8, 100_000);
    ground.put(&path, content.clone()).await?;
    let ends_right = |found: &Bytes, range: &std::ops::Range<u64>| {
        let (from, to) = (range.start as usize, range.end as usize);
        found == &content[from..to]
    };
    for range in [0..1, 0..4096, 4095..4097, 50_000..70_000, 99_992..100_000] {
        let found = ground.store.get_range(&path, range.clone()).await.map_err(at(&path))?;
        if !ends_right(&found, &range) {
            return broken(format!("reading bytes {range:?} gives others"));
        }
    }
    let ranges = [10..20, 30_000..30_100, 99_000..100_000];
    let found = ground.store.get_ranges(&path, &ranges).await.map_err(at(&path))?;
    if found.len() != ranges.len() || !found.iter().zip(&ranges).all(|(found, range)| ends_right(found, range)) {
        return broken("reading several ranges gives other bytes");
    }
    Ok(())
}

/// Large files come in parts: nothing is seen before the end, everything after it, in order.
pub(super) async fn multipart(ground: &Ground) -> Result<(), Shortfall> {
    let path = ground.path("object");
    let content = noise(9, PART_BYTES + 1000);
    let mut upload = ground.store.put_multipart(&path).await.map_err(at(&path))?;
    for part in [content.slice(..PART_BYTES), content.slice(PART_BYTES..)] {
        upload.put_part(PutPayload::from_bytes(part)).await.map_err(at(&path))?;
    }
    if ground.get(&path).await?.is_some() {
        return broken("an upload can be read before it is complete");
    }
    upload.complete().await.map_err(at(&path))?;
    match ground.get(&path).await? {
        Some(found) if found == content => Ok(()),
        Some(found) => broken(format!(
            "an object of {} bytes uploaded in parts reads as {} other bytes",
            content.len(),
            found.len()
        )),
        None => broken("an object that was uploaded in parts cannot be read"),
    }
}

/// What was given up is never seen.
pub(super) async fn aborted_multipart(ground: &Ground) -> Result<(), Shortfall> {
    let path = ground.path("object");
    let mut upload = ground.store.put_multipart(&path).await.map_err(at(&path))?;
    let part = PutPayload::from_bytes(noise(10, 1000));
    upload.put_part(part).await.map_err(at(&path))?;
    upload.abort().await.map_err(at(&path))?;
    if ground.get(&path).await?.is_some() {
        return broken("an upload that was aborted can be read");
    }
    Ok(())
}
