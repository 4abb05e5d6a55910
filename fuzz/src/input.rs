//! What a target is fed with: one or several byte strings, for example the files of a directory.
//!
//! Kept on disk as one file, or as a folder with one file for each string in the order of their names.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Input {
    /// The strings; a target always gets as many as its seeds have.
    pub files: Vec<Vec<u8>>,
}

impl Input {
    /// An input of one string.
    #[must_use]
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            files: vec![bytes.into()],
        }
    }

    /// The first string.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.files.first().map_or(&[], Vec::as_slice)
    }

    /// Bytes of all strings.
    #[must_use]
    pub fn total(&self) -> usize {
        self.files.iter().map(Vec::len).sum()
    }

    /// Reads a file, or a folder of files.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        if path.is_file() {
            return fs::read(path).map(Self::of);
        }
        let files = list(path)?.iter().map(fs::read).collect::<io::Result<_>>()?;
        Ok(Self { files })
    }

    /// Every input in a folder, in the order of names; none when there is no folder.
    pub(crate) fn read_all(folder: &Path) -> io::Result<Vec<Self>> {
        if !folder.exists() {
            return Ok(Vec::new());
        }
        list(folder)?.iter().map(|path| Self::read(path)).collect()
    }

    /// Writes it under a name made of `name` and its content.
    pub(crate) fn save(&self, folder: &Path, name: &str) -> io::Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let path = folder.join(format!("{name}-{:016x}", hasher.finish()));
        fs::create_dir_all(folder)?;
        if let [only] = self.files.as_slice() {
            fs::write(&path, only)?;
            return Ok(path);
        }
        fs::create_dir_all(&path)?;
        for (number, bytes) in self.files.iter().enumerate() {
            fs::write(path.join(format!("{number:02}")), bytes)?;
        }
        Ok(path)
    }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
