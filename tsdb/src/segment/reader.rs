//! Reads chunks from segment files by reference.
//!
//! One window of the file is kept in memory, so that chunks read in order cost one system call for each MiB. Every chunk's checksum
//! is compared before its bytes are given out.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{HEADER_BYTES, MAGIC, VERSION};
use crate::bytes::Cursor;
use crate::error::{corrupt, io_error};
use crate::{Encoding, TsdbError};

const WINDOW_BYTES: u64 = 1 << 20;
/// A 32-bit length takes at most this many bytes.
const MAX_LENGTH_BYTES: u64 = 5;

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// All segment files of one block.
#[derive(Debug)]
pub struct SegmentReader {
    segments: Vec<Segment>,
    window: Vec<u8>,
    window_segment: usize,
    window_start: u64,
}

impl SegmentReader {
    /// Opens every file with a numeric name, in the order of names, and checks the headers.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::Corrupt`] for a foreign header, [`TsdbError::Unsupported`] for another version.
    pub fn open(directory: &Path) -> Result<Self, TsdbError> {
        let list = |path: &Path| -> std::io::Result<Vec<PathBuf>> {
            let mut paths = Vec::new();
            for entry in fs::read_dir(path)? {
                let name = entry?.file_name();
                if name.to_str().is_some_and(|name| name.parse::<u64>().is_ok()) {
                    paths.push(path.join(name));
                }
            }
            paths.sort();
            Ok(paths)
        };
        let paths = list(directory).map_err(io_error("list", directory))?;
        let segments = paths.into_iter().map(Segment::open).collect::<Result<_, _>>()?;
        Ok(Self {
            segments,
            window: Vec::new(),
            window_segment: 0,
            window_start: 0,
        })
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Encoding and data of the chunk with this reference.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`] when there is no whole chunk with a right checksum there, [`TsdbError::Unsupported`] for an unknown
    /// encoding, [`TsdbError::Io`].
    pub fn chunk(&mut self, reference: u64) -> Result<(Encoding, &[u8]), TsdbError> {
        let number = (reference >> 32) as usize;
        let offset = reference & u64::from(u32::MAX);
        let place = || format!("chunk {reference:#x}");
        let Some(segment) = self.segments.get(number) else {
            return Err(corrupt(place)("there is no such segment"));
        };
        let place = {
            let path = segment.path.clone();
            move || format!("`{}` at {offset}", path.display())
        };
        let left = segment.bytes.saturating_sub(offset);
        if offset < HEADER_BYTES || left == 0 {
            return Err(corrupt(place)("no chunk can be there"));
        }
        let head = self.stretch(number, offset, left.min(MAX_LENGTH_BYTES))?;
        let mut cursor = Cursor::new(head);
        let data_length = u64::from(cursor.uvarint32().map_err(corrupt(place.clone()))?);
        let length_bytes = (head.len() - cursor.remaining()) as u64;
        let entry = length_bytes + 1 + data_length + 4;
        if entry > left {
            return Err(corrupt(place)("the chunk is longer than the file"));
        }
        let mut cursor = Cursor::new(self.stretch(number, offset, entry)?);
        let content = cursor.bytes(length_bytes).and_then(|_| cursor.summed(1 + data_length));
        let (&encoding, data) = content
            .and_then(|content| content.split_first().ok_or("it has no encoding"))
            .map_err(corrupt(place.clone()))?;
        match Encoding::from_byte(encoding) {
            Some(encoding) => Ok((encoding, data)),
            None => Err(TsdbError::Unsupported {
                place: place(),
                what: format!("chunk encoding {encoding}"),
            }),
        }
    }

    /// A stretch that lies inside the file, from the window when it can.
    fn stretch(&mut self, number: usize, offset: u64, length: u64) -> Result<&[u8], TsdbError> {
        let end = self.window_start + self.window.len() as u64;
        if self.window_segment != number || offset < self.window_start || offset + length > end {
            let segment = &self.segments[number];
            let wanted = length.max(WINDOW_BYTES).min(segment.bytes - offset);
            self.window.resize(wanted as usize, 0);
            (self.window_segment, self.window_start) = (number, offset);
            if let Err(error) = segment.file.read_exact_at(&mut self.window, offset) {
                self.window.clear();
                return Err(io_error("read", &segment.path)(error));
            }
        }
        let from = (offset - self.window_start) as usize;
        Ok(&self.window[from..from + length as usize])
    }
}

impl Segment {
    fn open(path: PathBuf) -> Result<Self, TsdbError> {
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let bytes = file.metadata().map_err(io_error("look at", &path))?.len();
        let place = || format!("`{}`", path.display());
        let mut header = [0; HEADER_BYTES as usize];
        if bytes < HEADER_BYTES {
            return Err(corrupt(place)("it is shorter than its header"));
        }
        file.read_exact_at(&mut header, 0).map_err(io_error("read", &path))?;
        if header[..4] != MAGIC.to_be_bytes() {
            return Err(corrupt(place)("it is not a chunk segment"));
        }
        if header[4] != VERSION {
            return Err(TsdbError::Unsupported {
                place: place(),
                what: format!("segment version {}", header[4]),
            });
        }
        Ok(Self { path, file, bytes })
    }
}
