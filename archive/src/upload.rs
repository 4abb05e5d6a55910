//! Bringing a local file into the store: small ones in one request, large ones in parts.
//!
//! The name is new (it carries a ULID), so a second upload after a failed one writes the same bytes again. The record that names the file
//! is made only after the upload returned.

use std::io::{self, Write};
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use emberkeep_disk::{File, FileSystem};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::checksum::checksum_of;
use crate::local_file::LocalSource;
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
    if bytes <= PART_BYTES {
        let mut checksum = Checksummed::new(io::sink());
        let content = read(&file, 0, bytes).await?;
        checksum.write_all(&content).map_err(ArchiveError::Write)?;
        verify(entry, checksum.crc32c())?;
        let payload = PutPayload::from_bytes(content);
        store.put(path, payload).await.map_err(ArchiveError::store(path))?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await.map_err(ArchiveError::store(path))?;
    let sent = put_parts(entry, &file, &mut *upload).await;
    finish(entry, upload, sent).await
}

/// As [`upload`], of a file that is never written again: where the store is a directory of the same file system, a large one gets a second
/// name there instead of a second content, and its bytes are read for the checksum alone.
///
/// # Errors
/// As [`upload`].
pub async fn upload_file(
    store: &dyn ObjectStore,
    entry: &FileEntry,
    fs: &Arc<dyn FileSystem>,
    from: &FilePath,
) -> Result<(), ArchiveError> {
    let file: Arc<dyn File> = Arc::from(fs.open(from).map_err(ArchiveError::Write)?);
    if entry.bytes <= PART_BYTES {
        return upload(store, entry, file).await;
    }
    let (path, source) = (&entry.location()?, LocalSource::new(from));
    let begun = store.put_multipart_opts(path, source.offer()).await;
    let mut upload = begun.map_err(ArchiveError::store(path))?;
    let sent = match source.is_taken() {
        true => check(entry, &file).await,
        false => put_parts(entry, &file, &mut *upload).await,
    };
    finish(entry, upload, sent).await
}

/// Gives the object its name when all of it was sent; otherwise takes everything back.
async fn finish(
    entry: &FileEntry,
    mut upload: Box<dyn MultipartUpload>,
    sent: Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let path = &entry.location()?;
    let outcome = match sent {
        Ok(()) => upload.complete().await.map(drop).map_err(ArchiveError::store(path)),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // The store forgets unfinished uploads by itself, later; the first error is the one to tell.
        let _ = upload.abort().await;
    }
    outcome
}

/// Sends all bytes, and says whether they were those of the entry.
async fn put_parts(
    entry: &FileEntry,
    file: &Arc<dyn File>,
    upload: &mut dyn MultipartUpload,
) -> Result<(), ArchiveError> {
    let (path, mut checksum) = (&entry.location()?, Checksummed::new(io::sink()));
    while checksum.bytes() < entry.bytes {
        let length = PART_BYTES.min(entry.bytes - checksum.bytes());
        let chunk = read(file, checksum.bytes(), length).await?;
        checksum.write_all(&chunk).map_err(ArchiveError::Write)?;
        let sent = upload.put_part(PutPayload::from_bytes(chunk)).await;
        sent.map_err(ArchiveError::store(path))?;
    }
    verify(entry, checksum.crc32c())
}

/// Reads a file for its checksum alone.
async fn check(entry: &FileEntry, file: &Arc<dyn File>) -> Result<(), ArchiveError> {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || checksum_of(&*file)).await;
    let read = read.map_err(io::Error::other).and_then(|result| result);
    let (bytes, crc32c) = read.map_err(ArchiveError::Write)?;
    if bytes != entry.bytes {
        let reason = format!("the local copy has {bytes} bytes, {} were written", entry.bytes);
        return Err(ArchiveError::corrupt(&entry.path, reason));
    }
    verify(entry, crc32c)
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
        let mut buffer = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(Bytes::from(buffer))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other);
    read.and_then(|result| result).map_err(ArchiveError::Write)
}
