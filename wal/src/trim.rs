//! Segments as files: which there are, how much they take, and the removal of those that parts have replaced.

use std::path::Path;

use emberkeep_disk::{Entry, FileSystem};

use crate::format::segment_of_name;
use crate::{SegmentRange, WalError};

/// What the log takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of segment files.
    pub segments: u64,
    /// Their lengths together, preallocation included.
    pub bytes: u64,
}

/// Counts the segments in the directory and their bytes.
///
/// # Errors
///
/// [`WalError::Io`] when the directory cannot be listed; a missing one is empty.
pub fn usage(fs: &dyn FileSystem, dir: &Path) -> Result<Usage, WalError> {
    let segments = segments_of(fs, dir)?;
    let bytes = segments.iter().map(|(_, entry)| entry.len).sum();
    Ok(Usage {
        segments: segments.len() as u64,
        bytes,
    })
}

/// Removes the segments of the range; on return their absence is durable. Missing numbers are fine, so it can be repeated.
///
/// A crash in between leaves any subset of them. Each is replayed unless recovery is told to skip the range, so whoever
/// trims keeps saying so until this returned.
///
/// # Errors
///
/// [`WalError::Io`]; some segments may be gone then.
pub fn remove(fs: &dyn FileSystem, dir: &Path, range: SegmentRange) -> Result<(), WalError> {
    for (_, entry) in segments_of(fs, dir)?
        .into_iter()
        .filter(|(number, _)| range.contains(*number))
    {
        let path = dir.join(entry.name);
        match fs.remove_file(&path) {
            // Another call that trims the same range came first.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.map_err(WalError::io("remove", &path))?,
        }
    }
    // Also when nothing was left to remove: an earlier call may have died before its sync.
    match fs.sync_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(WalError::io("sync", dir)),
    }
}

/// The segment files of a directory with their numbers, ascending; none when the directory is missing.
pub(crate) fn segments_of(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<(u64, Entry)>, WalError> {
    let entries = match fs.read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(WalError::io("list", dir))?,
    };
    let mut segments: Vec<_> = entries
        .into_iter()
        .filter(Entry::is_file)
        .filter_map(|entry| Some((segment_of_name(entry.name_str()?)?, entry)))
        .collect();
    segments.sort_by_key(|(number, _)| *number);
    Ok(segments)
}
