//! How code that is given a store learns that an object is a file of this machine, or may become one: it asks with a request that it makes
//! anyway, as it does for keys.
//!
//! A request carries an empty slot in its extensions, and a [`DirectoryStore`](crate::DirectoryStore) at the end of the way fills it; no other
//! store does. What lies there may be gone a moment later, and must never be written.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use object_store::{GetOptions, PutMultipartOptions};

/// An empty slot in a request, or the path that came back in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalFile(Arc<OnceLock<PathBuf>>);

impl LocalFile {
    /// Puts the slot into a request.
    pub(crate) fn ask(&self, mut options: GetOptions) -> GetOptions {
        options.extensions.insert(self.clone());
        options
    }

    /// Answers a request that asks.
    pub(crate) fn answer(options: &GetOptions, path: PathBuf) {
        if let Some(slot) = options.extensions.get::<Self>() {
            let _ = slot.0.set(path);
        }
    }

    /// Where the object lies that was asked for; none when it is no file here.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.get().map(PathBuf::as_path)
    }
}

/// A file that is to become an object, in the request that begins an upload, and whether the store has it already: then no bytes are sent.
#[derive(Debug, Clone)]
pub(crate) struct LocalSource {
    path: Arc<Path>,
    is_taken: Arc<AtomicBool>,
}

impl LocalSource {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            is_taken: Arc::default(),
        }
    }

    /// A request that offers it.
    pub(crate) fn offer(&self) -> PutMultipartOptions {
        let mut options = PutMultipartOptions::default();
        options.extensions.insert(self.clone());
        options
    }

    /// What a request offers.
    pub(crate) fn offered(options: &PutMultipartOptions) -> Option<Self> {
        options.extensions.get::<Self>().cloned()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says that the store has it.
    pub(crate) fn take(&self) {
        self.is_taken.store(true, Ordering::Release);
    }

    /// Whether the store has it.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Acquire)
    }
}
