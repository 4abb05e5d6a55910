//! The data directory of a Prometheus, running or not, that gets finished blocks (`--into`).
//!
//! Blocks are made in a folder of it that Prometheus does not look at, and arrive by one rename on the same file system: a server
//! sees a whole block or none, and loads it within a minute. It must never touch anything there that is not its own.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::ReaderError;

/// The folder in which blocks are made. Its name is no ULID, so Prometheus leaves it alone.
pub const WORK_FOLDER: &str = "emberkeep-export";

/// A data directory that gets blocks.
#[derive(Debug, Clone)]
pub struct Receiving {
    directory: PathBuf,
    /// User and group that the blocks must belong to, when these are not our own.
    owner: Option<(u32, u32)>,
}

impl Receiving {
    /// The directory, with blocks that stay our own.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            owner: None,
        }
    }

    /// Gives blocks to the owner of the directory; only root may.
    ///
    /// # Errors
    /// When the directory cannot be looked at.
    pub fn given_to_owner(mut self) -> Result<Self, ReaderError> {
        let found = fs::metadata(&self.directory).map_err(ReaderError::file(&self.directory))?;
        self.owner = Some((found.uid(), found.gid()));
        Ok(self)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Moves a finished block to its place, durably.
    pub(super) fn take(&self, block: &Path) -> Result<(), ReaderError> {
        if let Some((user, group)) = self.owner {
            give(block, user, group)?;
        }
        let name = block.file_name().unwrap_or_default();
        let place = self.directory.join(name);
        fs::rename(block, &place).map_err(ReaderError::file(&place))?;
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(ReaderError::file(&self.directory))
    }
}

fn give(path: &Path, user: u32, group: u32) -> Result<(), ReaderError> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(ReaderError::file(path))? {
            give(&entry.map_err(ReaderError::file(path))?.path(), user, group)?;
        }
    }
    chown(path, Some(user), Some(group)).map_err(ReaderError::file(path))
}
