//! The symbol table: every label name and value once, strictly rising bytewise, referenced by position.
//!
//! ```text
//! u32 length | u32 count | { uvarint length, bytes }* | u32 CRC-32C of count and strings
//! ```

use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::TsdbError;
use crate::bytes::{Cursor, put_uvarint, uvarint_len};
use crate::error::Damage;
use crate::output::Output;

/// Strings numbered in the order of their first appearance; sorted only when written, because series come before the last symbol is
/// known. Costs the bytes of the strings and about 10 bytes for each.
#[derive(Debug, Default)]
pub(super) struct SymbolSet {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl SymbolSet {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all symbols together.
    pub(super) fn text_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>() + self.table.allocation_size()
    }

    pub(super) fn bytes_of(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    pub(super) fn intern(&mut self, symbol: &[u8]) -> Result<u32, TsdbError> {
        let hash = self.hasher.hash_one(symbol);
        if let Some(&number) = self.table.find(hash, |&number| self.bytes_of(number) == symbol) {
            return Ok(number);
        }
        let too_large = |_| too_large();
        let end = u32::try_from(self.bytes.len() + symbol.len()).map_err(too_large)?;
        let number = u32::try_from(self.ends.len()).map_err(too_large)?;
        self.bytes.extend_from_slice(symbol);
        self.ends.push(end);
        let Self {
            bytes,
            ends,
            table,
            hasher,
        } = self;
        table.insert_unique(hash, number, |&number| {
            let number = number as usize;
            let start = if number == 0 { 0 } else { ends[number - 1] };
            hasher.hash_one(&bytes[start as usize..ends[number] as usize])
        });
        Ok(number)
    }

    /// Numbers in the order of their strings.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.bytes_of(a).cmp(self.bytes_of(b)));
        order
    }

    /// Writes the table in the order of `sorted`.
    pub(super) fn write(&self, sorted: &[u32], output: &mut Output) -> Result<(), TsdbError> {
        let strings: u64 = sorted
            .iter()
            .map(|&number| self.bytes_of(number).len() as u64)
            .map(|length| uvarint_len(length) + length)
            .sum();
        let length = u32::try_from(4 + strings).map_err(|_| too_large())?;
        output.put(&length.to_be_bytes())?;
        output.begin_sum();
        output.put(&(sorted.len() as u32).to_be_bytes())?;
        let mut scratch = Vec::new();
        for &number in sorted {
            let symbol = self.bytes_of(number);
            scratch.clear();
            put_uvarint(&mut scratch, symbol.len() as u64);
            scratch.extend_from_slice(symbol);
            output.put(&scratch)?;
        }
        output.end_sum()
    }
}

fn too_large() -> TsdbError {
    TsdbError::TooLarge {
        what: "the symbol table in bytes",
        limit: u64::from(u32::MAX),
    }
}

/// Where each symbol of a written table lies in the index, its length included: the very bytes that canonical labels consist of.
pub(super) fn decode(index: &[u8], offset: u64) -> Result<Vec<Range<usize>>, Damage> {
    let mut cursor = Cursor::new(index);
    cursor.bytes(offset)?;
    let length = cursor.u32()?;
    let content = cursor.summed(u64::from(length))?;
    let end = index.len() - cursor.remaining() - 4;
    let mut cursor = Cursor::new(content);
    let count = cursor.u32()? as usize;
    // Each symbol takes a byte or more.
    if count > cursor.remaining() {
        return Err("it has more symbols than bytes");
    }
    let mut symbols = Vec::with_capacity(count);
    let mut previous: Option<&[u8]> = None;
    for _ in 0..count {
        let start = end - cursor.remaining();
        let symbol = cursor.string()?;
        if previous.is_some_and(|previous| previous >= symbol) {
            return Err("symbols are not in rising order");
        }
        previous = Some(symbol);
        symbols.push(start..end - cursor.remaining());
    }
    Ok(symbols)
}
