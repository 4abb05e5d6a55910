//! Chunk segment files `chunks/000001`, ... (Prometheus: `tsdb/chunks/chunks.go`).
//!
//! ```text
//! file:   u32 85BD40DD | u8 1 | 3 zero bytes | chunk*
//! chunk:  uvarint data length | u8 encoding | data | u32 CRC-32C of encoding and data
//! ```
//!
//! A chunk's reference is the position of its file in the sorted listing, from 0, and the offset of its length. So numbers must be
//! contiguous and a chunk never crosses into the next file.

mod reader;

pub use reader::SegmentReader;

use std::fs;
use std::path::{Path, PathBuf};

use crate::bytes::{put_uvarint, uvarint_len};
use crate::error::io_error;
use crate::output::{Output, sync_directory};
use crate::{Encoding, TsdbError};

/// Where Prometheus cuts segment files by convention (`DefaultChunkSegmentSize`); readers accept up to 4 GiB.
pub const SEGMENT_BYTES: u64 = 512 << 20;

const MAGIC: u32 = 0x85BD_40DD;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;

/// Appends chunks to segment files, starting the next when one is full.
#[derive(Debug)]
pub struct SegmentWriter {
    directory: PathBuf,
    limit: u64,
    /// Files started.
    count: u32,
    current: Option<Output>,
    /// Bytes of the files before.
    finished: u64,
    scratch: Vec<u8>,
}

impl SegmentWriter {
    /// Creates the directory; the first file comes with the first chunk. A file is cut before `limit` bytes, a number below 4 GiB.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub fn create(directory: &Path, limit: u64) -> Result<Self, TsdbError> {
        fs::create_dir(directory).map_err(io_error("create directory", directory))?;
        let limit = limit.min(u64::from(u32::MAX));
        Ok(Self {
            directory: directory.to_owned(),
            limit,
            count: 0,
            current: None,
            finished: 0,
            scratch: Vec::new(),
        })
    }

    /// Appends a chunk and returns its reference.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub fn append(&mut self, encoding: Encoding, data: &[u8]) -> Result<u64, TsdbError> {
        let length = data.len() as u64;
        let entry = uvarint_len(length) + 1 + length + 4;
        let full = |output: &Output| output.position() > HEADER_BYTES && output.position() + entry > self.limit;
        if let Some(output) = self.current.take_if(|output| full(output)) {
            self.finished += output.position();
            output.finish()?;
        }
        let output = match &mut self.current {
            Some(output) => output,
            none => none.insert(start(&self.directory, &mut self.count)?),
        };
        let offset = output.position();
        self.scratch.clear();
        put_uvarint(&mut self.scratch, length);
        output.put(&self.scratch)?;
        output.begin_sum();
        output.put(&[encoding as u8])?;
        output.put(data)?;
        output.end_sum()?;
        Ok(u64::from(self.count - 1) << 32 | offset)
    }

    /// Bytes of all files so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.finished + self.current.as_ref().map_or(0, Output::position)
    }

    /// Syncs the last file and the directory.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub fn finish(self) -> Result<(), TsdbError> {
        if let Some(output) = self.current {
            output.finish()?;
        }
        sync_directory(&self.directory)
    }
}

fn start(directory: &Path, count: &mut u32) -> Result<Output, TsdbError> {
    *count += 1;
    let mut output = Output::create(&directory.join(format!("{:06}", *count)))?;
    output.put(&MAGIC.to_be_bytes())?;
    output.put(&[VERSION, 0, 0, 0])?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn chunks_are_read_back_across_segments() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chunks");
        let mut writer = SegmentWriter::create(&path, 1000).unwrap();
        let chunks: Vec<Vec<u8>> = (0..100usize).map(|n| vec![n as u8; n * 3]).collect();
        let references: Vec<u64> = chunks
            .iter()
            .map(|c| writer.append(Encoding::Xor, c).unwrap())
            .collect();
        let large = vec![7; 5000];
        let large_reference = writer.append(Encoding::Histogram, &large).unwrap();
        writer.finish().unwrap();

        assert!(references.is_sorted());
        assert_eq!(references[0], 8);
        let sizes: Vec<u64> = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(
            sizes.iter().filter(|&&s| s > 1000).count(),
            1,
            "only the chunk larger than a segment exceeds it"
        );
        let mut reader = SegmentReader::open(&path).unwrap();
        for (chunk, &reference) in chunks.iter().zip(&references).rev() {
            assert_eq!(reader.chunk(reference).unwrap(), (Encoding::Xor, &chunk[..]));
        }
        assert_eq!(
            reader.chunk(large_reference).unwrap(),
            (Encoding::Histogram, &large[..])
        );
        for wrong in [
            0,
            9,
            large_reference + 1,
            large_reference + (1 << 32),
            u64::MAX,
            references[99] | 0xffff_ffff,
        ] {
            assert!(
                matches!(reader.chunk(wrong), Err(TsdbError::Corrupt { .. })),
                "{wrong:#x}"
            );
        }
    }

    #[test]
    fn foreign_names_are_ignored_and_foreign_files_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("notes"), "x").unwrap();
        assert!(SegmentReader::open(directory.path()).is_ok());
        fs::write(directory.path().join("000001"), [0x85, 0xBD, 0x40, 0xDD, 2, 0, 0, 0]).unwrap();
        assert!(matches!(
            SegmentReader::open(directory.path()),
            Err(TsdbError::Unsupported { .. })
        ));
        fs::write(directory.path().join("000001"), b"12345678").unwrap();
        assert!(matches!(
            SegmentReader::open(directory.path()),
            Err(TsdbError::Corrupt { .. })
        ));
        fs::write(directory.path().join("000001"), b"123").unwrap();
        assert!(matches!(
            SegmentReader::open(directory.path()),
            Err(TsdbError::Corrupt { .. })
        ));
    }
}
