//! A file that is written once from front to back, with checksummed stretches.
//!
//! Both chunk segments and the index are such files. Nothing is durable before [`Output::finish`] returned; the directory entry is
//! the caller's to sync.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};

use crate::TsdbError;
use crate::bytes::{crc32c, truncate_crc};
use crate::error::io_error;

const BUFFER: usize = 1 << 20;

pub(crate) struct Output {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes that left the buffer.
    flushed: u64,
    /// Where in the buffer the open checksummed stretch starts.
    sum_from: Option<usize>,
    /// The part of the stretch that left the buffer, when any did.
    digest: Option<Digest>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("path", &self.path)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Output {
    /// Creates a file that must not be there yet.
    pub(crate) fn create(path: &Path) -> Result<Self, TsdbError> {
        let file = File::create_new(path).map_err(io_error("create", path))?;
        let buffer = Vec::with_capacity(BUFFER + BUFFER / 8);
        Ok(Self {
            file,
            path: path.to_owned(),
            buffer,
            flushed: 0,
            sum_from: None,
            digest: None,
        })
    }

    /// Bytes written so far.
    pub(crate) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), TsdbError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes zeros up to the next multiple of `alignment`.
    pub(crate) fn pad(&mut self, alignment: u64) -> Result<(), TsdbError> {
        const ZEROS: [u8; 16] = [0; 16];
        let missing = self.position().next_multiple_of(alignment) - self.position();
        self.put(&ZEROS[..missing as usize])
    }

    /// Opens a stretch whose CRC-32C [`Output::end_sum`] writes.
    pub(crate) fn begin_sum(&mut self) {
        self.sum_from = Some(self.buffer.len());
        self.digest = None;
    }

    pub(crate) fn end_sum(&mut self) -> Result<(), TsdbError> {
        let from = self.sum_from.take().unwrap_or(self.buffer.len());
        let sum = match self.digest.take() {
            None => crc32c(&self.buffer[from..]),
            Some(mut digest) => {
                digest.update(&self.buffer[from..]);
                truncate_crc(digest.finalize())
            }
        };
        self.put(&sum.to_be_bytes())
    }

    fn flush(&mut self) -> Result<(), TsdbError> {
        if let Some(from) = self.sum_from {
            self.digest
                .get_or_insert_with(|| Digest::new(CrcAlgorithm::Crc32Iscsi))
                .update(&self.buffer[from..]);
            self.sum_from = Some(0);
        }
        self.file
            .write_all(&self.buffer)
            .map_err(io_error("write", &self.path))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Hands everything to the system and gives the file back, not synced.
    pub(crate) fn into_file(mut self) -> Result<(File, PathBuf), TsdbError> {
        self.flush()?;
        Ok((self.file, self.path))
    }

    /// Writes everything and syncs the file.
    pub(crate) fn finish(self) -> Result<(), TsdbError> {
        let (file, path) = self.into_file()?;
        file.sync_all().map_err(io_error("sync", &path))
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), TsdbError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("sync directory", path))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_stretch_longer_than_the_buffer_has_the_same_checksum() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let content: Vec<u8> = (0..BUFFER * 3 + 17).map(|n| (n * 7 % 251) as u8).collect();
        let mut output = Output::create(&path).unwrap();
        output.put(b"before").unwrap();
        output.begin_sum();
        for piece in content.chunks(777) {
            output.put(piece).unwrap();
        }
        output.end_sum().unwrap();
        output.pad(16).unwrap();
        assert_eq!(output.position() % 16, 0);
        output.finish().unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(&written[6..6 + content.len()], &content[..]);
        assert_eq!(written[6 + content.len()..][..4], crc32c(&content).to_be_bytes());
        assert!(
            matches!(Output::create(&path), Err(TsdbError::Io { .. })),
            "an existing file is never overwritten"
        );
    }
}
