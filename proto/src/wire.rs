//! The protobuf field reader under the borrowed decoders: tags, varints, lengths, skipping.
//!
//! It exists because a receiver looks at every byte it is sent exactly once and keeps none of them in the form they came in.
//! It must never allocate, never panic and never read past the message it was given.

use std::fmt;

use crate::error::Malformed;

/// Nesting of groups that is skipped before a message is refused; the same order of magnitude as other implementations.
const MAX_GROUP_DEPTH: usize = 64;

/// The key of a field: its number and its wire type, as on the wire.
pub(crate) const fn key(number: u32, wire_type: u32) -> u32 {
    number << 3 | wire_type
}

/// Wire types of protobuf.
pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const LENGTH: u32 = 2;
const START_GROUP: u32 = 3;
const END_GROUP: u32 = 4;
const FIXED32: u32 = 5;

/// A position in a message. `body` reaches from the start of the whole request to the end of this message, so offsets in errors
/// are those of the request and a nested message costs no more than a shorter slice.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

impl fmt::Debug for Cursor<'_> {
    /// The place only: the bytes are a peer's and may be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}..{}", self.at, self.body.len())
    }
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Bytes `from..to` of the same request, as a message of their own; nothing when they are not inside this one.
    #[inline]
    pub(crate) fn part(&self, from: usize, to: usize) -> Cursor<'a> {
        match self.body.get(..to) {
            Some(body) => Cursor { body, at: from.min(to) },
            None => Cursor { body: &[], at: 0 },
        }
    }

    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Where the message ends.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.body.len()
    }

    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    /// What is left of the message.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or(&[])
    }

    #[cold]
    pub(crate) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.at, what }
    }

    /// The next key, `None` at the end of the message.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<u32>, Malformed> {
        match self.body.get(self.at) {
            None => Ok(None),
            // Fields 1 to 15 in their shortest form; 0x08 is the smallest key with a field number, 6 and 7 are no wire types.
            Some(&byte) if (0x08..0x80).contains(&byte) && byte & 7 <= FIXED32 as u8 => {
                self.at += 1;
                Ok(Some(u32::from(byte)))
            }
            Some(_) => self.long_key().map(Some),
        }
    }

    /// Takes the next key when it is this one, of a field below 16 in its shortest form: cheaper than [`Cursor::key`], where a field is
    /// likely to be repeated.
    #[inline]
    pub(crate) fn take_key(&mut self, key: u32) -> bool {
        // A branch, not arithmetic: it is predicted, and the next position need not wait for the byte.
        if self.body.get(self.at).is_none_or(|byte| u32::from(*byte) != key) {
            return false;
        }
        self.at += 1;
        true
    }

    #[cold]
    fn long_key(&mut self) -> Result<u32, Malformed> {
        let start = *self;
        let Ok(key) = u32::try_from(self.varint()?) else {
            return Err(start.malformed("field number too large"));
        };
        if key >> 3 == 0 {
            return Err(start.malformed("field number 0"));
        }
        if key & 7 > FIXED32 {
            return Err(start.malformed("unknown wire type"));
        }
        Ok(key)
    }

    /// A varint of at most 64 bits.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.body.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.two_bytes_or_more(),
        }
    }

    /// Two bytes are the lengths of most entries and most references to symbols.
    #[inline]
    fn two_bytes_or_more(&mut self) -> Result<u64, Malformed> {
        match self.rest().first_chunk::<2>() {
            Some(&[low, high]) if high < 0x80 => {
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        // Ten bytes hold any varint. Where they are there, as almost everywhere, the loop needs no look at the end of the message.
        let decoded = match self.rest().first_chunk::<10>() {
            Some(bytes) => decode_varint(bytes),
            None => decode_varint(self.rest()),
        };
        match decoded {
            Ok((value, len)) => {
                self.at += len;
                Ok(value)
            }
            Err(what) => Err(self.malformed(what)),
        }
    }

    /// Eight bytes, little endian.
    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Malformed> {
        match self.rest().first_chunk::<8>() {
            Some(bytes) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(self.malformed("message ends inside a fixed64")),
        }
    }

    /// A length-delimited field as a message to read.
    #[inline]
    pub(crate) fn message(&mut self) -> Result<Cursor<'a>, Malformed> {
        let len = self.varint()?;
        // `at` is never past the end, so the subtraction cannot wrap.
        if len > (self.body.len() - self.at) as u64 {
            return Err(self.malformed("length reaches past the end of its message"));
        }
        let end = self.at + len as usize;
        let inner = Cursor {
            body: &self.body[..end],
            at: self.at,
        };
        self.at = end;
        Ok(inner)
    }

    /// A length-delimited field as bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.message().map(|inner| inner.rest())
    }

    /// Skips a field whose number is not among `known`; a known number with another wire type than the caller took is refused.
    #[cold]
    pub(crate) fn skip_unknown(&mut self, key: u32, known: &[u32]) -> Result<(), Malformed> {
        if known.contains(&(key >> 3)) {
            return Err(self.malformed("wrong wire type of a known field"));
        }
        self.skip(key)
    }

    /// Skips the content of the field whose key was just read.
    pub(crate) fn skip(&mut self, key: u32) -> Result<(), Malformed> {
        let mut groups = [0; MAX_GROUP_DEPTH];
        let mut depth = 0;
        let mut key = key;
        loop {
            match key & 7 {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.fixed64()?),
                LENGTH => drop(self.message()?),
                FIXED32 => match self.rest().get(..4) {
                    Some(_) => self.at += 4,
                    None => return Err(self.malformed("message ends inside a fixed32")),
                },
                START_GROUP => match groups.get_mut(depth) {
                    Some(group) => {
                        *group = key >> 3;
                        depth += 1;
                    }
                    None => return Err(self.malformed("groups nested too deeply")),
                },
                END_GROUP if depth > 0 && groups[depth - 1] == key >> 3 => depth -= 1,
                _ => return Err(self.malformed("end of a group that was not begun")),
            }
            if depth == 0 {
                return Ok(());
            }
            key = self
                .key()?
                .ok_or_else(|| self.malformed("message ends inside a group"))?;
        }
    }
}

/// The varint at the start of `bytes` and its length, or what is wrong with it.
#[inline(always)]
fn decode_varint(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte holds bit 63 and nothing else.
        if i == 9 && byte > 1 {
            return Err("varint of more than 64 bits");
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, i + 1));
        }
    }
    Err("varint does not end")
}

#[cfg(test)]
mod tests;
