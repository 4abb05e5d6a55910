//! The few sequences of calls that make a whole thing durable.
//!
//! Each function names the crash windows it closes. They sync exactly what they say, so that a test that takes out one
//! sync sees the loss.

use std::io;
use std::path::Path;

use crate::{File, FileSystem};

#[cfg(test)]
mod tests;

/// Creates a directory and its missing parents; each new name is durable on return.
///
/// The directory in which the first one that exists already has its name is synced too: an earlier process may have died
/// between creating and syncing it.
pub fn create_dir_all_durable(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let Some(parent) = parent_of(path) else { return Ok(()) };
    match fs.create_dir(path) {
        Ok(()) => {
            if let Some(above) = parent_of(parent) {
                sync_if_ours(fs, above)?;
            }
            fs.sync_dir(parent)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs.metadata(path)?.is_dir() {
                sync_if_ours(fs, parent)
            } else {
                Err(error)
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir_all_durable(fs, parent)?;
            match fs.create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs.sync_dir(parent)
        }
        Err(error) => Err(error),
    }
}

/// Syncs the parent of a directory that was there before; a parent that may not be opened is not ours, and then neither
/// was the creation of the name.
fn sync_if_ours(fs: &dyn FileSystem, parent: &Path) -> io::Result<()> {
    match fs.sync_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Reads a whole file, refusing with `InvalidData` one that is longer than `limit` bytes.
pub fn read_to_vec(fs: &dyn FileSystem, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = fs.open(path)?;
    let len = file.len()?;
    if len > limit {
        let text = format!("`{}` has {len} bytes, more than the {limit} expected", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Writes a file that must not exist yet; content and name are durable on return.
///
/// A crash before that leaves no file, an empty one, a torn one or the whole: the reader must be able to tell.
pub fn write_new_durable(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_and_sync(&*fs.create_new(path)?, bytes)?;
    fs.sync_dir(parent_or_here(path))
}

/// Writes or replaces a file; at every moment, crashes included, the name stands for the old or the new content, whole.
///
/// It goes through `<path>.tmp`, and a leftover of that name is removed: one writer per path at a time.
pub fn replace_durable(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_os_string();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    match fs.remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The content is durable before the name moves: a crash must not leave the final name on an empty file.
    write_and_sync(&*fs.create_new(temporary)?, bytes)?;
    fs.rename(temporary, path)?;
    fs.sync_dir(parent_or_here(path))
}

/// Removes a directory and everything in it; nothing is synced, so a crash may bring any of it back.
///
/// Missing is not an error: the result is the same.
pub fn remove_dir_all(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let entries = match fs.read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let child = path.join(&entry.name);
        if entry.is_dir() {
            remove_dir_all(fs, &child)?;
        } else {
            fs.remove_file(&child)?;
        }
    }
    fs.remove_dir(path)
}

fn write_and_sync(file: &dyn File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}

/// The directory that holds the path's name; `None` for the root and for `.`.
fn parent_of(path: &Path) -> Option<&Path> {
    let parent = path.parent().filter(|_| path != Path::new("."))?;
    Some(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
}

fn parent_or_here(path: &Path) -> &Path {
    parent_of(path).unwrap_or(Path::new("."))
}
