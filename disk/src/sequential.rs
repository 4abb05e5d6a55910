//! Writing a file from its start to its end.
//!
//! Parts and manifests are streams, while [`File`] is addressed by offset; this is the cursor between them. It holds no
//! buffer, so that nothing is left in it when the file is synced: the caller wraps it in a buffer and flushes that.

use std::io;

use crate::File;

/// An [`io::Write`] that appends to an open file at its own offset.
#[derive(Debug)]
pub struct Sequential {
    file: Box<dyn File>,
    offset: u64,
}

impl Sequential {
    /// Writes from the start of the file.
    pub fn new(file: Box<dyn File>) -> Self {
        Self { file, offset: 0 }
    }

    /// How many bytes were written, which is the offset of the next one.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file, to sync it.
    pub fn file(&self) -> &dyn File {
        &*self.file
    }

    /// Gives the file back.
    pub fn into_file(self) -> Box<dyn File> {
        self.file
    }
}

impl io::Write for Sequential {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    /// Does nothing: there is no buffer, and a flush is no sync.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
