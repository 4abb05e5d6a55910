//! The RLE and bit-packing hybrid of Parquet, in which levels and dictionary indices are written.
//!
//! Series lie in runs, and whoever writes them knows where a run ends; so nothing here looks for repetitions value by value. A stretch is
//! either one run or packed, whichever its caller says.

use super::varint::put_uvarint;

/// Bits that indices up to `largest` take, in whole bytes: ZSTD finds repetitions of bytes, not of bits.
pub(super) fn width_of(largest: u32) -> u8 {
    let bytes = (u32::BITS - largest.leading_zeros()).div_ceil(8).max(1);
    u8::try_from(8 * bytes).expect("at most 32")
}

/// `count` times the same value.
pub(super) fn put_run(out: &mut Vec<u8>, value: u32, count: u32, width: u8) {
    put_uvarint(out, u64::from(count) << 1);
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width.div_ceil(8))]);
}

/// Values one by one; must be the last of a page, because the last group of eight is filled up.
pub(super) fn put_packed(out: &mut Vec<u8>, values: &[u32], width: u8) {
    let groups = values.len().div_ceil(8);
    put_uvarint(out, (groups as u64) << 1 | 1);
    let end = out.len() + groups * usize::from(width);
    let (mut word, mut filled) = (0_u64, 0_u32);
    for &value in values {
        word |= u64::from(value) << filled;
        filled += u32::from(width);
        if filled >= 32 {
            out.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= 32;
            filled -= 32;
        }
    }
    out.extend_from_slice(&word.to_le_bytes());
    out.resize(end, 0);
}

/// Levels of 0 and 1 of one page, with the length before them that the first version of data pages has.
#[derive(Debug, Default)]
pub(super) struct Levels {
    bytes: Vec<u8>,
    count: u32,
    ones: u32,
}

impl Levels {
    pub(super) fn push(&mut self, is_one: bool) {
        self.push_many(is_one, 1);
    }

    pub(super) fn push_many(&mut self, is_one: bool, mut count: u32) {
        self.ones += u32::from(is_one) * count;
        while count > 0 && !self.count.is_multiple_of(8) {
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(is_one) << (self.count % 8);
            }
            (self.count, count) = (self.count + 1, count - 1);
        }
        let fill = if is_one { 0xff } else { 0 };
        self.bytes.resize(self.bytes.len() + count as usize / 8, fill);
        if !count.is_multiple_of(8) {
            self.bytes.push(fill & ((1 << (count % 8)) - 1));
        }
        self.count += count;
    }

    pub(super) fn zeros(&self) -> u32 {
        self.count - self.ones
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.ones) = (0, 0);
    }

    /// Writes them as they are.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.put_masked(out, 0);
    }

    /// Writes 0 for every 1 and the other way around.
    pub(super) fn put_inverted(&self, out: &mut Vec<u8>) {
        self.put_masked(out, 0xff);
    }

    fn put_masked(&self, out: &mut Vec<u8>, mask: u8) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        if self.ones == 0 || self.ones == self.count {
            put_run(out, u32::from(self.ones > 0) ^ u32::from(mask & 1), self.count, 1);
        } else {
            put_uvarint(out, (self.bytes.len() as u64) << 1 | 1);
            out.extend(self.bytes.iter().map(|byte| byte ^ mask));
        }
        let length = u32::try_from(out.len() - at - 4).expect("a page has fewer than 2^32 levels");
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let bit = |i: usize| u32::from(bytes[i / 8] >> (i % 8) & 1);
        let width = usize::from(width);
        (0..count)
            .map(|i| (0..width).map(|b| bit(i * width + b) << b).sum())
            .collect()
    }

    #[test]
    fn packed_values_lie_bit_by_bit_in_whole_groups() {
        for width in 1..=32_u8 {
            let values: Vec<u32> = (0..21_u32)
                .map(|i| i.wrapping_mul(0x9e37_79b9) >> (32 - width))
                .collect();
            let mut out = Vec::new();
            put_packed(&mut out, &values, width);
            assert_eq!(out[0], 3 << 1 | 1);
            assert_eq!(out.len(), 1 + 3 * usize::from(width));
            assert_eq!(unpacked(&out[1..], width, 21), values, "{width}");
        }
    }

    #[test]
    fn levels_are_one_run_or_a_bitmap() {
        let mut levels = Levels::default();
        levels.push_many(true, 300);
        let mut out = Vec::new();
        levels.put(&mut out);
        assert_eq!(out, [3, 0, 0, 0, 0xd8, 0x04, 1]);
        out.clear();
        levels.put_inverted(&mut out);
        assert_eq!(out, [3, 0, 0, 0, 0xd8, 0x04, 0]);

        levels.clear();
        let expected: Vec<u32> = (0..40).map(|i| u32::from(!(3..=20).contains(&i))).collect();
        levels.push_many(true, 3);
        levels.push_many(false, 18);
        levels.push(true);
        levels.push_many(true, 18);
        out.clear();
        levels.put(&mut out);
        assert_eq!((levels.count(), levels.zeros()), (40, 18));
        assert_eq!(out[..5], [6, 0, 0, 0, 5 << 1 | 1]);
        assert_eq!(unpacked(&out[5..], 1, 40), expected);
    }
}
