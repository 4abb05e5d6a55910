//! Metadata of one metric family in a remote write 1.0 request.
//!
//! A borrowed view of a message that was checked before. It must not judge content: names and texts are perhaps empty or not UTF-8.

use crate::error::Malformed;
use crate::wire::{Cursor, LENGTH, VARINT, key};

const TYPE: u32 = key(1, VARINT);
const FAMILY: u32 = key(2, LENGTH);
const HELP: u32 = key(4, LENGTH);
const UNIT: u32 = key(5, LENGTH);

/// What a metric family is. Fields that are absent are 0 or empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Number of the type, the same in both protocols: 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info,
    /// 7 state set; others as sent.
    pub metric_type: i32,
    /// Name of the family.
    pub family: &'a [u8],
    /// What it is about.
    pub help: &'a [u8],
    /// Its unit.
    pub unit: &'a [u8],
}

impl<'a> Metadata<'a> {
    pub(super) fn read(mut fields: Cursor<'a>) -> Result<Self, Malformed> {
        let mut metadata = Self::default();
        while let Some(key) = fields.key()? {
            match key {
                // An enum is an int32: longer varints are cut, as every protobuf library does.
                TYPE => metadata.metric_type = fields.varint()? as i32,
                FAMILY => metadata.family = fields.bytes()?,
                HELP => metadata.help = fields.bytes()?,
                UNIT => metadata.unit = fields.bytes()?,
                other => fields.skip(other)?,
            }
        }
        Ok(metadata)
    }
}
