//! The blocking half of the directory store: which calls, in which order, make each operation whole and durable.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, PutPayload, Result};
use ulid::Ulid;

use emberkeep_disk::{CachedRead, Entry, File, FileSystem, create_dir_all_durable};

use crate::local_file::LocalSource;

/// Files that have no name yet; below the root, so that a link or a rename stays inside one file system.
pub(super) const TEMPORARY: &str = ".tmp";

/// Where the catalog lies.
const CATALOG: &str = "_archive";

/// Bytes that are copied from memory on the thread that asks, at most: for more the copy itself takes long.
pub(super) const MOST_CACHED_BYTES: u64 = 4 << 20;

/// The root directory of a store.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) fs: Arc<dyn FileSystem>,
    root: PathBuf,
    /// Whether the file system may be able to say what it has in memory.
    tells_cached: AtomicBool,
}

/// A file that is written and has no name yet.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    pub(super) file: Box<dyn File>,
    /// It has another name somewhere, so nothing may be written into it.
    pub(super) is_linked: bool,
}

impl Files {
    pub(super) fn open(fs: Arc<dyn FileSystem>, root: PathBuf) -> io::Result<Self> {
        match create_dir_all_durable(&*fs, &root.join(TEMPORARY)) {
            // It can be read all the same, which is what a restore from a bucket alone needs; the first write tells.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
                ) => {}
            created => created?,
        }
        let tells_cached = AtomicBool::new(true);
        let files = Self { fs, root, tells_cached };
        files.sync_tree(&files.root.join(CATALOG))?;
        Ok(files)
    }

    /// A store that was opened long ago, so that a test sees only what an operation syncs itself.
    #[cfg(test)]
    pub(super) fn without_sync(fs: impl FileSystem, root: impl Into<PathBuf>) -> Self {
        Self {
            fs: Arc::new(fs),
            root: root.into(),
            tells_cached: AtomicBool::new(true),
        }
    }

    pub(super) fn root(&self) -> &FilePath {
        &self.root
    }

    /// Creates an object; `AlreadyExists` when the name is taken.
    pub(super) fn create(&self, location: &Path, payload: &PutPayload) -> Result<()> {
        let temporary = self.begin(location)?;
        let written = self
            .write(location, &temporary, payload)
            .and_then(|()| self.link(location, &temporary));
        // The object lives by its new name; without one it is litter.
        let _ = self.fs.remove_file(&temporary.path);
        written
    }

    /// Creates or replaces an object.
    pub(super) fn overwrite(&self, location: &Path, payload: &PutPayload) -> Result<()> {
        let temporary = self.begin(location)?;
        let written = self
            .write(location, &temporary, payload)
            .and_then(|()| self.publish(location, &temporary));
        if written.is_err() {
            let _ = self.fs.remove_file(&temporary.path);
        }
        written
    }

    /// A new file without a name.
    pub(super) fn begin(&self, location: &Path) -> Result<Temporary> {
        self.path_of(location)?;
        let path = self.root.join(TEMPORARY).join(Ulid::generate().to_string());
        let file = self.fs.create_new(&path).map_err(error_of(location))?;
        Ok(Temporary {
            path,
            file,
            is_linked: false,
        })
    }

    /// As [`Self::begin`], of a file that has all its bytes already, where it can be given a second name.
    pub(super) fn begin_with(&self, location: &Path, source: &LocalSource) -> Result<Temporary> {
        self.path_of(location)?;
        let path = self.root.join(TEMPORARY).join(Ulid::generate().to_string());
        if self.fs.hard_link(source.path(), &path).is_err() {
            return self.begin(location);
        }
        match self.fs.open(&path) {
            Ok(file) => {
                source.take();
                Ok(Temporary {
                    path,
                    file,
                    is_linked: true,
                })
            }
            Err(error) => {
                let _ = self.fs.remove_file(&path);
                Err(error_of(location)(error))
            }
        }
    }

    fn write(&self, location: &Path, temporary: &Temporary, payload: &PutPayload) -> Result<()> {
        let mut offset = 0;
        for bytes in payload {
            temporary.file.write_all_at(bytes, offset).map_err(error_of(location))?;
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// Syncs a written file and gives it its name, replacing what has it.
    pub(super) fn publish(&self, location: &Path, temporary: &Temporary) -> Result<()> {
        let target = self.path_of(location)?;
        temporary.file.sync_all().map_err(error_of(location))?;
        self.make_parent(location, &target)?;
        self.fs.rename(&temporary.path, &target).map_err(error_of(location))?;
        self.sync_parent(location, &target)
    }

    /// Syncs a written file and gives it its name unless that is taken.
    fn link(&self, location: &Path, temporary: &Temporary) -> Result<()> {
        let target = self.path_of(location)?;
        temporary.file.sync_all().map_err(error_of(location))?;
        self.make_parent(location, &target)?;
        let linked = self.fs.hard_link(&temporary.path, &target).map_err(error_of(location));
        // Also when the name was taken: whoever took it may not have synced it yet, and the caller will now rely on it.
        if matches!(linked, Ok(()) | Err(Error::AlreadyExists { .. }))
            && let Err(error) = self.sync_parent(location, &target)
        {
            if linked.is_ok() {
                // Read back it would look created, and it may not survive: the name must go again.
                let _ = self.fs.remove_file(&target);
            }
            return Err(error);
        }
        linked
    }

    /// Drops a file that never got a name.
    pub(super) fn discard(&self, location: &Path, temporary: &Temporary) -> Result<()> {
        self.fs.remove_file(&temporary.path).map_err(error_of(location))
    }

    /// Gives an object a second name; objects are never changed in place, so that is a copy.
    pub(super) fn copy(&self, from: &Path, to: &Path, must_be_new: bool) -> Result<()> {
        let (source, target) = (self.path_of(from)?, self.path_of(to)?);
        self.make_parent(to, &target)?;
        if must_be_new {
            self.fs.hard_link(&source, &target).map_err(|error| {
                let location = if error.kind() == ErrorKind::NotFound { from } else { to };
                error_of(location)(error)
            })?;
        } else {
            let temporary = self.root.join(TEMPORARY).join(Ulid::generate().to_string());
            self.fs.hard_link(&source, &temporary).map_err(error_of(from))?;
            self.fs.rename(&temporary, &target).map_err(error_of(to))?;
            // A rename between two names of one file does nothing and leaves both.
            let _ = self.fs.remove_file(&temporary);
        }
        self.sync_parent(to, &target)
    }

    pub(super) fn delete(&self, location: &Path) -> Result<()> {
        let target = self.path_of(location)?;
        self.fs.remove_file(&target).map_err(error_of(location))?;
        self.sync_parent(location, &target)
    }

    pub(super) fn open_object(&self, location: &Path) -> Result<(ObjectMeta, Box<dyn File>)> {
        let target = self.path_of(location)?;
        let entry = self.fs.metadata(&target).map_err(error_of(location))?;
        if !entry.is_file() {
            return Err(error_of(location)(ErrorKind::NotFound.into()));
        }
        let file = self.fs.open(&target).map_err(error_of(location))?;
        // The length of the opened file: the name may stand for another one by now.
        let size = file.len().map_err(error_of(location))?;
        Ok((
            ObjectMeta {
                size,
                ..meta(location.clone(), &entry)
            },
            file,
        ))
    }

    /// Ranges of an object, when nothing has to be waited for: a few are copied from memory. Never says what is wrong with them.
    pub(super) fn cached_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        let all = |all: u64, range: &Range<u64>| Some(all.saturating_add(range.end.checked_sub(range.start)?));
        let is_little = ranges.iter().try_fold(0, all)? <= MOST_CACHED_BYTES;
        if !is_little || !self.tells_cached.load(Ordering::Relaxed) {
            return None;
        }
        match self.fs.read_cached(&self.path_of(location).ok()?, ranges) {
            CachedRead::Whole(found) => Some(found.into_iter().map(Bytes::from).collect()),
            CachedRead::NotNow => None,
            CachedRead::Unsupported => {
                self.tells_cached.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    pub(super) fn read_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (meta, file) = self.open_object(location)?;
        if let Some(outside) = ranges
            .iter()
            .find(|range| range.start > range.end || range.end > meta.size)
        {
            return Err(generic(format!(
                "`{location}` has {} bytes, asked for {outside:?}",
                meta.size
            )));
        }
        ranges.iter().map(|range| read_range(&*file, range)).collect()
    }

    /// The file of an object. Object names hold no `.` or `..`, so it lies below the root.
    pub(super) fn path_of(&self, location: &Path) -> Result<PathBuf> {
        let mut path = self.root.clone();
        for (depth, step) in location.parts().enumerate() {
            if depth == 0 && step.as_ref() == TEMPORARY {
                return Err(generic(format!("`{location}` is where unfinished objects lie")));
            }
            path.push(step.as_ref());
        }
        Ok(path)
    }

    fn make_parent(&self, location: &Path, target: &FilePath) -> Result<()> {
        let Some(parent) = target.parent() else { return Ok(()) };
        create_dir_all_durable(&*self.fs, parent).map_err(error_of(location))
    }

    fn sync_parent(&self, location: &Path, target: &FilePath) -> Result<()> {
        let Some(parent) = target.parent() else { return Ok(()) };
        self.fs.sync_dir(parent).map_err(error_of(location))
    }

    fn sync_tree(&self, directory: &FilePath) -> io::Result<()> {
        let entries = match self.fs.read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries.iter().filter(|entry| entry.is_dir()) {
            self.sync_tree(&directory.join(&entry.name))?;
        }
        self.fs.sync_dir(directory)
    }
}

/// Reads a range of a file, all of it or an error.
pub(super) fn read_range(file: &dyn File, range: &Range<u64>) -> Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(generic)?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file
            .read_at(&mut bytes[filled..], range.start + filled as u64)
            .map_err(generic)?
        {
            0 => return Err(generic(format!("file ends before byte {}", range.end))),
            count => filled += count,
        }
    }
    Ok(bytes.into())
}

pub(super) fn meta(location: Path, entry: &Entry) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: entry.modified.into(),
        size: entry.len,
        e_tag: None,
        version: None,
    }
}

pub(super) fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic {
        store: "directory",
        source: source.into(),
    }
}

pub(super) fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "directory".to_owned(),
    }
}

pub(super) fn error_of(location: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = location.to_string();
    move |error| {
        let kind = error.kind();
        let source = Box::new(error);
        match kind {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Error::NotFound { path, source },
            ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
            ErrorKind::PermissionDenied => Error::PermissionDenied { path, source },
            _ => Error::Generic {
                store: "directory",
                source,
            },
        }
    }
}
