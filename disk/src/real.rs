//! The operating system's file system behind the trait.
//!
//! Thin on purpose: each call is one system call (or the documented fallback), and an error keeps its kind and gains the
//! path. It must never add or leave out a sync.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::{CachedRead, Entry, EntryKind, File, FileSystem, cached};

/// How many zeros are written at a time where the file system cannot reserve space.
const ZEROS_BYTES: usize = 64 * 1024;

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

/// An error with the operation and the path that it happened to; it becomes the inside of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{operation} `{}`: {error}", path.display())]
struct PathError {
    operation: &'static str,
    path: PathBuf,
    // Not named `source`: it is in the text already, and a chain of causes would print it twice.
    error: io::Error,
}

/// Adds operation and path to an error and keeps its kind.
fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        io::Error::new(
            error.kind(),
            PathError {
                operation,
                path: path.to_path_buf(),
                error,
            },
        )
    }
}

impl FileSystem for RealFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(at("create", path))?;
        Ok(Box::new(RealFile::new(file, path)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let writable = fs::OpenOptions::new().read(true).write(true).open(path);
        let file = match writable {
            // An archive may be read from a medium that cannot be written, or by a user who must not: writing fails then, reading works.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                fs::File::open(path).map_err(at("open", path))?
            }
            opened => opened.map_err(at("open", path))?,
        };
        Ok(Box::new(RealFile::new(file, path)))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(at("open", path))?;
        let file = RealFile::new(file, path);
        // A refusal (some network file systems, and those in memory) leaves a file like any other.
        let is_direct = file.set_direct(true).is_ok();
        file.is_direct.store(is_direct, Ordering::Relaxed);
        Ok(Box::new(file))
    }

    fn read_cached(&self, path: &Path, ranges: &[Range<u64>]) -> CachedRead {
        cached::read(path, ranges)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        let found = rustix::fs::statvfs(path).map_err(|error| at("examine the file system of", path)(error.into()))?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(at("rename", from))
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        fs::hard_link(original, link).map_err(at("link", link))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(at("remove", path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path).map_err(at("create directory", path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path).map_err(at("remove directory", path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for item in fs::read_dir(path).map_err(at("list", path))? {
            let item = item.map_err(at("list", path))?;
            match self.metadata(&item.path()) {
                Ok(entry) => entries.push(entry),
                // Removed since it was listed, or a dangling link: there is nothing by that name.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        let metadata = fs::metadata(path).map_err(at("examine", path))?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_dir() => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        Ok(Entry {
            name: path.file_name().unwrap_or_default().to_os_string(),
            kind,
            len: if kind == EntryKind::File { metadata.len() } else { 0 },
            modified: metadata.modified().map_err(at("examine", path))?,
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| at("open directory", path)(error.into()))?;
        fs::File::from(directory).sync_all().map_err(at("sync directory", path))
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct RealFile {
    file: fs::File,
    path: Arc<Path>,
    /// Whether writes bypass the page cache.
    is_direct: AtomicBool,
}

impl File for RealFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.file.write_all_at(bytes, offset) {
            // Blocks larger than ours, or a file system that refuses only now: through the page cache then.
            Err(error)
                if error.kind() == io::ErrorKind::InvalidInput && self.is_direct.swap(false, Ordering::Relaxed) =>
            {
                self.set_direct(false)
                    .and_then(|()| self.file.write_all_at(bytes, offset))
            }
            result => result,
        }
        .map_err(at("write", &self.path))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(at("read", &self.path)),
            }
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                // Network and copy-on-write file systems have no reservation: writing zeros is the nearest thing.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return self.write_zeros(len),
                Err(error) => return Err(at("allocate", &self.path)(error.into())),
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(at("resize", &self.path))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().map_err(at("sync", &self.path))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all().map_err(at("sync", &self.path))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(at("examine", &self.path))?.len())
    }
}

impl RealFile {
    fn new(file: fs::File, path: &Path) -> Self {
        Self {
            file,
            path: path.into(),
            is_direct: AtomicBool::new(false),
        }
    }

    fn set_direct(&self, is_direct: bool) -> io::Result<()> {
        let mut flags = rustix::fs::fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, is_direct);
        Ok(rustix::fs::fcntl_setfl(&self.file, flags)?)
    }

    fn write_zeros(&self, len: u64) -> io::Result<()> {
        let zeros = [0_u8; ZEROS_BYTES];
        let mut offset = self.len()?;
        while offset < len {
            let count = usize::try_from(len - offset).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
            self.write_all_at(&zeros[..count], offset)?;
            offset += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{DIRECT_BLOCK_BYTES, DirectBuffer, read_to_vec};

    /// Whether or not the disk under the temporary directory can do it: the bytes are there, for every reader.
    #[test]
    fn direct_writes_are_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        RealFs.create_new(&path).unwrap().allocate(16384).unwrap();
        let file = RealFs.open_direct(&path).unwrap();
        let mut buffer = DirectBuffer::new(1);
        buffer.fill(b"direct");
        file.write_all_at(buffer.padded(DIRECT_BLOCK_BYTES), 4096).unwrap();
        // Not aligned: falls back to the page cache, and stays there.
        file.write_all_at(b"cached", 9000).unwrap();
        file.sync_data().unwrap();
        let bytes = read_to_vec(&RealFs, &path, 1 << 20).unwrap();
        assert_eq!(bytes.len(), 16384);
        assert_eq!(
            (&bytes[4096..4102], &bytes[9000..9006]),
            (&b"direct"[..], &b"cached"[..])
        );
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 12);
    }

    #[test]
    fn free_space_is_known() {
        assert!(RealFs.free_bytes(&std::env::temp_dir()).unwrap().unwrap() > 0);
    }
}
