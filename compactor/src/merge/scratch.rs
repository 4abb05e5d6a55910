//! Scratch files of one merge: inputs as they came from the store, outputs before they go there. Nothing of it has to survive a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, DirectoryStore, FileEntry, KeyedStore, Keys, ObjectStore, PartEntry, Ulid, download, upload_file,
};
use emberkeep_disk::{File, FileSystem, create_dir_all_durable, remove_dir_all};

use super::MergeError;

/// A directory that goes when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    fs: Arc<dyn FileSystem>,
    root: PathBuf,
    /// The same directory as a store, in which parts are read.
    local: Arc<dyn ObjectStore>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left takes space until somebody clears the directory above, and nothing else.
        let _ = remove_dir_all(&*self.fs, &self.root);
    }
}

impl Scratch {
    pub(super) fn create(fs: Arc<dyn FileSystem>, parent: &Path, keys: &Keys, now_ms: i64) -> Result<Self, MergeError> {
        let root = parent.join(fresh_ulid(now_ms).to_string());
        let created = create_dir_all_durable(&*fs, &root);
        created.map_err(|error| MergeError::of_disk(&root.display().to_string(), ArchiveError::Write(error)))?;
        let local = DirectoryStore::open(Arc::clone(&fs), root.clone());
        let local = local.map_err(|error| MergeError::of_disk(&root.display().to_string(), error))?;
        Ok(Self {
            fs,
            root,
            local: KeyedStore::wrap(Arc::new(local), keys),
        })
    }

    /// Where parts that were brought here are read.
    pub(super) fn local(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.local)
    }

    /// Makes an empty file; `name` has steps like an object's.
    pub(super) fn make(&self, name: &str) -> Result<Box<dyn File>, MergeError> {
        let path = self.root.join(name);
        self.parent(&path)
            .and_then(|()| self.fs.create_new(&path))
            .map_err(|error| self.failed(error))
    }

    /// Uploads a file that was made, and is not written any more.
    pub(super) async fn send(
        &self,
        store: &dyn ObjectStore,
        entry: &FileEntry,
        name: &str,
    ) -> Result<(), ArchiveError> {
        upload_file(store, entry, &self.fs, &self.root.join(name)).await
    }

    /// Removes a file that is not needed any more; when that fails it goes with the directory.
    pub(super) fn remove(&self, name: &str) {
        let _ = self.fs.remove_file(&self.root.join(name));
    }

    /// Removes the files of a part that was brought here.
    pub(super) fn remove_part(&self, entry: &PartEntry) {
        for file in &entry.files {
            self.remove(&file.path);
        }
    }

    /// Brings the files of a part here, each whole and with its checksum. An error is that of the file.
    pub(super) async fn bring(&self, store: &dyn ObjectStore, entry: &PartEntry) -> Result<(), ArchiveError> {
        for file in &entry.files {
            // An entry comes from the bucket; what it calls a path must not lead out of the directory.
            let path = self.root.join(file.location()?.as_ref());
            self.parent(&path).map_err(ArchiveError::Write)?;
            download(store, file, &self.fs, &path).await?;
        }
        Ok(())
    }

    fn parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => create_dir_all_durable(&*self.fs, parent),
            None => Ok(()),
        }
    }

    /// Of a transfer between store and scratch: what concerns the local side is trouble of the disk.
    pub(super) fn of_transfer(&self, error: ArchiveError) -> MergeError {
        match error {
            error @ ArchiveError::Store { .. } => MergeError::Store(error),
            error => MergeError::of_disk(&self.place(), error),
        }
    }

    fn failed(&self, error: io::Error) -> MergeError {
        MergeError::of_disk(&self.place(), ArchiveError::Write(error))
    }

    pub(super) fn place(&self) -> String {
        self.root.display().to_string()
    }
}

/// A name that nobody has.
pub(super) fn fresh_ulid(now_ms: i64) -> Ulid {
    Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), rand::random())
}
