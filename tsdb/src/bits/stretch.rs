//! The bit writer of the hottest loop: no branch for bits that cross a word, no look whether there is room.
//!
//! Bits go to an array on the stack, a whole word at a time over what is not settled yet, and from there to the vector once for many
//! samples. The caller must end a stretch before the array can be full; one that does not panics rather than writing elsewhere.

/// Room for a stretch, and the word that is written at its end.
pub(crate) const STRETCH_BYTES: usize = 448;

/// Appends bits to a byte vector, stretch by stretch.
pub(crate) struct StretchWriter<'a> {
    pub(super) bytes: [u8; STRETCH_BYTES],
    /// Whole bytes of the stretch.
    pub(super) at: usize,
    /// Bits behind them, from the top; the rest is zero.
    pub(super) pending: u64,
    /// How many, 0..8.
    pub(super) used: u32,
    pub(super) out: &'a mut Vec<u8>,
}

impl StretchWriter<'_> {
    /// Bits that are written at once, at most: with what is left of a byte they fill a word.
    pub(crate) const MOST_BITS: u32 = 56;

    /// Writes the low `count` bits of `value`; 1 to [`Self::MOST_BITS`], all higher bits must be zero.
    #[inline(always)]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(
            (1..=Self::MOST_BITS).contains(&count) && value >> count == 0,
            "bits beyond the count"
        );
        let filled = self.used + count;
        self.pending |= value << (64 - filled);
        self.bytes[self.at..self.at + 8].copy_from_slice(&self.pending.to_be_bytes());
        self.at += (filled / 8) as usize;
        self.pending <<= filled & !7;
        self.used = filled & 7;
    }

    /// As [`Self::put`] of up to 64 bits.
    #[inline]
    pub(crate) fn put_wide(&mut self, value: u64, count: u32) {
        if count > Self::MOST_BITS {
            self.put(value >> 32, count - 32);
            self.put(value & u64::from(u32::MAX), 32);
        } else {
            self.put(value, count);
        }
    }

    /// Moves the whole bytes of the stretch to the vector.
    #[inline]
    pub(crate) fn end_stretch(&mut self) {
        self.out.extend_from_slice(&self.bytes[..self.at]);
        self.at = 0;
    }

    /// Writes what is left, padded to a whole byte.
    pub(crate) fn finish(mut self) {
        self.end_stretch();
        if self.used > 0 {
            self.out.push((self.pending >> 56) as u8);
        }
    }
}
