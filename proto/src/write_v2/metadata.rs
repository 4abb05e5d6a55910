//! Metadata of one series in a remote write 2.0 request.
//!
//! A borrowed view of messages that were checked before. A bad reference must never cost more than its own text.

use super::symbols::{SymbolError, Symbols};
use crate::error::Malformed;
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

/// The same, with its texts not looked for yet. Within one request, equal ones are equal metadata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MetadataRefs {
    /// As [`Metadata::metric_type`].
    pub metric_type: i32,
    /// As [`Metadata::help_ref`].
    pub help_ref: u32,
    /// As [`Metadata::unit_ref`].
    pub unit_ref: u32,
}

impl MetadataRefs {
    /// What the references stand for.
    #[must_use]
    pub fn resolve<'a>(self, symbols: &Symbols<'a>) -> Metadata<'a> {
        Metadata {
            metric_type: self.metric_type,
            help_ref: self.help_ref,
            unit_ref: self.unit_ref,
            help: text(symbols, self.help_ref),
            unit: text(symbols, self.unit_ref),
        }
    }

    /// One message that was not checked before; nothing when it is not well formed, or holds what nobody sends.
    #[inline]
    pub(super) fn read(mut fields: Cursor<'_>) -> Option<Self> {
        let mut refs = Self::default();
        while let Some(key) = fields.key().ok()? {
            let value = match key {
                TYPE | HELP_REF | UNIT_REF => fields.varint().ok()?,
                _ => return None,
            };
            match key {
                // 32 bits each: longer varints are cut, as every protobuf library does.
                TYPE => refs.metric_type = value as i32,
                HELP_REF => refs.help_ref = value as u32,
                _ => refs.unit_ref = value as u32,
            }
        }
        Some(refs)
    }

    /// The fields of a message that was checked before, over those of an earlier one.
    fn read_onto(mut self, mut fields: Cursor<'_>) -> Result<Self, Malformed> {
        while let Some(key) = fields.key()? {
            match key {
                TYPE => self.metric_type = fields.varint()? as i32,
                HELP_REF => self.help_ref = fields.varint()? as u32,
                UNIT_REF => self.unit_ref = fields.varint()? as u32,
                other => fields.skip(other)?,
            }
        }
        Ok(self)
    }
}

impl<'a> Metadata<'a> {
    /// Merges the messages of one series, as protobuf says of a message that is there several times: of each field the last one holds.
    pub(super) fn read(symbols: &Symbols<'a>, messages: impl Iterator<Item = Cursor<'a>>) -> Option<Self> {
        let mut merged: Option<MetadataRefs> = None;
        for message in messages {
            merged = Some(merged.unwrap_or_default().read_onto(message).ok()?);
        }
        merged.map(|refs| refs.resolve(symbols))
    }
}

/// An absent reference reads as 0, and symbol 0 is empty by the specification. So 0 is the empty text even where the whole table is absent:
/// a sender without texts needs none.
fn text<'a>(symbols: &Symbols<'a>, reference: u32) -> Result<&'a [u8], SymbolError> {
    match reference {
        0 if symbols.is_empty() => Ok(&[]),
        _ => symbols.resolve(reference),
    }
}
