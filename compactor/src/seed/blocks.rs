//! Which blocks a directory holds, and whether they may be read.
//!
//! A running Prometheus deletes and replaces blocks at any moment, so its directory is refused; a snapshot of it never changes. It must
//! never be written to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use emberkeep_archive::Ulid;
use emberkeep_model::now_ms_from;
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_tsdb::BlockMeta;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use super::{SeedError, Skipped};

/// A log that was written to so recently has a writer, as far as one can see without a lock.
const FRESH_MS: i64 = 120_000;

/// Days that one block spans at most; more is damage, and would be looped over.
const MOST_DAYS: i64 = 366 * 100;

/// A block that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFound {
    /// Its directory.
    pub directory: PathBuf,
    /// What it says of itself.
    pub meta: BlockMeta,
}

/// Samples newer than any block: they lie in the write-ahead log and the head's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadLeft {
    /// Where.
    pub directory: PathBuf,
    /// Bytes of the log.
    pub bytes: u64,
    /// End of the newest block, milliseconds since 1970; none without a block.
    pub since: Option<i64>,
}

/// What a directory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Blocks in order of time.
    pub blocks: Vec<BlockFound>,
    /// Directories that look like blocks and cannot be.
    pub skipped: Skipped,
    /// What is in no block.
    pub head_left: Option<HeadLeft>,
}

/// Looks at directories: each is a block, a snapshot, or the data directory of a stopped Prometheus. A block that several of them have is
/// read once.
///
/// # Errors
/// [`SeedError::Input`] for the directory of a running server, and for one without any block.
pub fn find_blocks(directories: &[PathBuf]) -> Result<Found, SeedError> {
    let mut found = Found::default();
    for directory in directories {
        if directory.join("meta.json").is_file() {
            look_at(directory, &mut found);
            continue;
        }
        refuse_running(directory)?;
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| input(directory, &error.to_string()))?;
        let is_block = |name: &str| Ulid::from_string(name).is_ok();
        let mut blocks: Vec<PathBuf> = entries
            .iter()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_block))
            .map(fs::DirEntry::path)
            .filter(|path| path.is_dir())
            .collect();
        blocks.sort();
        for block in &blocks {
            look_at(block, &mut found);
        }
        let log_bytes = bytes_below(&directory.join("wal")) + bytes_below(&directory.join("wbl"));
        if log_bytes > 0 {
            found.head_left = Some(HeadLeft {
                directory: directory.clone(),
                bytes: log_bytes,
                since: None,
            });
        } else if blocks.is_empty() {
            return Err(input(
                directory,
                "there is no block in it; is it the directory above or below the right one?",
            ));
        }
    }
    found
        .blocks
        .sort_by_key(|block| (block.meta.min_time, block.meta.max_time, block.meta.ulid));
    found.blocks.dedup_by_key(|block| block.meta.ulid);
    let newest = found.blocks.iter().map(|block| block.meta.max_time).max();
    if let Some(left) = &mut found.head_left {
        left.since = newest;
    }
    Ok(found)
}

fn look_at(directory: &Path, found: &mut Found) {
    let read = fs::read(directory.join("meta.json")).map_err(|error| error.to_string());
    let meta = read.and_then(|bytes| serde_json::from_slice::<BlockMeta>(&bytes).map_err(|error| error.to_string()));
    let meta = meta.and_then(|meta| {
        let days = meta.max_time.checked_sub(meta.min_time).map(|span| span / 86_400_000);
        match days {
            Some(days) if (0..=MOST_DAYS).contains(&days) => Ok(meta),
            _ => Err(format!("its times {} to {} cannot be", meta.min_time, meta.max_time)),
        }
    });
    match meta {
        Ok(meta) => found.blocks.push(BlockFound {
            directory: directory.to_owned(),
            meta,
        }),
        Err(reason) => found.skipped.add(format!("block `{}`: {reason}", directory.display())),
    }
}

/// Refuses the data directory of a server that runs: it holds the lock, or writes its log without one (`--storage.tsdb.no-lockfile`).
fn refuse_running(directory: &Path) -> Result<(), SeedError> {
    let is_running = match File::open(directory.join("lock")) {
        Ok(lock) => match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => false,
            Err(rustix::io::Errno::WOULDBLOCK) => true,
            Err(error) => return Err(input(directory, &format!("its lock cannot be looked at: {error}"))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => is_fresh(&directory.join("wal")),
        Err(error) => return Err(input(directory, &format!("its lock cannot be looked at: {error}"))),
    };
    if is_running {
        return Err(input(
            directory,
            "a server runs on it and replaces blocks while they are read; take a snapshot (`POST /api/v1/admin/tsdb/snapshot`) and seed from that, \
             stop the server, or seed with `--from-url`",
        ));
    }
    Ok(())
}

/// Whether something below was written just now.
fn is_fresh(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    let now_ms = SystemClock.now_ms();
    let mut written = entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok());
    written.any(|at| now_ms - now_ms_from(at) < FRESH_MS)
}

fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let metadata = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    metadata.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
}

fn input(directory: &Path, reason: &str) -> SeedError {
    SeedError::Input(format!("`{}`: {reason}", directory.display()))
}
