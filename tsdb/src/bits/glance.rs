//! A look at the bits that come next in a reader, for loops that know how many they take before they ask for more.
//!
//! A position and one load for each look, where the reader keeps a word and fills it up: so a look does not wait for the one before. It must
//! never look beyond the bytes; near their end it gives nothing, and the reader itself goes on.

use super::BitReader;

/// Where in the bytes the next bits are.
#[derive(Clone, Copy)]
pub(crate) struct BitGlance<'a> {
    bytes: &'a [u8],
    /// In bits, from the start of `bytes`.
    at: usize,
}

impl BitGlance<'_> {
    /// How many bits of a word are surely those that come next.
    pub(crate) const BITS: u32 = 57;

    /// The next bits, from the top. `None` when fewer than a word of bytes are left.
    #[inline]
    pub(crate) fn word(&self) -> Option<u64> {
        let word = self.bytes.get(self.at / 8..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*word) << (self.at % 8))
    }

    /// Passes over bits of the last word.
    #[inline]
    pub(crate) fn pass(&mut self, count: u32) {
        self.at += count as usize;
    }

    /// Takes 1 to 64 bits. `None` when they are not surely there.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        let word = self.word()?;
        if count <= Self::BITS {
            self.pass(count);
            return Some(word >> (64 - count));
        }
        self.pass(32);
        let rest = self.word()? >> (96 - count);
        self.pass(count - 32);
        Some(word >> 32 << (count - 32) | rest)
    }
}

impl<'a> BitReader<'a> {
    /// From where the reader stands.
    #[inline]
    pub(crate) fn glance(&self) -> BitGlance<'a> {
        BitGlance {
            bytes: self.all,
            at: (self.all.len() - self.rest.len()) * 8 - self.have as usize,
        }
    }

    /// Goes to where a look that began here has come.
    #[inline]
    pub(crate) fn go_to(&mut self, glance: &BitGlance<'a>) {
        let at = glance.at.min(self.all.len() * 8);
        self.rest = &self.all[at / 8..];
        (self.pending, self.have) = (0, 0);
        if let (Some((&byte, rest)), 1..) = (self.rest.split_first(), at % 8) {
            self.pending = u64::from(byte) << (56 + at % 8);
            self.have = 8 - (at % 8) as u32;
            self.rest = rest;
        }
    }
}
