//! Where a Parquet writer of this crate writes to: the file as it is, or the same file encrypted.
//!
//! The writer makes a clear file in both cases. With a key, what it has written of a row group waits here until the group ends, at most as
//! much as the writer itself held, and goes on page by page, encrypted; so nothing clear ever reaches the file below, and nothing of the
//! writer's encodings is written twice. Parquet's modular encryption with an encrypted footer, one key for all columns, AES_GCM_V1.

use std::io::{self, Write};

use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

use super::file_writer::write_error;
use super::sealing::Sealing;
use crate::keys::{KeyPurpose, Keys};
use crate::{ArchiveError, Checksummed};

/// A file below a Parquet writer.
pub(super) struct FileSink<W: Write> {
    out: Checksummed<W>,
    sealing: Option<Box<Sealing>>,
}

impl<W: Write> FileSink<W> {
    /// Encrypts when there is a key to write with.
    pub(super) fn new(out: W, keys: &Keys) -> Result<Self, ArchiveError> {
        let fresh = keys.fresh(KeyPurpose::File).map_err(ArchiveError::key("a new file"))?;
        Ok(Self {
            out: Checksummed::new(out),
            sealing: match fresh {
                Some((stamp, key)) => Some(Box::new(Sealing::new(stamp, key)?)),
                None => None,
            },
        })
    }

    /// Whether it wants to know of so many row groups, because it has not put all of them out.
    pub(super) fn lacks(&self, groups: usize) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| sealing.groups() < groups)
    }

    /// Says which row groups the writer has ended.
    pub(super) fn groups_ended(&mut self, groups: &[RowGroupMetaData]) -> Result<(), ArchiveError> {
        match &mut self.sealing {
            Some(sealing) => sealing.groups_ended(groups, &mut self.out).map_err(write_error),
            None => Ok(()),
        }
    }

    /// Writes what is left when the writer has written its footer, and gives the file back, flushed.
    pub(super) fn close(mut self) -> Result<Checksummed<W>, ArchiveError> {
        if let Some(sealing) = self.sealing.take() {
            sealing.close(&mut self.out).map_err(write_error)?;
        }
        self.out.flush().map_err(ArchiveError::Write)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for FileSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sealing {
            Some(sealing) => Ok(sealing.take(bytes)),
            None => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a decoder would say of bytes that this crate has just written: a bug, and no trouble of the disk.
pub(super) fn unexpected(what: &str) -> ParquetError {
    ParquetError::General(format!("encryption of a file: {what}"))
}
