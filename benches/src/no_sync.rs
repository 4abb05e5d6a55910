//! The real file system without its syncs: what is left of a durable path when the disk costs nothing, which is its CPU.
//!
//! Only for measuring. It must never come near data that anybody wants back.

use std::io;
use std::path::Path;

use emberkeep_disk::{Entry, File, FileSystem, RealFs};

/// [`RealFs`], with syncs that do nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSyncFs;

impl FileSystem for NoSyncFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(NoSyncFile(RealFs.create_new(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(NoSyncFile(RealFs.open(path)?)))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(NoSyncFile(RealFs.open_direct(path)?)))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        RealFs.free_bytes(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        RealFs.hard_link(original, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealFs.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        RealFs.metadata(path)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct NoSyncFile(Box<dyn File>);

impl File for NoSyncFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}
