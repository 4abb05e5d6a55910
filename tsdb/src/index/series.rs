//! A series entry: labels as symbol numbers, and where the chunks are.
//!
//! ```text
//! (zeros to a multiple of 16) uvarint content length | content | u32 CRC-32C of content
//! content:  uvarint labels | { uvarint name | uvarint value }* | uvarint chunks | first | next*
//! first:    varint min time | uvarint max - min | uvarint reference
//! next:     uvarint min - previous max | uvarint max - min | varint reference - previous reference
//! ```

use emberkeep_model::Labels;

use crate::ChunkMeta;
use crate::bytes::{Cursor, put_uvarint, put_varint};
use crate::error::Damage;

/// One series of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Its id: what postings and tombstones name it by.
    pub id: u32,
    /// Its labels.
    pub labels: Labels,
    /// Its chunks in time order.
    pub chunks: Vec<ChunkMeta>,
}

/// Appends the chunk half of the content. Differences wrap: two ends of time are farther apart than an `i64` reaches.
pub(super) fn encode_chunks(chunks: &[ChunkMeta], out: &mut Vec<u8>) {
    put_uvarint(out, chunks.len() as u64);
    let mut previous: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match previous {
            None => put_varint(out, chunk.min_time),
            Some(previous) => put_uvarint(out, chunk.min_time.wrapping_sub(previous.max_time).cast_unsigned()),
        }
        put_uvarint(out, chunk.max_time.wrapping_sub(chunk.min_time).cast_unsigned());
        match previous {
            None => put_uvarint(out, chunk.reference),
            Some(previous) => put_varint(out, chunk.reference.wrapping_sub(previous.reference).cast_signed()),
        }
        previous = Some(chunk);
    }
}

pub(super) fn decode_chunks(cursor: &mut Cursor<'_>) -> Result<Vec<ChunkMeta>, Damage> {
    let count = cursor.uvarint()?;
    // Each chunk takes three bytes or more.
    if count > cursor.remaining() as u64 / 3 {
        return Err("it has more chunks than bytes");
    }
    let mut chunks: Vec<ChunkMeta> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let previous = chunks.last();
        let min_time = match previous {
            None => cursor.varint()?,
            Some(previous) => previous.max_time.wrapping_add(cursor.uvarint()?.cast_signed()),
        };
        let max_time = min_time.wrapping_add(cursor.uvarint()?.cast_signed());
        let reference = match previous {
            None => cursor.uvarint()?,
            Some(previous) => previous.reference.wrapping_add(cursor.varint()?.cast_unsigned()),
        };
        chunks.push(ChunkMeta {
            min_time,
            max_time,
            reference,
        });
    }
    Ok(chunks)
}

/// The rules that Prometheus checks when it writes a series, and we check on both sides: each chunk ends after it begins and begins
/// after the previous one ended, references never fall, also not against the series before.
pub(super) fn check_chunks(chunks: &[ChunkMeta], reference_before: u64) -> Result<(), Damage> {
    let mut reference = reference_before;
    let mut end: Option<i64> = None;
    for chunk in chunks {
        if chunk.max_time < chunk.min_time {
            return Err("a chunk ends before it begins");
        }
        if end.is_some_and(|end| chunk.min_time <= end) {
            return Err("a chunk begins before the previous one ended");
        }
        if chunk.reference < reference {
            return Err("a chunk lies before the previous one");
        }
        (reference, end) = (chunk.reference, Some(chunk.max_time));
    }
    Ok(())
}
