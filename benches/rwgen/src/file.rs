//! The file of whole requests, which is written once, forward only, and sent as often as one likes.
//!
//! ```text
//! "RWGEN001"
//! for each request: body (snappy, as it is sent), then the ordinals of repeated samples, u32 each
//! index: 48 bytes for each request        see `Slot`
//! summary: JSON                           see `Summary`
//! trailer: offset of the index u64, length of the index u64, length of the summary u64,
//!          XXH3-64 of index and summary u64, "RWGENEND"
//! ```
//! All numbers are little endian. A file without the trailer was not written to its end, and is refused. The requests lie in
//! the order in which a sender would have them. Not a format that must live on: another version of the program refuses it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::request::{Protocol, Request};

const MAGIC: &[u8; 8] = b"RWGEN001";
const END: &[u8; 8] = b"RWGENEND";
const SLOT_BYTES: usize = 48;
const TRAILER_BYTES: usize = 40;
/// Most bytes of a summary.
const SUMMARY_BYTES_MAX: u64 = 1 << 20;

/// What the index says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// When a sender would have all of it: its newest timestamp, milliseconds since 1970.
    pub(crate) due_ms: i64,
    pub(crate) offset: u64,
    pub(crate) connection: u32,
    pub(crate) samples: u32,
    pub(crate) series: u32,
    /// Bytes as sent, and uncompressed.
    pub(crate) bytes: u32,
    pub(crate) raw_bytes: u32,
    /// Samples in it that repeat one that was sent before.
    pub(crate) repeated: u32,
}

/// What is known of a whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) profile: String,
    pub(crate) seed: u64,
    pub(crate) protocol: Protocol,
    pub(crate) connections: u32,
    pub(crate) interval_ms: i64,
    pub(crate) scrapes: u64,
    /// Series that there are at a time.
    pub(crate) active_series: u64,
    #[serde(flatten)]
    pub(crate) totals: Totals,
}

/// Counts over a whole file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    /// Samples in requests; `rows` of them are distinct.
    pub(crate) samples: u64,
    pub(crate) rows: u64,
    pub(crate) histograms: u64,
    pub(crate) repeated: u64,
    /// Samples that were held back for one scrape or more, and so came after a younger one of their series (but at the end).
    pub(crate) late: u64,
    pub(crate) stale: u64,
    /// All series that there ever were.
    pub(crate) series: u64,
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
    pub(crate) bytes: u64,
    pub(crate) raw_bytes: u64,
}

/// Writes a file.
#[derive(Debug)]
pub(crate) struct FileWriter {
    out: BufWriter<File>,
    offset: u64,
    index: Vec<u8>,
}

impl FileWriter {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create `{}`", path.display()))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            offset: MAGIC.len() as u64,
            index: Vec::new(),
        })
    }

    pub(crate) fn append(&mut self, connection: u32, request: &Request) -> Result<()> {
        let bytes = u32::try_from(request.body.len()).context("a request of more than 4 GiB")?;
        self.index.extend_from_slice(&request.due_ms.to_le_bytes());
        self.index.extend_from_slice(&self.offset.to_le_bytes());
        let numbers = [
            connection,
            request.samples,
            request.series,
            bytes,
            request.raw_bytes,
            request.repeated.len() as u32,
            0,
            0,
        ];
        self.index
            .extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self.out.write_all(&request.body)?;
        for ordinal in &request.repeated {
            self.out.write_all(&ordinal.to_le_bytes())?;
        }
        self.offset += u64::from(bytes) + 4 * request.repeated.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self, summary: &Summary) -> Result<()> {
        let (index_bytes, summary) = (self.index.len() as u64, serde_json::to_vec(summary)?);
        self.index.extend_from_slice(&summary);
        self.out.write_all(&self.index)?;
        for number in [self.offset, index_bytes, summary.len() as u64, xxh3_64(&self.index)] {
            self.out.write_all(&number.to_le_bytes())?;
        }
        self.out.write_all(END)?;
        self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(())
    }
}

/// A whole file, its requests read one by one.
#[derive(Debug)]
pub(crate) struct RequestFile {
    file: File,
    pub(crate) slots: Vec<Slot>,
    pub(crate) summary: Summary,
    /// Tells files apart.
    pub(crate) checksum: u64,
}

