//! Postings: for each label pair the ids of the series that have it, and the table that says where each list is.
//!
//! ```text
//! list:   (zeros to a multiple of 4) u32 length | u32 count | { u32 series id }* rising | u32 CRC-32C of count and ids
//! table:  u32 length | u32 count | { uvarint 2 | uvarint, name | uvarint, value | uvarint offset of the list }* | u32 CRC-32C
//! ```
//!
//! The first list, under the empty name and value, holds all series. The table must be sorted by name, then value: Prometheus keeps
//! every 32nd entry in memory and walks from there, so a wrong order would silently hide series.

use crate::TsdbError;
use crate::bytes::{Cursor, put_uvarint, uvarint_len};
use crate::error::Damage;
use crate::output::Output;

/// Bytes of a list beside its ids: length, count and checksum. With ids of four bytes every list ends aligned.
const LIST_OVERHEAD: u64 = 12;

/// Writes one list, padded to where it must start.
pub(super) fn write_list(ids: &[u32], output: &mut Output) -> Result<(), TsdbError> {
    let length = u32::try_from(4 + 4 * ids.len() as u64).map_err(|_| TsdbError::TooLarge {
        what: "a postings list in bytes",
        limit: u64::from(u32::MAX),
    })?;
    output.pad(4)?;
    output.put(&length.to_be_bytes())?;
    output.begin_sum();
    output.put(&(ids.len() as u32).to_be_bytes())?;
    for &id in ids {
        output.put(&id.to_be_bytes())?;
    }
    output.end_sum()
}

/// Writes the table for lists that were written one after the other from `first_offset`: name, value and number of ids of each.
pub(super) fn write_table<'a>(
    lists: impl Iterator<Item = (&'a [u8], &'a [u8], u32)> + Clone,
    first_offset: u64,
    output: &mut Output,
) -> Result<(), TsdbError> {
    let too_large = |_| TsdbError::TooLarge {
        what: "the postings offset table in bytes",
        limit: u64::from(u32::MAX),
    };
    let string = |s: &[u8]| uvarint_len(s.len() as u64) + s.len() as u64;
    let (mut length, mut count, mut offset) = (4, 0u64, first_offset);
    for (name, value, ids) in lists.clone() {
        length += 1 + string(name) + string(value) + uvarint_len(offset);
        count += 1;
        offset += LIST_OVERHEAD + 4 * u64::from(ids);
    }
    output.put(&u32::try_from(length).map_err(too_large)?.to_be_bytes())?;
    output.begin_sum();
    output.put(&u32::try_from(count).map_err(too_large)?.to_be_bytes())?;
    let mut offset = first_offset;
    let mut entry = Vec::new();
    for (name, value, ids) in lists {
        entry.clear();
        put_uvarint(&mut entry, 2);
        for string in [name, value] {
            put_uvarint(&mut entry, string.len() as u64);
            entry.extend_from_slice(string);
        }
        put_uvarint(&mut entry, offset);
        output.put(&entry)?;
        offset += LIST_OVERHEAD + 4 * u64::from(ids);
    }
    output.end_sum()
}

/// One entry of the table.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) offset: u64,
}

/// Reads the table whole, in strictly rising order.
pub(super) fn decode_table(index: &[u8], offset: u64) -> Result<Vec<Listed<'_>>, Damage> {
    let mut cursor = Cursor::new(index);
    cursor.bytes(offset)?;
    let length = cursor.u32()?;
    let mut cursor = Cursor::new(cursor.summed(u64::from(length))?);
    let count = cursor.u32()?;
    // Each entry takes four bytes or more.
    if count as usize > cursor.remaining() / 4 {
        return Err("the postings offset table has more entries than bytes");
    }
    let mut lists: Vec<Listed<'_>> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        if cursor.uvarint()? != 2 {
            return Err("an entry of the postings offset table is not a name and a value");
        }
        let list = Listed {
            name: cursor.string()?,
            value: cursor.string()?,
            offset: cursor.uvarint()?,
        };
        if lists
            .last()
            .is_some_and(|previous| (previous.name, previous.value) >= (list.name, list.value))
        {
            return Err("the postings offset table is not in rising order");
        }
        lists.push(list);
    }
    Ok(lists)
}

/// Reads one list.
pub(super) fn decode_list(index: &[u8], offset: u64) -> Result<Vec<u32>, Damage> {
    let mut cursor = Cursor::new(index);
    cursor.bytes(offset)?;
    let length = cursor.u32()?;
    let mut cursor = Cursor::new(cursor.summed(u64::from(length))?);
    let count = cursor.u32()? as usize;
    if cursor.remaining() as u64 != 4 * count as u64 {
        return Err("a postings list is not as long as it says");
    }
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(cursor.u32()?);
    }
    if ids.is_sorted_by(|a, b| a < b) {
        Ok(ids)
    } else {
        Err("a postings list is not in rising order")
    }
}
