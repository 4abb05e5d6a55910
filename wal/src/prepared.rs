//! A file that is to become a segment: allocated, and with zeros written as far as the time was enough.
//!
//! It has a name of its own until it is near its use, so that a log at rest has no segment beside those that hold records. It
//! never holds a byte that is not zero, so whatever a crash makes of its names, recovery finds nothing in it.

use std::io;
use std::path::{Path, PathBuf};

use emberkeep_disk::FileSystem;

use crate::format;
use crate::segment::publish;

/// The name before it has a number.
const NAME: &str = "next-segment";

/// A prepared file.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its number, when it is named as a segment already.
    pub(crate) number: Option<u64>,
    /// Whether that name is durable.
    is_named: bool,
    /// For how many bytes there is space.
    pub(crate) capacity: u64,
}

impl Prepared {
    /// Where it is.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        match self.number {
            Some(number) => dir.join(format::segment_name(number)),
            None => dir.join(NAME),
        }
    }

    /// Names it as the segment of this number, unless it is; durable on return. What an error left undone, the next call does.
    pub(crate) fn name(&mut self, fs: &dyn FileSystem, dir: &Path, number: u64) -> io::Result<()> {
        if self.number != Some(number) {
            self.is_named = false;
            fs.rename(&self.path(dir), &dir.join(format::segment_name(number)))?;
            self.number = Some(number);
        }
        if !self.is_named {
            publish(fs, dir)?;
            self.is_named = true;
        }
        Ok(())
    }

    /// Takes its number away again, because the log is about to rest. When a crash undoes that, there is an empty segment.
    pub(crate) fn take_name(&mut self, fs: &dyn FileSystem, dir: &Path) {
        if self.number.is_some() {
            match fs.rename(&self.path(dir), &dir.join(NAME)) {
                Ok(()) => self.number = None,
                Err(error) => {
                    tracing::warn!(path = %self.path(dir).display(), %error, "cannot rename a prepared segment");
                }
            }
        }
    }

    /// Removes it; a crash may bring it back.
    pub(crate) fn remove(self, fs: &dyn FileSystem, dir: &Path) {
        let path = self.path(dir);
        if let Err(error) = fs.remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a prepared segment");
        }
    }
}

/// Removes what an earlier process had prepared; missing is fine.
pub(crate) fn remove_leftover(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    match fs.remove_file(&dir.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Creates the file under its first name and allocates it; out of space leaves nothing behind.
pub(crate) fn create(fs: &dyn FileSystem, dir: &Path, capacity: u64) -> io::Result<Prepared> {
    remove_leftover(fs, dir)?;
    let path = dir.join(NAME);
    let file = fs.create_new(&path)?;
    let prepared = Prepared {
        number: None,
        is_named: false,
        capacity,
    };
    if let Err(error) = file.allocate(capacity) {
        prepared.remove(fs, dir);
        return Err(error);
    }
    Ok(prepared)
}