impl RequestFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        Self::read(file).with_context(|| format!("`{}` is not a whole file of `rwgen encode`", path.display()))
    }

    fn read(file: File) -> Result<Self> {
        let length = file.metadata()?.len();
        ensure!(
            length >= (MAGIC.len() + TRAILER_BYTES) as u64,
            "it has only {length} bytes"
        );
        let (mut magic, mut trailer) = ([0; 8], [0; TRAILER_BYTES]);
        file.read_exact_at(&mut magic, 0)?;
        file.read_exact_at(&mut trailer, length - TRAILER_BYTES as u64)?;
        ensure!(
            &magic == MAGIC && trailer.ends_with(END),
            "its beginning or its end is missing"
        );
        let mut numbers = trailer.chunks_exact(8).map(number);
        let (Some(offset), Some(index_bytes), Some(summary_bytes), Some(checksum)) =
            (numbers.next(), numbers.next(), numbers.next(), numbers.next())
        else {
            bail!("its trailer is short");
        };
        let end = length - TRAILER_BYTES as u64;
        ensure!(
            summary_bytes <= SUMMARY_BYTES_MAX
                && offset
                    .checked_add(index_bytes)
                    .and_then(|sum| sum.checked_add(summary_bytes))
                    == Some(end)
                && index_bytes.is_multiple_of(SLOT_BYTES as u64),
            "its trailer does not fit"
        );
        let mut index = vec![0; (index_bytes + summary_bytes) as usize];
        file.read_exact_at(&mut index, offset)?;
        ensure!(xxh3_64(&index) == checksum, "its index is damaged");
        let (index, summary) = index.split_at(index_bytes as usize);
        let slots: Vec<Slot> = index.chunks_exact(SLOT_BYTES).map(Slot::read).collect();
        for slot in &slots {
            let content = u64::from(slot.bytes) + 4 * u64::from(slot.repeated);
            ensure!(
                slot.offset.checked_add(content).is_some_and(|end| end <= offset),
                "a request lies outside"
            );
        }
        Ok(Self {
            file,
            slots,
            summary: serde_json::from_slice(summary)?,
            checksum,
        })
    }

    /// Where the body of a request lies: file, offset, length.
    pub(crate) fn body(&self, request: usize) -> (&File, u64, usize) {
        let slot = self.slots[request];
        (&self.file, slot.offset, slot.bytes as usize)
    }

    /// Appends the body of a request to `out`.
    pub(crate) fn read_body(&self, request: usize, out: &mut Vec<u8>) -> Result<()> {
        let (slot, before) = (self.slots[request], out.len());
        out.resize(before + slot.bytes as usize, 0);
        let read = self.file.read_exact_at(&mut out[before..], slot.offset);
        read.with_context(|| format!("cannot read request {request}"))
    }

    /// Which entries of a request repeat a sample that was sent before.
    pub(crate) fn repeated(&self, request: usize) -> Result<Vec<u32>> {
        let slot = self.slots[request];
        let mut bytes = vec![0; 4 * slot.repeated as usize];
        self.file
            .read_exact_at(&mut bytes, slot.offset + u64::from(slot.bytes))?;
        Ok(bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|ordinal| u32::from_le_bytes(*ordinal))
            .collect())
    }
}

impl Slot {
    fn read(bytes: &[u8]) -> Self {
        let small = |at: usize| (number(&bytes[at..at + 8]) & u64::from(u32::MAX)) as u32;
        Self {
            due_ms: number(&bytes[..8]).cast_signed(),
            offset: number(&bytes[8..16]),
            connection: small(16),
            samples: small(20),
            series: small(24),
            bytes: small(28),
            raw_bytes: small(32),
            repeated: small(36),
        }
    }
}

fn number(eight: &[u8]) -> u64 {
    eight
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn summary() -> Summary {
        Summary {
            profile: "node".to_owned(),
            seed: u64::MAX,
            protocol: Protocol::V2,
            connections: 3,
            interval_ms: 15_000,
            scrapes: 2,
            active_series: 7,
            totals: Totals {
                min_ms: -5,
                ..Totals::default()
            },
        }
    }

    #[test]
    fn requests_come_back_and_what_breaks_off_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests");
        let requests = [b"one".to_vec(), Vec::new(), vec![7; 1000]].map(|body| Request {
            repeated: vec![3; body.len() % 2],
            samples: body.len() as u32,
            due_ms: -1,
            body,
            ..Request::default()
        });
        let mut writer = FileWriter::create(&path).unwrap();
        for (connection, request) in requests.iter().enumerate() {
            writer.append(connection as u32, request).unwrap();
        }
        writer.finish(&summary()).unwrap();
        let file = RequestFile::open(&path).unwrap();
        assert_eq!(file.summary, summary());
        for (at, request) in requests.iter().enumerate() {
            let mut body = b"head".to_vec();
            file.read_body(at, &mut body).unwrap();
            assert_eq!(body[4..], request.body);
            assert_eq!(file.repeated(at).unwrap(), request.repeated);
            assert_eq!((file.slots[at].connection, file.slots[at].due_ms), (at as u32, -1));
        }
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 8, whole.len() - 41, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(RequestFile::open(&path).is_err(), "{length}");
        }
        let mut damaged = whole.clone();
        damaged[whole.len() - 60] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert!(RequestFile::open(&path).is_err());
    }
}
