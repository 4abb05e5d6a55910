//! Bringing a local file into the store: small ones in one request, large ones in parts.
//!
//! The name is new (it carries a ULID), so a second upload after a failed one writes the same bytes again. The record that names the file
//! is made only after the upload returned.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use emberkeep_disk::File;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::{ArchiveError, Checksummed, FileEntry};

/// Size of one request's payload; S3 wants at least 5 MiB and at most 10,000 parts.
const PART_BYTES: u64 = 16 << 20;

/// Uploads a local file under the name of its entry; one part of 16 MiB is held in memory. What does not have the entry's checksum never
/// gets its name in the store: the local file is then the only copy, and must stay.
///
/// # Errors
/// [`ArchiveError::Store`] when the store fails, [`ArchiveError::Write`] when the local file cannot be read or is shorter,
/// [`ArchiveError::Corrupt`] when its bytes are not those that were written.
pub async fn upload(store: &dyn ObjectStore, entry: &FileEntry, file: Arc<dyn File>) -> Result<(), ArchiveError> {
    let (path, bytes) = (&entry.location()?, entry.bytes);
    let mut checksum = Checksummed::new(std::io::sink());
    if bytes <= PART_BYTES {
        let content = read(&file, 0, bytes).await?;
        checksum.write_all(&content).map_err(ArchiveError::Write)?;
        verify(entry, checksum.crc32c())?;
        let payload = PutPayload::from_bytes(content);
        store.put(path, payload).await.map_err(ArchiveError::store(path))?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await.map_err(ArchiveError::store(path))?;
    let mut offset = 0;
    let outcome = loop {
        let length = PART_BYTES.min(bytes - offset);
        let chunk = match read(&file, offset, length).await {
            Ok(chunk) => chunk,
            Err(error) => break Err(error),
        };
        if let Err(error) = checksum.write_all(&chunk) {
            break Err(ArchiveError::Write(error));
        }
        if let Err(error) = upload.put_part(PutPayload::from_bytes(chunk)).await {
            break Err(ArchiveError::store(path)(error));
        }
        offset += length;
        if offset == bytes {
            if let Err(error) = verify(entry, checksum.crc32c()) {
                break Err(error);
            }
            break upload.complete().await.map(drop).map_err(ArchiveError::store(path));
        }
    };
    if outcome.is_err() {
        // The store forgets unfinished uploads by itself, later; the first error is the one to tell.
        let _ = upload.abort().await;
    }
    outcome
}

fn verify(entry: &FileEntry, crc32c: u32) -> Result<(), ArchiveError> {
    if crc32c == entry.crc32c {
        return Ok(());
    }
    let reason = format!(
        "the local copy has checksum `{crc32c:08x}`, it was written with `{:08x}`",
        entry.crc32c
    );
    Err(ArchiveError::corrupt(&entry.path, reason))
}

async fn read(file: &Arc<dyn File>, offset: u64, length: u64) -> Result<Bytes, ArchiveError> {
    let file = file.clone();
    let read = move || {
        let mut buffer = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(Bytes::from(buffer))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other);
    read.and_then(|result| result).map_err(ArchiveError::Write)
}
