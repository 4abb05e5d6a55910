//! Walks over the fields of messages that `wire` reads: the repeated ones, where they lie, how many there are.
//!
//! Under the borrowed decoders, which keep places in a body and never what is there. It must never allocate either.

use crate::error::Malformed;
use crate::wire::{self, Cursor, LENGTH};

/// The values of a repeated scalar in a message that was checked before: field `number`, one by one with this wire type or packed, in the
/// order of the wire.
#[inline]
pub(crate) fn scalars<'a, T>(
    mut fields: Cursor<'a>,
    number: u32,
    wire_type: u32,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, Malformed>,
) -> impl Iterator<Item = T> {
    let (single, packed) = (wire::key(number, wire_type), wire::key(number, LENGTH));
    let mut values = Cursor::new(&[]);
    std::iter::from_fn(move || {
        loop {
            if !values.is_at_end() {
                return read(&mut values).ok();
            }
            match fields.key().ok()?? {
                found if found == packed => values = fields.message().ok()?,
                found if found == single => return read(&mut fields).ok(),
                found if found & 7 == LENGTH => drop(fields.message().ok()?),
                found => fields.skip(found).ok()?,
            }
        }
    })
}

/// What `read` makes of each field with this key, a length-delimited one, in a message that was checked before: an error can therefore not
/// occur, and ends the iteration.
#[inline]
pub(crate) fn repeated<'a, T>(
    mut fields: Cursor<'a>,
    key: u32,
    read: impl Fn(Cursor<'a>) -> Result<T, Malformed>,
) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        loop {
            let found = fields.key().ok()??;
            if found == key {
                return read(fields.message().ok()?).ok();
            }
            match found & 7 {
                LENGTH => drop(fields.message().ok()?),
                _ => fields.skip(found).ok()?,
            }
        }
    })
}

/// Where the fields of one number lie in a message: from the first of them to the last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extent {
    from: usize,
    to: usize,
    /// Their number.
    pub(crate) fields: usize,
}

impl Extent {
    /// Adds this many fields at bytes `from..to`, behind all that were added before.
    #[inline]
    pub(crate) fn add(&mut self, fields: usize, from: usize, to: usize) {
        if self.fields == 0 {
            self.from = from;
        }
        self.to = to;
        self.fields += fields;
    }

    /// The part of `message` that they lie in.
    #[inline]
    pub(crate) fn of<'a>(&self, message: Cursor<'a>) -> Cursor<'a> {
        message.part(self.from, self.to)
    }
}

/// Counts the messages (or strings) at the end of `path`, field numbers from outside to inside, so that their number can be bounded before
/// they are decoded.
pub(crate) fn count_entries(mut fields: Cursor<'_>, path: &[u32]) -> Result<usize, Malformed> {
    let Some((number, inner)) = path.split_first() else {
        return Ok(1);
    };
    let mut entries = 0;
    while let Some(key) = fields.key()? {
        if key == wire::key(*number, LENGTH) {
            entries += count_entries(fields.message()?, inner)?;
        } else {
            fields.skip(key)?;
        }
    }
    Ok(entries)
}
