//! What was refused of a request, decided once and replayed as it was.
//!
//! Limits and code change between acknowledgement and replay; the verdict in the record is why replay answers the same. It
//! holds ordinals only; what is counted (series, samples, in which order) is fixed by the validator version.

use std::ops::Range;

/// The decision about one request: which version of the validator made it, and the ordinals that it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    validator: u32,
    /// Sorted, not empty, and with at least one accepted ordinal between two of them.
    refused: Vec<Range<u32>>,
}

impl Verdict {
    /// A verdict that refuses nothing yet.
    pub fn new(validator: u32) -> Self {
        Self {
            validator,
            refused: Vec::new(),
        }
    }

    /// Refuses one ordinal; ordinals come in ascending order, repeats are fine.
    ///
    /// # Panics
    ///
    /// When the ordinal is lower than one given before, which is a mistake in the caller's walk, or is `u32::MAX`.
    pub fn refuse(&mut self, ordinal: u32) {
        let next = ordinal
            .checked_add(1)
            .expect("requests have far fewer than 2^32 entries");
        match self.refused.last_mut() {
            Some(last) if ordinal == last.end => last.end = next,
            Some(last) if ordinal.checked_add(1) == Some(last.end) => {}
            Some(last) => {
                assert!(ordinal > last.end, "ordinals are refused in ascending order");
                self.refused.push(ordinal..next);
            }
            None => self.refused.push(ordinal..next),
        }
    }

    /// Version of the validator that decided.
    pub fn validator(&self) -> u32 {
        self.validator
    }

    /// Whether nothing was refused.
    pub fn accepts_all(&self) -> bool {
        self.refused.is_empty()
    }

    /// Whether the ordinal was refused.
    pub fn is_refused(&self, ordinal: u32) -> bool {
        let after = self.refused.partition_point(|range| range.start <= ordinal);
        after > 0 && ordinal < self.refused[after - 1].end
    }

    /// The refused ordinals as sorted ranges that do not touch.
    pub fn refused(&self) -> &[Range<u32>] {
        &self.refused
    }

    /// How many ordinals were refused.
    pub fn refused_count(&self) -> u64 {
        self.refused
            .iter()
            .map(|range| u64::from(range.end - range.start))
            .sum()
    }

    /// Appends the encoded form: one byte when nothing was refused and the version is below 64.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_uvarint(out, (u64::from(self.validator) << 1) | u64::from(!self.accepts_all()));
        if self.accepts_all() {
            return;
        }
        put_uvarint(out, self.refused.len() as u64);
        let mut end = 0;
        for range in &self.refused {
            put_uvarint(out, u64::from(range.start - end));
            put_uvarint(out, u64::from(range.end - range.start));
            end = range.end;
        }
    }

    /// Reads the encoded form off the front of `bytes`; `None` when it is malformed.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let first = take_uvarint(bytes)?;
        let mut verdict = Self::new(u32::try_from(first >> 1).ok()?);
        if first & 1 == 0 {
            return Some(verdict);
        }
        let count = take_uvarint(bytes)?;
        // Each range takes two bytes at least, so the reservation is bounded by what is there.
        if count == 0 || count > bytes.len() as u64 / 2 {
            return None;
        }
        let mut end = 0_u32;
        for index in 0..count {
            let gap = u32::try_from(take_uvarint(bytes)?).ok()?;
            let len = u32::try_from(take_uvarint(bytes)?).ok()?;
            if len == 0 || (gap == 0 && index > 0) {
                return None;
            }
            let start = end.checked_add(gap)?;
            end = start.checked_add(len)?;
            verdict.refused.push(start..end);
        }
        Some(verdict)
    }
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes an unsigned LEB128 number off the front; `None` when it is cut off or longer than 64 bits.
pub(crate) fn take_uvarint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
