//! A disk whose writes into preallocated space can fail, as on copy-on-write file systems and under quotas.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emberkeep_disk::{Entry, File, FileSystem, ForgetfulFs};

/// Delegates to a [`ForgetfulFs`] until its budget of written bytes is used up.
#[derive(Clone, Debug)]
pub(crate) struct TightDisk {
    pub(crate) inner: ForgetfulFs,
    budget: Arc<AtomicU64>,
    failure: io::ErrorKind,
}

impl TightDisk {
    /// After the budget, writes fail with this kind.
    pub(crate) fn new(failure: io::ErrorKind) -> Self {
        Self {
            inner: ForgetfulFs::new(),
            budget: Arc::new(AtomicU64::new(u64::MAX)),
            failure,
        }
    }

    pub(crate) fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::SeqCst);
    }

    fn wrap(&self, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(TightFile {
            inner,
            disk: self.clone(),
        })
    }
}

impl FileSystem for TightDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.create_new(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.inner.open(path).map(|file| self.wrap(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.inner.hard_link(original, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        self.inner.metadata(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
}

#[derive(Debug)]
struct TightFile {
    inner: Box<dyn File>,
    disk: TightDisk,
}

impl File for TightFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let budget = self.disk.budget.load(Ordering::SeqCst);
        let allowed = bytes.len().min(usize::try_from(budget).unwrap_or(usize::MAX));
        self.inner.write_all_at(&bytes[..allowed], offset)?;
        if budget != u64::MAX {
            self.disk.budget.store(budget - allowed as u64, Ordering::SeqCst);
        }
        if allowed < bytes.len() {
            Err(self.disk.failure.into())
        } else {
            Ok(())
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
