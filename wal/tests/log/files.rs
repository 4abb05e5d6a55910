//! No file descriptors: what needs a new segment is refused, nothing that was acknowledged is lost, and the log goes on when there are some.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use emberkeep_disk::{CrashMode, Entry, File, FileSystem, ForgetfulFs};
use emberkeep_wal::AppendError;

use crate::rig::{number, read, record, small_segments, start};

/// `EMFILE`.
const TOO_MANY: i32 = 24;

/// A file system that opens so many files and directories more, and then no others until it is told to.
#[derive(Debug, Clone)]
struct FewFiles {
    inner: ForgetfulFs,
    left: Arc<AtomicI64>,
}

impl FewFiles {
    fn new() -> Self {
        Self {
            inner: ForgetfulFs::new(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
        }
    }

    fn leave(&self, files: i64) {
        self.left.store(files, Ordering::SeqCst);
    }

    fn take(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(TOO_MANY))
        }
    }
}

impl FileSystem for FewFiles {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.take()?;
        self.inner.create_new(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.take()?;
        self.inner.open(path)
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.take()?;
        self.inner.open_direct(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        self.inner.free_bytes(path)
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
        self.take()?;
        self.inner.sync_dir(path)
    }
}

#[test]
fn without_files_a_new_segment_is_refused_until_there_are_some() {
    // Segments of their own making, and prepared ones; records of which each needs a new one, or several share one.
    for (segment_bytes, len) in [(4_000, 3_000), (128 << 10, 100_000), (128 << 10, 30_000)] {
        for left in 0..12 {
            let fs = FewFiles::new();
            let wal = start(Arc::new(fs.clone()), 0, small_segments(segment_bytes)).unwrap();
            wal.append(record(0, len)).wait().unwrap();
            fs.leave(left);
            let (mut kept, mut refused) = (vec![0], 0);
            for n in 1..60 {
                match wal.append(record(n, len)).wait() {
                    Ok(_) => kept.push(n),
                    Err(error) => {
                        assert_eq!(error, AppendError::NoFiles);
                        refused += 1;
                    }
                }
            }
            assert!(refused > 0, "{left} files last for ever");
            fs.leave(i64::MAX);
            for n in 60..68 {
                wal.append(record(n, len)).wait().unwrap();
                kept.push(n);
            }
            assert_eq!(wal.stats().refused, refused);
            let crashed = fs.inner.crash(CrashMode::LoseAll);
            drop(wal);
            let (recovery, records) = read(&crashed, &[]).unwrap();
            assert_eq!(
                records.iter().map(number).collect::<Vec<_>>(),
                kept,
                "{left} files of {segment_bytes}"
            );
            assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
        }
    }
}
