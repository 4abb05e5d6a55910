//! Metadata of one series in a remote write 2.0 request.
//!
//! A borrowed view of messages that were checked before. A bad reference must never cost more than its own text.

use super::symbols::{SymbolError, Symbols};
use crate::error::Malformed;
use crate::shape;
use crate::wire::{Cursor, VARINT, key};

const TYPE: u32 = key(1, VARINT);
const HELP_REF: u32 = key(3, VARINT);
const UNIT_REF: u32 = key(4, VARINT);

/// What a series is. Fields that are absent are 0 or empty. Within one request, equal type and references are equal metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Number of the type, the same in both protocols: 0 unspecified, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary,
    /// 6 info, 7 state set; others as sent.
    pub metric_type: i32,
    /// Reference to the help text.
    pub help_ref: u32,
    /// Reference to the unit.
    pub unit_ref: u32,
    /// What it is about. Perhaps not UTF-8.
    pub help: Result<&'a [u8], SymbolError>,
    /// Its unit. Perhaps not UTF-8.
    pub unit: Result<&'a [u8], SymbolError>,
}

impl<'a> Metadata<'a> {
    /// Merges the messages of one series, as protobuf says of a message that is there several times: of each field the last one holds.
    pub(super) fn read(symbols: &Symbols<'a>, messages: impl Iterator<Item = Cursor<'a>>) -> Option<Self> {
        let mut merged = None;
        for message in messages {
            merged = Some(read_onto(merged.unwrap_or_default(), message).ok()?);
        }
        let (metric_type, help_ref, unit_ref) = merged?;
        Some(Self {
            metric_type,
            help_ref,
            unit_ref,
            help: text(symbols, help_ref),
            unit: text(symbols, unit_ref),
        })
    }
}

/// One message that was not checked before; nothing when it is not well formed.
pub(super) fn read_checked<'a>(symbols: &Symbols<'a>, message: Cursor<'a>) -> Option<Metadata<'a>> {
    shape::check(message, shape::METADATA_V2).ok()?;
    Metadata::read(symbols, std::iter::once(message))
}

/// Type, reference of the help text and of the unit.
type Fields = (i32, u32, u32);

fn read_onto((mut metric_type, mut help, mut unit): Fields, mut fields: Cursor<'_>) -> Result<Fields, Malformed> {
    while let Some(key) = fields.key()? {
        match key {
            // 32 bits each: longer varints are cut, as every protobuf library does.
            TYPE => metric_type = fields.varint()? as i32,
            HELP_REF => help = fields.varint()? as u32,
            UNIT_REF => unit = fields.varint()? as u32,
            other => fields.skip(other)?,
        }
    }
    Ok((metric_type, help, unit))
}

/// An absent reference reads as 0, and symbol 0 is empty by the specification. So 0 is the empty text even where the whole table is absent:
/// a sender without texts needs none.
fn text<'a>(symbols: &Symbols<'a>, reference: u32) -> Result<&'a [u8], SymbolError> {
    match reference {
        0 if symbols.is_empty() => Ok(&[]),
        _ => symbols.resolve(reference),
    }
}
