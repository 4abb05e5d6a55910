//! A file beside the blocks: what blocks have no place for, as JSON.
//!
//! Written under a temporary name and renamed when it is whole and on disk, so a file with the final name is complete. Nothing is
//! written where there is nothing to say.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::ReaderError;

const TEMPORARY_SUFFIX: &str = ".tmp";

/// A file under construction; when it is dropped unfinished it stays under its temporary name, which belongs to the export.
#[derive(Debug)]
pub(super) struct BesideFile {
    directory: PathBuf,
    path: PathBuf,
    out: BufWriter<File>,
}

impl BesideFile {
    pub(super) fn create(directory: &Path, name: &str) -> Result<Self, ReaderError> {
        let path = directory.join(name);
        let temporary = directory.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let file = File::create(&temporary).map_err(ReaderError::file(&temporary))?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            out: BufWriter::new(file),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ReaderError> {
        self.out.write_all(bytes).map_err(ReaderError::file(self.temporary()))
    }

    /// Makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), ReaderError> {
        let temporary = self.temporary();
        let synced = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        synced.map_err(ReaderError::file(&temporary))?;
        fs::rename(&temporary, &self.path).map_err(ReaderError::file(&temporary))?;
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(ReaderError::file(&self.directory))
    }

    /// Removes the file again: there is nothing to say.
    pub(super) fn discard(self) -> Result<(), ReaderError> {
        let temporary = self.temporary();
        drop(self.out);
        fs::remove_file(&temporary).map_err(ReaderError::file(&temporary))
    }

    fn temporary(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(TEMPORARY_SUFFIX);
        name.into()
    }
}

/// The name that a file gets or has.
pub(super) fn final_name(name: &str) -> &str {
    name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name)
}

/// Removes what there is of a file.
pub(super) fn remove(directory: &Path, name: &str) -> Result<(), ReaderError> {
    for path in [
        directory.join(name),
        directory.join(format!("{name}{TEMPORARY_SUFFIX}")),
    ] {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(ReaderError::file(path)(error)),
        }
    }
    Ok(())
}
