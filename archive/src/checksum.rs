//! CRC-32C, whole and as bytes pass by.

use std::fmt;
use std::io::{self, Write};

use crc_fast::{CrcAlgorithm, Digest};
use emberkeep_disk::File;

/// CRC-32C (Castagnoli) of the bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Counts and checksums the bytes that go through it, so that what is recorded is what was written.
pub struct Checksummed<W> {
    inner: W,
    digest: Digest,
    bytes: u64,
}

impl<W> fmt::Debug for Checksummed<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksummed")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl<W> Checksummed<W> {
    /// Starts at zero bytes.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            digest: Digest::new(CrcAlgorithm::Crc32Iscsi),
            bytes: 0,
        }
    }

    /// How many bytes the writer behind it took.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// CRC-32C of those bytes.
    #[must_use]
    pub fn crc32c(&self) -> u32 {
        u32::try_from(self.digest.finalize()).expect("a CRC-32C has 32 bits")
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.digest.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes of a file that are read at a time: few enough to be in the cache when the checksum goes over them.
const READ_BYTES: usize = 128 << 10;

/// Length and CRC-32C of all bytes of a file.
pub(crate) fn checksum_of(file: &dyn File) -> io::Result<(u64, u32)> {
    let mut checksum = Checksummed::new(io::sink());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read_at(&mut buffer, checksum.bytes())? {
            0 => return Ok((checksum.bytes(), checksum.crc32c())),
            count => checksum.write_all(&buffer[..count])?,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn it_is_crc_32c_however_the_bytes_arrive() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut writer = Checksummed::new(Vec::new());
        for piece in [&b"1234"[..], b"", b"56789"] {
            writer.write_all(piece).unwrap();
        }
        assert_eq!((writer.bytes(), writer.crc32c()), (9, 0xe306_9283));
        assert_eq!(writer.into_inner(), b"123456789");
    }
}
