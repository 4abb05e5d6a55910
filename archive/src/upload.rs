//! Bringing a local file into the store: small ones in one request, large ones in parts.
//!
//! The name is new (it carries a ULID), so a second upload after a failed one writes the same bytes again. The record that names the file
//! is made only after the upload returned.

use std::sync::Arc;

use bytes::Bytes;
use emberkeep_disk::File;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::ArchiveError;

/// Size of one request's payload; S3 wants at least 5 MiB and at most 10,000 parts.
const PART_BYTES: u64 = 16 << 20;

/// Uploads the first `bytes` bytes of a file; one part of 16 MiB is held in memory.
///
/// # Errors
/// [`ArchiveError::Store`] when the store fails, [`ArchiveError::Write`] when the local file cannot be read or is shorter.
pub async fn upload(store: &dyn ObjectStore, path: &Path, file: Arc<dyn File>, bytes: u64) -> Result<(), ArchiveError> {
    if bytes <= PART_BYTES {
        let payload = PutPayload::from_bytes(read(&file, 0, bytes).await?);
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
        if let Err(error) = upload.put_part(PutPayload::from_bytes(chunk)).await {
            break Err(ArchiveError::store(path)(error));
        }
        offset += length;
        if offset == bytes {
            break upload.complete().await.map(drop).map_err(ArchiveError::store(path));
        }
    };
    if outcome.is_err() {
        // The store forgets unfinished uploads by itself, later; the first error is the one to tell.
        let _ = upload.abort().await;
    }
    outcome
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
