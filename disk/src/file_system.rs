//! The trait by which everything that must be durable touches the disk.
//!
//! It is as small as its users allow, and it separates what POSIX separates: the content of a file becomes durable by
//! syncing the file, its name by syncing the directory. Nothing here may blur the two, or the crash tests prove nothing.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use crate::CachedRead;

/// A file system: files by path, and directories whose changes are durable only after [`FileSystem::sync_dir`].
///
/// Errors are [`io::Error`] with the kinds that the operating system gives (`NotFound`, `AlreadyExists`,
/// `NotADirectory`, `IsADirectory`, `DirectoryNotEmpty`, `StorageFull`, `QuotaExceeded`).
pub trait FileSystem: Send + Sync + fmt::Debug + 'static {
    /// Creates a file that does not exist yet, open for reading and writing; `AlreadyExists` otherwise.
    ///
    /// Its name is durable only after the directory was synced.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for writes that reach the device without a copy in the page cache, where the file system can.
    ///
    /// Offset, length and memory of every write must be multiples of [`crate::DIRECT_BLOCK_BYTES`]; see
    /// [`crate::DirectBuffer`]. Such a write is no more durable than any other before the file was synced. An
    /// implementation that does not care may leave this to [`FileSystem::open`].
    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    /// Reads ranges of a file when they are in memory, so that nothing has to be waited for.
    ///
    /// It never says why it did not: a file that is missing or too short is for [`FileSystem::open`] and [`File::read_at`] to
    /// tell. An implementation that does not care, or that must see every read, leaves it at this.
    fn read_cached(&self, path: &Path, ranges: &[Range<u64>]) -> CachedRead {
        let _ = (path, ranges);
        CachedRead::Unsupported
    }

    /// How many bytes this process can still write where `path` is; `None` where nobody can say.
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }

    /// Renames `from` to `to` and replaces what is there, as seen by every process either before or after.
    ///
    /// Durable only after the directories of both names were synced, that of `to` first.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives the file `original` a second name; `AlreadyExists` when `link` exists.
    ///
    /// It is the rename that never replaces.
    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()>;

    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Creates one directory; `AlreadyExists` when the name is taken by anything.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Describes one file or directory; the name in the answer is the last component of `path`.
    fn metadata(&self, path: &Path) -> io::Result<Entry>;

    /// Makes all earlier changes of names in this directory durable.
    ///
    /// It says nothing about the content of the files, nor about the directory's own name in its parent.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file, written and read at explicit offsets, so that it can be shared without a cursor.
pub trait File: Send + Sync + fmt::Debug {
    /// Writes all bytes at the offset and extends the file when needed; a gap reads as zeros.
    ///
    /// On an error any prefix of the bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to `buf.len()` bytes at the offset; 0 only at or after the end of the file (or for an empty buffer).
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reserves space for the first `len` bytes and makes the file at least that long; new bytes read as zeros.
    ///
    /// Where the file system cannot reserve, zeros are written. On an error part of it may have happened.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts or extends the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the content and the length durable (`fdatasync`).
    ///
    /// After an error nothing is known about what was written since the last successful sync, and repeating the call
    /// proves nothing: the page cache may have dropped the pages.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the content, the length and all attributes durable (`fsync`); errors as for [`File::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is zero.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// What a directory lists, or [`FileSystem::metadata`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last component of the path.
    pub name: OsString,
    /// File or directory.
    pub kind: EntryKind,
    /// Length of a file in bytes; 0 for everything else.
    pub len: u64,
    /// Last modification of the content.
    pub modified: SystemTime,
}

impl Entry {
    /// The name as text; `None` when it is not UTF-8, which no name of ours is.
    pub fn name_str(&self) -> Option<&str> {
        self.name.to_str()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == EntryKind::File
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

/// What a name stands for, after following symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A socket, a device or anything else that is not ours.
    Other,
}

/// Whether the error says that there is no space (or quota) left, which heals when space is made.
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
