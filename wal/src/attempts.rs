//! How often replay was started and not finished, so that a record that kills the process does not do so for ever.
//!
//! After two starts that died in replay, the third goes carefully: it notes each position before it touches the record. A position noted
//! last by five dead starts in a row is set aside. Fewer are not enough: a replay that is killed from outside (an impatient supervisor,
//! too little memory, the loss of power) dies at some record too, and that one is innocent; killed twice after the same time, it may
//! even be at the same one.
//!
//! A note outlives the process without a sync, and that is all that a record which kills the process needs; it costs one small write. Only
//! when start after start dies and no two agree, as if the notes were lost, is each note synced, too: then the whole machine goes down.

use std::io;
use std::path::{Path, PathBuf};

use emberkeep_disk::{File, FileSystem, is_out_of_space, read_to_vec, replace_durable};

use crate::format::checksum;
use crate::{Position, Purpose, WalError};

const MAGIC: [u8; 8] = *b"EKWALTRY";
const VERSION: u32 = 2;
const LEN: usize = 56;

/// Starts that died in replay before the next one goes carefully.
const CAREFUL_AFTER: u32 = 2;

/// Dead starts in a row that were at a record before it is set aside.
const AGREED: u32 = 5;

/// Starts that died before the next one syncs its notes.
const SYNCED_AFTER: u32 = 6;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Replays begun and not ended, this one included.
    starts: u32,
    /// The record that the current replay is at, if it goes carefully.
    noted: Option<Position>,
    /// The record that the last dead replay was at.
    suspect: Option<Position>,
    /// How many dead replays in a row were at it.
    agreed: u32,
}

impl State {
    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.starts.to_le_bytes());
        for (at, position) in [(16, self.noted), (32, self.suspect)] {
            // No record starts at offset 0, where the segment header is.
            let position = position.unwrap_or(Position { segment: 0, offset: 0 });
            bytes[at..at + 8].copy_from_slice(&position.segment.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&position.offset.to_le_bytes());
        }
        bytes[48..52].copy_from_slice(&self.agreed.to_le_bytes());
        let crc = checksum(&[&bytes[..LEN - 4]]);
        bytes[LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// A torn or foreign file says nothing, which errs towards replaying.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let position_at = |at: usize| {
            Some(Position {
                segment: u64_at(at)?,
                offset: u64_at(at + 8)?,
            })
        };
        let is_valid =
            bytes[0..8] == MAGIC && u32_at(8)? == VERSION && u32_at(LEN - 4)? == checksum(&[&bytes[..LEN - 4]]);
        if !is_valid {
            return None;
        }
        Some(Self {
            starts: u32_at(12)?,
            noted: position_at(16).filter(|position| position.offset > 0),
            suspect: position_at(32).filter(|position| position.offset > 0),
            agreed: u32_at(48)?,
        })
    }
}

/// The attempts file during one recovery.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    fs: &'a dyn FileSystem,
    wal_dir: &'a Path,
    path: PathBuf,
    before: State,
    now: State,
    condemned: Option<Position>,
    /// Open while notes are taken; none when there was no space for the file.
    file: Option<Box<dyn File>>,
}

impl<'a> Attempts<'a> {
    /// Counts this start, durably.
    pub(crate) fn begin(fs: &'a dyn FileSystem, wal_dir: &'a Path, purpose: Purpose) -> Result<Self, WalError> {
        let path = wal_dir.join(match purpose {
            Purpose::Replay => "replay-attempts",
            Purpose::Search => "search-attempts",
        });
        let before = match read_to_vec(fs, &path, LEN as u64) {
            Ok(bytes) => State::decode(&bytes).unwrap_or_default(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                State::default()
            }
            Err(error) => return Err(WalError::io("read", &path)(error)),
        };
        let now = State {
            starts: before.starts.saturating_add(1),
            noted: None,
            suspect: before.noted.or(before.suspect),
            agreed: match before.noted {
                Some(noted) if before.suspect == Some(noted) => before.agreed.saturating_add(1),
                Some(_) => 1,
                None => before.agreed,
            },
        };
        let condemned = before.noted.filter(|_| now.agreed >= AGREED);
        let written = replace_durable(fs, &path, &now.encode()).and_then(|()| fs.open(&path));
        let file = match written {
            Ok(file) => Some(file),
            // A full disk must not keep the log from being read; a poison record is then found when there is space.
            Err(error) if is_out_of_space(&error) => {
                tracing::warn!(path = %path.display(), %error, "replay is not counted");
                None
            }
            Err(error) => return Err(WalError::io("write", &path)(error)),
        };
        Ok(Self {
            fs,
            wal_dir,
            path,
            before,
            now,
            condemned,
            file,
        })
    }

    /// The record that as many dead starts as it takes were at.
    pub(crate) fn condemned(&self) -> Option<Position> {
        self.condemned
    }

    /// Whether records are noted.
    pub(crate) fn is_careful(&self) -> bool {
        self.before.starts >= CAREFUL_AFTER
    }

    /// Notes, when going carefully, that the record at this position is about to be replayed.
    pub(crate) fn note(&mut self, position: Position) -> Result<(), WalError> {
        self.write(Some(position))
    }

    /// No record is being replayed: what kills the process now is none of them.
    pub(crate) fn rest(&mut self) -> Result<(), WalError> {
        if self.now.noted.is_some() {
            self.write(None)?;
        }
        Ok(())
    }

    fn write(&mut self, noted: Option<Position>) -> Result<(), WalError> {
        let Some(file) = self.file.as_ref().filter(|_| self.is_careful()) else {
            return Ok(());
        };
        self.now.noted = noted;
        // In place: the file lies within one sector, which a disk writes as a whole.
        let written = file.write_all_at(&self.now.encode(), 0);
        let noted = if self.before.starts >= SYNCED_AFTER {
            written.and_then(|()| file.sync_data())
        } else {
            written
        };
        noted.map_err(WalError::io("write", &self.path))
    }

    /// Replay came to its end: the count starts anew, durably. If the removal could come undone, a position noted in this
    /// replay would look like one that killed it.
    pub(crate) fn finish(mut self) -> Result<(), WalError> {
        self.file = None;
        match self.fs.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WalError::io("remove", &self.path)(error));
            }
            _ => {}
        }
        self.fs
            .sync_dir(self.wal_dir)
            .map_err(WalError::io("sync", self.wal_dir))
    }

    /// Replay was ended in an orderly way by an error that no record is to blame for: this start does not count.
    pub(crate) fn withdraw(self) {
        let restored = replace_durable(self.fs, &self.path, &self.before.encode());
        if let Err(error) = restored {
            // It then counts as dead, which makes the next start more careful and nothing worse.
            tracing::warn!(path = %self.path.display(), %error, "an ended replay counts as a dead one");
        }
    }
}
