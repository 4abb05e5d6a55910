//! Bringing a file of a part from the store to local disk, whole, and believing none of its bytes before the checksum fits.
//!
//! A merge reads each input once from end to end: one request for each file instead of thousands of small ones, and damage is found before
//! the first row is. Where the store is a directory of the same file system, the file gets a second name instead of a second content, and is
//! read for its checksum alone; the name stays when the store forgets the object.

use std::io::{self, Write};
use std::path::Path as FilePath;
use std::sync::Arc;

use emberkeep_disk::{File, FileSystem};
use futures::StreamExt;
use object_store::{GetOptions, ObjectStore};

use crate::checksum::checksum_of;
use crate::local_file::LocalFile;
use crate::{ArchiveError, Checksummed, FileEntry};

/// Bytes that are gathered for one write.
const WRITE_BYTES: usize = 1 << 20;

/// Brings the whole object to a local name that is not taken; at most about 1 MiB is held in memory, and what the store gives at a time. The
/// file must not be written afterwards: it may be the object itself.
///
/// # Errors
/// [`ArchiveError::Store`] when the store fails, [`ArchiveError::Write`] when the local file does, [`ArchiveError::Corrupt`] when
/// length or checksum are not those of the entry.
pub async fn download(
    store: &dyn ObjectStore,
    entry: &FileEntry,
    fs: &Arc<dyn FileSystem>,
    to: &FilePath,
) -> Result<(), ArchiveError> {
    let path = &entry.location()?;
    let local = LocalFile::default();
    let answer = store.get_opts(path, local.ask(GetOptions::default())).await;
    let answer = answer.map_err(ArchiveError::store(path))?;
    if let Some(from) = local.path()
        && link(entry, fs, from, to).await?
    {
        return Ok(());
    }
    let file: Arc<dyn File> = Arc::from(fs.create_new(to).map_err(ArchiveError::Write)?);
    let mut stream = answer.into_stream();
    let mut checksum = Checksummed::new(io::sink());
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

/// Gives a file a second name. False when that cannot be, and when the file is not what the entry says: then it is copied, and whoever copies
/// it says what is wrong.
async fn link(
    entry: &FileEntry,
    fs: &Arc<dyn FileSystem>,
    from: &FilePath,
    to: &FilePath,
) -> Result<bool, ArchiveError> {
    let (entry, fs, from, to) = (entry.clone(), Arc::clone(fs), from.to_owned(), to.to_owned());
    let work = move || {
        if fs.hard_link(&from, &to).is_err() {
            return Ok(false);
        }
        match fs.open(&to).and_then(|file| checksum_of(&*file)) {
            Ok((bytes, crc32c)) if bytes == entry.bytes && entry.has_checksum(crc32c) => Ok(true),
            _ => fs.remove_file(&to).map(|()| false),
        }
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|result| result).map_err(ArchiveError::Write)
}

async fn write(file: &Arc<dyn File>, bytes: Vec<u8>, offset: u64) -> Result<(), ArchiveError> {
    let file = Arc::clone(file);
    let written = tokio::task::spawn_blocking(move || file.write_all_at(&bytes, offset)).await;
    let written = written.map_err(io::Error::other).and_then(|result| result);
    written.map_err(ArchiveError::Write)
}

#[cfg(test)]
mod tests;
