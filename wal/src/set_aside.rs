//! Copies of what could not be read or replayed, in `set-aside/`, kept until a person removes them.
//!
//! The name holds segment, offset, length and kind, so the same bytes found again at the next start are known and counted
//! once. A name appears only after its content is durable; nothing in this directory is ever deleted or overwritten by us
//! but unfinished copies.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use emberkeep_disk::{File, FileSystem, Sequential, replace_durable};

use crate::WalError;

/// How much is copied at a time, in bytes.
const COPY_BYTES: usize = 256 * 1024;

/// Why bytes were set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DamageKind {
    /// The end of the log: nothing valid follows. The usual trace of a crash while writing; nothing acknowledged is in it.
    TornTail,
    /// Bytes that do not parse although valid ones follow.
    Damaged,
    /// A valid record that could not be replayed, or that ended the process each time it was tried.
    Poison,
}

impl DamageKind {
    fn suffix(self) -> &'static str {
        match self {
            Self::TornTail => "torn",
            Self::Damaged => "damaged",
            Self::Poison => "poison",
        }
    }
}

/// A stretch of the log that was not handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Offset in the segment in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// What it is; as first judged, when it was seen before.
    pub kind: DamageKind,
    /// The copy.
    pub set_aside: PathBuf,
    /// Whether an earlier recovery set it aside; it is counted already then.
    pub seen_before: bool,
}

/// A stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Stretch {
    fn file_name(&self, suffix: &str) -> String {
        format!("{:020}-{}-{}.{suffix}", self.segment, self.offset, self.len)
    }

    /// The report of it.
    pub(crate) fn damage(&self, kind: DamageKind, set_aside: PathBuf, seen_before: bool) -> Damage {
        Damage {
            segment: self.segment,
            offset: self.offset,
            length: self.len,
            kind,
            set_aside,
            seen_before,
        }
    }
}

/// The directory `set-aside` of one log.
#[derive(Debug)]
pub(crate) struct SetAside<'a> {
    fs: &'a dyn FileSystem,
    wal_dir: &'a Path,
    dir: PathBuf,
    names: BTreeSet<String>,
    exists: bool,
}

impl<'a> SetAside<'a> {
    /// Lists what was set aside before.
    ///
    /// What an earlier process put there counts as kept only once it is durable, and that process may have died before
    /// its last sync; so an existing directory is synced here.
    pub(crate) fn open(fs: &'a dyn FileSystem, wal_dir: &'a Path) -> Result<Self, WalError> {
        let dir = wal_dir.join("set-aside");
        let entries = match fs.read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    fs,
                    wal_dir,
                    dir,
                    names: BTreeSet::new(),
                    exists: false,
                });
            }
            entries => entries.map_err(WalError::io("list", &dir))?,
        };
        fs.sync_dir(&dir).map_err(WalError::io("sync", &dir))?;
        fs.sync_dir(wal_dir).map_err(WalError::io("sync", wal_dir))?;
        let names = entries
            .into_iter()
            .filter_map(|entry| entry.name.into_string().ok())
            .collect();
        Ok(Self {
            fs,
            wal_dir,
            dir,
            names,
            exists: true,
        })
    }

    /// Where these bytes were set aside before, if they were, and as what.
    pub(crate) fn find(&self, stretch: &Stretch, kinds: &[DamageKind]) -> Option<(DamageKind, PathBuf)> {
        kinds.iter().find_map(|kind| {
            let name = stretch.file_name(kind.suffix());
            self.names.contains(&name).then(|| (*kind, self.dir.join(name)))
        })
    }

    /// Keeps bytes that do not parse, unless they were kept before; then they stay what they were judged first. What was torn when it was
    /// found is still torn when later starts have written more.
    pub(crate) fn keep_damage(
        &mut self,
        file: &dyn File,
        stretch: &Stretch,
        kind: DamageKind,
    ) -> Result<Damage, WalError> {
        match self.find(stretch, &[DamageKind::Damaged, DamageKind::TornTail]) {
            Some((kind, path)) => Ok(stretch.damage(kind, path, true)),
            None => Ok(stretch.damage(kind, self.put(file, stretch, kind)?, false)),
        }
    }

    /// Copies a stretch of a segment; durable on return.
    pub(crate) fn put(&mut self, file: &dyn File, stretch: &Stretch, kind: DamageKind) -> Result<PathBuf, WalError> {
        self.create_dir()?;
        let name = stretch.file_name(kind.suffix());
        let path = self.dir.join(&name);
        let temporary = self.dir.join(format!("{name}.tmp"));
        self.copy(file, stretch, &temporary)
            .map_err(WalError::io("write", &temporary))?;
        self.fs
            .rename(&temporary, &path)
            .map_err(WalError::io("rename", &temporary))?;
        self.fs.sync_dir(&self.dir).map_err(WalError::io("sync", &self.dir))?;
        self.names.insert(name);
        Ok(path)
    }

    /// Writes down why a record is about to be set aside, beside where its copy will be.
    pub(crate) fn put_reason(&mut self, stretch: &Stretch, reason: &str) -> Result<(), WalError> {
        self.create_dir()?;
        let path = self.dir.join(stretch.file_name("reason"));
        replace_durable(self.fs, &path, reason.as_bytes()).map_err(WalError::io("write", &path))
    }

    fn create_dir(&mut self) -> Result<(), WalError> {
        if !self.exists {
            match self.fs.create_dir(&self.dir) {
                // The search for a record that cannot be flushed, and a replay, may run side by side.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created.map_err(WalError::io("create", &self.dir))?,
            }
            self.fs
                .sync_dir(self.wal_dir)
                .map_err(WalError::io("sync", self.wal_dir))?;
            self.exists = true;
        }
        Ok(())
    }

    fn copy(&self, source: &dyn File, stretch: &Stretch, target: &Path) -> io::Result<()> {
        match self.fs.remove_file(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut target = Sequential::new(self.fs.create_new(target)?);
        let mut buffer = vec![0; COPY_BYTES];
        while target.offset() < stretch.len {
            let left = usize::try_from(stretch.len - target.offset())
                .unwrap_or(usize::MAX)
                .min(COPY_BYTES);
            match source.read_at(&mut buffer[..left], stretch.offset + target.offset())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => target.write_all(&buffer[..count])?,
            }
        }
        target.file().sync_all()
    }
}
