//! What can be seen of a data directory: whose it is, what lies in it, whether a server runs on it, how much room there is.
//!
//! It only looks.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use emberkeep_tsdb::BlockMeta;
use ulid::Ulid;

use crate::ReaderError;
use crate::export::WORK_FOLDER;
use crate::export::making::size_of;

/// What lies in every data directory that a server has used.
const SIGNS: [&str; 4] = ["wal", "chunks_head", "lock", "queries.active"];

/// One data directory.
#[derive(Debug, Clone)]
pub(crate) struct DirectoryFacts {
    pub(super) path: PathBuf,
    /// Why it is not where a Prometheus looks for blocks.
    pub(super) misplaced: Option<String>,
    /// A server holds its lock.
    pub(super) is_running: bool,
    pub(super) has_wal: bool,
    /// User and group that own it, and those that we run as.
    pub(super) owner: (u32, u32),
    pub(super) own: (u32, u32),
    /// Descriptions of its blocks.
    pub(super) blocks: Vec<BlockMeta>,
    /// Blocks whose description cannot be read.
    pub(super) unreadable: Vec<String>,
    /// Bytes of its blocks.
    pub(super) block_bytes: u64,
    /// Bytes that we may still write there.
    pub(super) available: u64,
    /// Bytes of the whole file system.
    pub(super) capacity: u64,
}

impl DirectoryFacts {
    /// Looks at a directory; one that is not there is told as misplaced.
    pub(super) fn of(path: &Path) -> Result<Self, ReaderError> {
        let mut facts = Self {
            path: path.to_owned(),
            misplaced: None,
            is_running: false,
            has_wal: false,
            owner: (0, 0),
            own: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            blocks: Vec::new(),
            unreadable: Vec::new(),
            block_bytes: 0,
            available: 0,
            capacity: 0,
        };
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                facts.misplaced =
                    Some("it is not there: start the Prometheus once, or make the directory for it".to_owned());
                return Ok(facts);
            }
            found => found.map_err(ReaderError::file(path))?,
        };
        if !found.is_dir() {
            facts.misplaced = Some("it is no directory".to_owned());
            return Ok(facts);
        }
        facts.owner = (found.uid(), found.gid());
        facts.look_inside()?;
        facts.is_running = is_locked(&path.join("lock"))?;
        let space = rustix::fs::statvfs(path).map_err(|error| ReaderError::file(path)(error.into()))?;
        facts.available = space.f_bavail.saturating_mul(space.f_frsize);
        facts.capacity = space.f_blocks.saturating_mul(space.f_frsize);
        Ok(facts)
    }

    /// Whether blocks must be given to somebody else, and can be.
    pub(super) fn gives_away(&self) -> bool {
        self.own.0 == 0 && self.owner != self.own
    }

    /// End of its newest block.
    pub(super) fn newest(&self) -> Option<i64> {
        self.blocks.iter().map(|block| block.max_time).max()
    }

    fn look_inside(&mut self) -> Result<(), ReaderError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(ReaderError::file(&self.path))? {
            let name = entry.map_err(ReaderError::file(&self.path))?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        for name in names.iter().filter(|name| Ulid::from_string(name).is_ok()) {
            let block = self.path.join(name);
            match BlockMeta::of_block(&block) {
                Ok(meta) => {
                    self.blocks.push(meta);
                    // A server may delete a block while it is looked at.
                    self.block_bytes += size_of(&block).unwrap_or(0);
                }
                Err(_) if !block.exists() => {}
                Err(error) => self.unreadable.push(format!("`{name}` ({error})")),
            }
        }
        let wal = fs::read_dir(self.path.join("wal"));
        self.has_wal = wal.is_ok_and(|mut entries| entries.next().is_some());
        self.misplaced = self.wrong_level(&names);
        Ok(())
    }

    fn wrong_level(&self, names: &[String]) -> Option<String> {
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let own_name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = own_name(&self.path).unwrap_or_default();
        let above = self.path.parent().map(Path::to_owned).unwrap_or_default();
        if has("meta.json") && has("index") {
            return Some(format!("it is one block: the data directory is `{}`", above.display()));
        }
        if ["chunks", "wal", "chunks_head"].contains(&name.as_str()) {
            return Some(format!(
                "it is a part of `{}`, which no Prometheus looks for blocks in",
                above.display()
            ));
        }
        if own_name(&above).is_some_and(|above| above == "snapshots") {
            let data = above.parent().map(Path::to_owned).unwrap_or_default();
            return Some(format!(
                "it is a snapshot, which a server never reads: the data directory is `{}`",
                data.display()
            ));
        }
        if has("_archive") {
            return Some("it is an archive of Emberkeep".to_owned());
        }
        let is_used = names
            .iter()
            .any(|name| SIGNS.contains(&name.as_str()) || Ulid::from_string(name).is_ok());
        if is_used {
            return None;
        }
        if let Some(below) = names
            .iter()
            .map(|name| self.path.join(name))
            .find(|path| is_used_directory(path))
        {
            return Some(format!(
                "no Prometheus has used it, but one has used `{}`: that is the data directory",
                below.display()
            ));
        }
        let foreign = names
            .iter()
            .find(|name| !["lost+found", WORK_FOLDER].contains(&name.as_str()));
        foreign.map(|name| format!("there is `{name}` in it and nothing of a Prometheus: give its --storage.tsdb.path"))
    }
}

fn is_used_directory(path: &Path) -> bool {
    path.join("wal").is_dir() || path.join("chunks_head").is_dir()
}

/// Whether somebody holds the lock of a data directory. Prometheus locks the file and leaves it there.
fn is_locked(path: &Path) -> Result<bool, ReaderError> {
    let lock = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        lock => lock.map_err(ReaderError::file(path))?,
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(ReaderError::file(path)(error)),
    }
}
