//! Reads an index that is held in memory whole.
//!
//! Symbols, the postings offset table and the list of all series are checked when it is opened, every other list and every series
//! when it is asked for. A corrupt index must end in an error, never in a series that is silently not there.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use emberkeep_model::Labels;

use super::series::{SeriesEntry, check_chunks, decode_chunks};
use super::toc::Toc;
use super::{MAGIC, SERIES_ALIGNMENT, VERSION, postings, symbols};
use crate::TsdbError;
use crate::bytes::Cursor;
use crate::error::{Damage, corrupt, io_error};

/// Labels of one series, in bytes. No sender comes near; a damaged index could name one long symbol without end.
const MAX_LABEL_BYTES: usize = 4 << 20;

/// One index.
#[derive(Debug)]
pub struct IndexReader {
    path: PathBuf,
    bytes: Vec<u8>,
    symbols: Vec<Range<usize>>,
    lists: Vec<(Range<usize>, Range<usize>, u64)>,
    all: Vec<u32>,
}

impl IndexReader {
    /// Reads and checks an index file.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::Corrupt`], [`TsdbError::Unsupported`] for a version other than 2.
    pub fn open(path: &Path) -> Result<Self, TsdbError> {
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let place = || format!("`{}`", path.display());
        let mut header = Cursor::new(&bytes);
        if header.u32() != Ok(MAGIC) {
            return Err(corrupt(place)("it is not an index"));
        }
        match header.u8() {
            Ok(VERSION) => {}
            Ok(version) => {
                return Err(TsdbError::Unsupported {
                    place: place(),
                    what: format!("index version {version}"),
                });
            }
            Err(damage) => return Err(corrupt(place)(damage)),
        }
        let toc = Toc::decode(&bytes).map_err(corrupt(place))?;
        let symbols = symbols::decode(&bytes, toc.symbols).map_err(corrupt(place))?;
        let listed = postings::decode_table(&bytes, toc.postings_table).map_err(corrupt(place))?;
        let range = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + part.len()
        };
        let lists: Vec<_> = listed
            .iter()
            .map(|list| (range(list.name), range(list.value), list.offset))
            .collect();
        let all = match listed.first() {
            Some(first) if first.name.is_empty() && first.value.is_empty() => {
                postings::decode_list(&bytes, first.offset)
            }
            _ => Err("there is no list of all series"),
        };
        let all = all.map_err(corrupt(place))?;
        Ok(Self {
            path: path.to_owned(),
            symbols,
            lists,
            all,
            bytes,
        })
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Ids of all series, in label order.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.all
    }

    /// Names and values that have a postings list, sorted, without the empty pair of all series.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lists
            .iter()
            .skip(1)
            .map(|(name, value, _)| (&self.bytes[name.clone()], &self.bytes[value.clone()]))
    }

    /// The ids of the series with this label, none when there is no such series.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`].
    pub fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, TsdbError> {
        match self.position(name.as_bytes(), value.as_bytes()) {
            None => Ok(Vec::new()),
            Some(position) => self.postings_at(position),
        }
    }

    /// The position of a pair's list among all lists.
    pub(crate) fn position(&self, name: &[u8], value: &[u8]) -> Option<usize> {
        let wanted = (name, value);
        let pair = |(name, value, _): &(Range<usize>, Range<usize>, u64)| {
            (&self.bytes[name.clone()], &self.bytes[value.clone()]).cmp(&wanted)
        };
        self.lists.binary_search_by(pair).ok()
    }

    /// How many lists there are, that of all series included.
    pub(crate) fn list_count(&self) -> usize {
        self.lists.len()
    }

    /// The list at a position below [`IndexReader::list_count`].
    pub(crate) fn postings_at(&self, position: usize) -> Result<Vec<u32>, TsdbError> {
        let offset = self.lists[position].2;
        let place = || format!("`{}`, postings at {offset}", self.path.display());
        postings::decode_list(&self.bytes, offset).map_err(corrupt(place))
    }

    /// The series with this id.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`] when there is no whole series with a right checksum, or its labels or chunks break a rule.
    pub fn series(&self, id: u32) -> Result<SeriesEntry, TsdbError> {
        let offset = u64::from(id) * SERIES_ALIGNMENT;
        let place = || format!("`{}`, series at {offset}", self.path.display());
        let content = self.series_content(offset).map_err(corrupt(place))?;
        let mut cursor = Cursor::new(content);
        let labels = self.canonical_labels(&mut cursor).map_err(corrupt(place))?;
        let labels = Labels::from_canonical(&labels).map_err(|error| corrupt(place)(error.to_string()))?;
        let chunks = decode_chunks(&mut cursor)
            .and_then(|chunks| check_chunks(&chunks, 0).map(|()| chunks))
            .and_then(|chunks| {
                if cursor.remaining() == 0 {
                    Ok(chunks)
                } else {
                    Err("bytes follow its last chunk")
                }
            })
            .map_err(corrupt(place))?;
        Ok(SeriesEntry { id, labels, chunks })
    }

    fn series_content(&self, offset: u64) -> Result<&[u8], Damage> {
        let mut cursor = Cursor::new(&self.bytes);
        cursor.bytes(offset)?;
        let length = cursor.uvarint()?;
        cursor.summed(length)
    }

    /// Symbols are kept with their lengths before them, so canonical label bytes are symbols one after the other.
    fn canonical_labels(&self, cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Damage> {
        let count = cursor.uvarint()?;
        let mut out = Vec::new();
        for _ in 0..count.checked_mul(2).ok_or("it has more labels than bytes")? {
            let symbol = cursor.uvarint32()? as usize;
            let range = self.symbols.get(symbol).ok_or("there is no such symbol")?;
            if out.len() + range.len() > MAX_LABEL_BYTES {
                return Err("it has more than 4 MiB of labels");
            }
            out.extend_from_slice(&self.bytes[range.clone()]);
        }
        Ok(out)
    }
}
