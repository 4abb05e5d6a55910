//! One exemplar of a remote write 2.0 request, with references into the symbol table.
//!
//! A borrowed view of a message that was checked before. A bad reference must never cost more than its own exemplar.

use super::symbols::{SymbolError, Symbols, refs};
use crate::error::Malformed;
use crate::wire::{Cursor, FIXED64, VARINT, key};

const VALUE: u32 = key(2, FIXED64);
const TIMESTAMP: u32 = key(3, VARINT);

/// One exemplar.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'r, 'a> {
    /// The observed value, bit for bit.
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unset.
    pub timestamp: i64,
    symbols: &'r Symbols<'a>,
    message: Cursor<'a>,
}

impl<'r, 'a> Exemplar<'r, 'a> {
    pub(super) fn read(symbols: &'r Symbols<'a>, message: Cursor<'a>) -> Result<Self, Malformed> {
        let mut exemplar = Self {
            value: 0.0,
            timestamp: 0,
            symbols,
            message,
        };
        let mut fields = message;
        while let Some(key) = fields.key()? {
            match key {
                VALUE => exemplar.value = f64::from_bits(fields.fixed64()?),
                TIMESTAMP => exemplar.timestamp = fields.varint()? as i64,
                other => fields.skip(other)?,
            }
        }
        Ok(exemplar)
    }

    /// Its labels in the order of the wire, name and value: unsorted, perhaps none, perhaps empty, perhaps repeated, perhaps not UTF-8. Ends
    /// after the first error.
    pub fn labels(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), SymbolError>> + use<'r, 'a> {
        self.symbols.labels(refs(self.message))
    }
}
