//! One exemplar of a remote write 1.0 request, with labels of its own.
//!
//! A borrowed view of a message that was checked before. Its labels are not judged here.

use super::read_label;
use crate::error::Malformed;
use crate::fields::repeated;
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT, key};

const LABELS: u32 = key(1, LENGTH);
const VALUE: u32 = key(2, FIXED64);
const TIMESTAMP: u32 = key(3, VARINT);

/// One exemplar.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'a> {
    /// The observed value, bit for bit.
    pub value: f64,
    /// Milliseconds since the epoch; 0 when unset.
    pub timestamp: i64,
    message: Cursor<'a>,
}

impl<'a> Exemplar<'a> {
    pub(super) fn read(message: Cursor<'a>) -> Result<Self, Malformed> {
        let mut exemplar = Self {
            value: 0.0,
            timestamp: 0,
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

    /// Its labels in the order of the wire, name and value: unsorted, perhaps none, perhaps empty, perhaps repeated, perhaps not UTF-8.
    pub fn labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        repeated(self.message, LABELS, read_label)
    }
}
