//! Tombstones: what was deleted from a block and is still in its chunks (Prometheus: `tsdb/tombstones/tombstones.go`; its page on the
//! format is wrong about an offset and padding).
//!
//! ```text
//! u32 0130BA30 | u8 1 | { uvarint series id | varint min time | varint max time }* | u32 CRC-32C of the entries alone
//! ```
//!
//! A reader that overlooked one would bring deleted samples back, so a file that cannot be read is an error, never none.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::TsdbError;
use crate::bytes::{Cursor, crc32c};
use crate::error::{Damage, corrupt, io_error};

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// The deleted times of each series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tombstones {
    /// Both ends deleted; rising, and never next to one another.
    deleted: BTreeMap<u64, Vec<RangeInclusive<i64>>>,
}

impl Tombstones {
    /// Reads a tombstone file, and gives its size. No file is no tombstones.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::Corrupt`], [`TsdbError::Unsupported`] for a version other than 1.
    pub fn read(path: &Path) -> Result<(Self, u64), TsdbError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Self::default(), 0)),
            read => read.map_err(io_error("read", path))?,
        };
        let place = || format!("`{}`", path.display());
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or("it is shorter than its header")
            .map_err(corrupt(place))?;
        if header[..4] != MAGIC.to_be_bytes() {
            return Err(corrupt(place)("it is not a tombstone file"));
        }
        if header[4] != VERSION {
            return Err(TsdbError::Unsupported {
                place: place(),
                what: format!("tombstone version {}", header[4]),
            });
        }
        let tombstones = Self::decode(rest).map_err(corrupt(place))?;
        Ok((tombstones, bytes.len() as u64))
    }

    fn decode(rest: &[u8]) -> Result<Self, Damage> {
        let (entries, sum) = rest.split_last_chunk::<4>().ok_or("it has no checksum")?;
        if u32::from_be_bytes(*sum) != crc32c(entries) {
            return Err("the checksum is wrong");
        }
        let mut cursor = Cursor::new(entries);
        let mut tombstones = Self::default();
        while cursor.remaining() > 0 {
            let series = cursor.uvarint()?;
            let deleted = cursor.varint()?..=cursor.varint()?;
            if !deleted.is_empty() {
                tombstones.deleted.entry(series).or_default().push(deleted);
            }
        }
        for deleted in tombstones.deleted.values_mut() {
            deleted.sort_unstable_by_key(|range| *range.start());
            // Times are whole numbers: what ends at 5 and what begins at 6 is one.
            deleted.dedup_by(|next, last| {
                let joined = *next.start() <= last.end().saturating_add(1);
                if joined {
                    *last = *last.start()..=*last.end().max(next.end());
                }
                joined
            });
        }
        Ok(tombstones)
    }

    /// Number of deleted stretches of all series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deleted.values().map(Vec::len).sum()
    }

    /// Whether nothing was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deleted.is_empty()
    }

    /// What was deleted of the series with this id, in rising order.
    #[must_use]
    pub fn of_series(&self, id: u32) -> &[RangeInclusive<i64>] {
        self.deleted.get(&u64::from(id)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::bytes::{put_uvarint, put_varint};

    fn file(entries: &[(u64, i64, i64)]) -> Vec<u8> {
        let mut body = Vec::new();
        for &(series, min, max) in entries {
            put_uvarint(&mut body, series);
            put_varint(&mut body, min);
            put_varint(&mut body, max);
        }
        let sum = crc32c(&body).to_be_bytes();
        [&[0x01, 0x30, 0xBA, 0x30, 1], &body[..], &sum].concat()
    }

    fn read(bytes: &[u8]) -> Result<(Tombstones, u64), TsdbError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Tombstones::read(file.path())
    }

    #[test]
    fn stretches_that_touch_are_one() {
        let entries = [
            (7, 5, 9),
            (3, 0, 0),
            (7, 1, 2),
            (7, 3, 3),
            (7, 6, 7),
            (7, 20, 10),
            (3, i64::MIN, -5),
            (3, i64::MAX, i64::MAX),
            (3, 100, i64::MAX),
        ];
        let (tombstones, size) = read(&file(&entries)).unwrap();
        assert_eq!(size, file(&entries).len() as u64);
        assert_eq!(tombstones.of_series(7), [1..=3, 5..=9]);
        assert_eq!(tombstones.of_series(3), [i64::MIN..=-5, 0..=0, 100..=i64::MAX]);
        assert_eq!(tombstones.of_series(1), []);
        assert_eq!((tombstones.len(), tombstones.is_empty()), (5, false));
    }

    #[test]
    fn damage_is_never_taken_for_none() {
        assert!(read(&file(&[])).unwrap().0.is_empty());
        let whole = file(&[(1, 2, 3), (4, -5, 6_000_000_000_000)]);
        for length in 0..whole.len() {
            assert!(
                matches!(read(&whole[..length]), Err(TsdbError::Corrupt { .. })),
                "{length}"
            );
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 4;
            let unsupported = matches!(read(&flipped), Err(TsdbError::Unsupported { .. }));
            assert_eq!(unsupported, place == 4);
            assert!(
                unsupported || matches!(read(&flipped), Err(TsdbError::Corrupt { .. })),
                "{place}"
            );
        }
        let missing = tempfile::tempdir().unwrap().path().join("tombstones");
        assert_eq!(Tombstones::read(&missing).unwrap(), (Tombstones::default(), 0));
    }
}
