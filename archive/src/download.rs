//! Bringing a file of a part from the store to local disk, whole, and believing none of its bytes before the checksum fits.
//!
//! A merge reads each input once from end to end: one request for each file instead of thousands of small ones, and damage is found before
//! the first row is.

use std::io::Write;
use std::sync::Arc;

use emberkeep_disk::File;
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::{ArchiveError, Checksummed, FileEntry};

/// Bytes that are gathered for one write.
const WRITE_BYTES: usize = 1 << 20;

/// Writes the whole object into an empty local file; at most about 1 MiB is held in memory, and what the store gives at a time.
///
/// # Errors
/// [`ArchiveError::Store`] when the store fails, [`ArchiveError::Write`] when the local file does, [`ArchiveError::Corrupt`] when
/// length or checksum are not those of the entry.
pub async fn download(store: &dyn ObjectStore, entry: &FileEntry, file: Arc<dyn File>) -> Result<(), ArchiveError> {
    let path = &entry.location()?;
    let answer = store.get(path).await.map_err(ArchiveError::store(path))?;
    let mut stream = answer.into_stream();
    let mut checksum = Checksummed::new(std::io::sink());
    let (mut gathered, mut offset) = (Vec::new(), 0_u64);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(ArchiveError::store(path))?;
        checksum.write_all(&chunk).map_err(ArchiveError::Write)?;
        if checksum.bytes() > entry.bytes {
            break;
        }
        gathered.extend_from_slice(&chunk);
        if gathered.len() >= WRITE_BYTES {
            let length = gathered.len() as u64;
            write(&file, std::mem::take(&mut gathered), offset).await?;
            offset += length;
        }
    }
    if checksum.bytes() != entry.bytes {
        let reason = format!("it does not have the {} bytes that the catalog says", entry.bytes);
        return Err(ArchiveError::corrupt(path, reason));
    }
    if !entry.has_checksum(checksum.crc32c()) {
        let found = checksum.crc32c();
        let reason = format!("its checksum is `{found:08x}`, the catalog says `{:08x}`", entry.crc32c);
        return Err(ArchiveError::corrupt(path, reason));
    }
    write(&file, gathered, offset).await
}

async fn write(file: &Arc<dyn File>, bytes: Vec<u8>, offset: u64) -> Result<(), ArchiveError> {
    let file = Arc::clone(file);
    let written = tokio::task::spawn_blocking(move || file.write_all_at(&bytes, offset)).await;
    let written = written.map_err(std::io::Error::other).and_then(|result| result);
    written.map_err(ArchiveError::Write)
}
