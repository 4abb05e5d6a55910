//! The RLE and bit-packing hybrid of Parquet, in which levels and dictionary indices are written, and how they are read again.
//!
//! Series lie in runs, and whoever writes them knows where a run ends; so nothing here looks for repetitions value by value. A stretch is
//! either one run or packed, whichever its caller says.

use super::varint::{put_uvarint, take_uvarint};

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

/// Values of one width: how often the same one, or several, packed.
enum Stretch<'a> {
    Run(u32, usize),
    Packed(&'a [u8], usize),
}

/// Goes over `count` values; `None` when the bytes are not those of so many.
fn stretches<'a>(
    mut bytes: &'a [u8],
    width: u8,
    count: usize,
    mut see: impl FnMut(Stretch<'a>) -> Option<()>,
) -> Option<()> {
    let mut left = count;
    while left > 0 {
        let head = take_uvarint(&mut bytes)?;
        let length = usize::try_from(head >> 1).ok().filter(|length| *length > 0)?;
        if head & 1 == 0 {
            let (value, rest) = bytes.split_at_checked(usize::from(width.div_ceil(8)))?;
            bytes = rest;
            let mut word = [0; 4];
            word.get_mut(..value.len())?.copy_from_slice(value);
            // Some writers let the last run go on behind the last value.
            let run = length.min(left);
            see(Stretch::Run(u32::from_le_bytes(word), run))?;
            left -= run;
        } else {
            let (packed, rest) = bytes.split_at_checked(length.checked_mul(usize::from(width))?)?;
            bytes = rest;
            let many = length.checked_mul(8)?.min(left);
            see(Stretch::Packed(packed, many))?;
            left -= many;
        }
    }
    Some(())
}

/// Appends `count` indices of a dictionary; the page says their width first. `None` when there are not so many.
pub(super) fn take_indices(bytes: &[u8], count: usize, out: &mut Vec<u32>) -> Option<()> {
    let (&width, bytes) = bytes.split_first()?;
    if width > 32 {
        return None;
    }
    stretches(bytes, width, count, |stretch| {
        match stretch {
            Stretch::Run(value, count) => out.resize(out.len() + count, value),
            Stretch::Packed(packed, count) => unpack(packed, width, count, out),
        }
        Some(())
    })
}

/// Goes over the runs of `count` indices of a dictionary; what is packed comes one by one.
pub(super) fn index_runs(bytes: &[u8], count: usize, mut see: impl FnMut(u32, usize) -> Option<()>) -> Option<()> {
    let (&width, bytes) = bytes.split_first()?;
    if width > 32 {
        return None;
    }
    let mut unpacked = Vec::new();
    stretches(bytes, width, count, |stretch| match stretch {
        Stretch::Run(value, count) => see(value, count),
        Stretch::Packed(packed, count) => {
            unpacked.clear();
            unpack(packed, width, count, &mut unpacked);
            unpacked.iter().try_for_each(|&value| see(value, 1))
        }
    })
}

/// There are at least `count` values.
fn unpack(packed: &[u8], width: u8, count: usize, out: &mut Vec<u32>) {
    match width {
        0 => out.resize(out.len() + count, 0),
        8 => out.extend(packed[..count].iter().map(|&byte| u32::from(byte))),
        16 => {
            let (words, _) = packed.as_chunks::<2>();
            out.extend(words[..count].iter().map(|word| u32::from(u16::from_le_bytes(*word))));
        }
        _ => {
            let mask = (1_u64 << width) - 1;
            out.extend((0..count).map(|i| {
                let bit = i * usize::from(width);
                let mut word = [0; 8];
                let from = &packed[bit / 8..packed.len().min(bit / 8 + 8)];
                word[..from.len()].copy_from_slice(from);
                (u64::from_le_bytes(word) >> (bit % 8) & mask) as u32
            }));
        }
    }
}

/// Levels of 0 and 1 of one page, read.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    count: usize,
    ones: usize,
}

impl Bits {
    /// Takes `count` levels off the front of a page, with the length before them. `None` when they are not there.
    pub(super) fn take(&mut self, page: &mut &[u8], count: usize) -> Option<()> {
        self.bytes.clear();
        (self.count, self.ones) = (0, 0);
        let (length, rest) = page.split_first_chunk()?;
        let (levels, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        *page = rest;
        stretches(levels, 1, count, |stretch| {
            match stretch {
                Stretch::Run(value, count) if self.count.is_multiple_of(8) => {
                    let fill = if value & 1 == 1 { 0xff } else { 0 };
                    self.bytes.resize(self.bytes.len() + count / 8, fill);
                    if !count.is_multiple_of(8) {
                        self.bytes.push(fill & ((1 << (count % 8)) - 1));
                    }
                    self.count += count;
                }
                Stretch::Run(value, count) => self.add(std::iter::repeat_n(value & 1 == 1, count)),
                Stretch::Packed(packed, count) if self.count.is_multiple_of(8) => {
                    let (whole, rest) = (count / 8, count % 8);
                    self.bytes.extend_from_slice(&packed[..whole]);
                    if rest > 0 {
                        self.bytes.push(packed[whole] & ((1 << rest) - 1));
                    }
                    self.count += count;
                }
                Stretch::Packed(packed, count) => {
                    self.add((0..count).map(|i| packed[i / 8] >> (i % 8) & 1 == 1));
                }
            }
            Some(())
        })?;
        let (words, rest) = self.bytes.as_chunks::<8>();
        let of_words: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
        self.ones = (of_words + rest.iter().map(|byte| byte.count_ones()).sum::<u32>()) as usize;
        Some(())
    }

    fn add(&mut self, levels: impl Iterator<Item = bool>) {
        for level in levels {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(level) << (self.count % 8);
            }
            self.count += 1;
        }
    }

    /// Number of levels that are 1.
    pub(super) fn ones(&self) -> usize {
        self.ones
    }

    /// Whether all levels are 1.
    pub(super) fn is_full(&self) -> bool {
        self.ones == self.count
    }

    /// Whether each level is 1 where the other is 0.
    pub(super) fn is_opposite_of(&self, other: &Self) -> bool {
        let mut bytes = self.bytes.iter().zip(&other.bytes);
        self.count == other.count && self.ones + other.ones == self.count && bytes.all(|(a, b)| a & b == 0)
    }

    /// Whether a level is 1.
    pub(super) fn is_one(&self, i: usize) -> bool {
        self.bytes[i / 8] >> (i % 8) & 1 == 1
    }

    /// A level, and how many from it on are the same: at least one, at most `most`, which must be there.
    pub(super) fn stretch(&self, from: usize, most: usize) -> (bool, usize) {
        let is_one = self.is_one(from);
        if self.is_full() {
            return (is_one, most);
        }
        let mut length = 0;
        while length < most {
            let (byte, bit) = ((from + length) / 8, (from + length) % 8);
            let bytes = &self.bytes[byte..];
            let word = match bytes.first_chunk() {
                Some(word) => u64::from_le_bytes(*word),
                None => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
            };
            let others = if is_one { !word } else { word } >> bit;
            let same = (others.trailing_zeros() as usize).min(64 - bit);
            length += same;
            if same < 64 - bit {
                break;
            }
        }
        (is_one, length.min(most))
    }

    /// Appends the positions of levels that are 0.
    pub(super) fn zeros(&self, out: &mut Vec<u32>) {
        let (words, rest) = self.bytes.as_chunks::<8>();
        let mut last = [0xff; 8];
        last[..rest.len()].copy_from_slice(rest);
        for (word, bytes) in words.iter().chain([&last]).enumerate() {
            let mut zeros = !u64::from_le_bytes(*bytes);
            while zeros != 0 {
                let at = 64 * word + zeros.trailing_zeros() as usize;
                if at < self.count {
                    out.push(at as u32);
                }
                zeros &= zeros - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn indices_come_back_and_foreign_bytes_never_panic(
            runs in prop::collection::vec((0_u32..70_000, 1_u32..40), 0..20),
            packed in prop::collection::vec(0_u32..70_000, 1..50),
            foreign in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let width = width_of(70_000);
            let mut out = vec![width];
            for &(value, count) in &runs {
                put_run(&mut out, value, count, width);
            }
            put_packed(&mut out, &packed, width);
            let mut expected: Vec<u32> = Vec::new();
            for &(value, count) in &runs {
                expected.extend(std::iter::repeat_n(value, count as usize));
            }
            expected.extend(&packed);
            let mut found = Vec::new();
            prop_assert_eq!(take_indices(&out, expected.len(), &mut found), Some(()));
            prop_assert_eq!(&found, &expected);
            found.clear();
            let see = |value, count| {
                found.extend(std::iter::repeat_n(value, count));
                Some(())
            };
            prop_assert_eq!(index_runs(&out, expected.len(), see), Some(()));
            prop_assert_eq!(&found, &expected);
            let too_many = expected.len() + 8;
            prop_assert_eq!(take_indices(&out, too_many, &mut found), None);
            let _ = take_indices(&foreign, 100, &mut found);
            let _ = Bits::default().take(&mut foreign.as_slice(), 100);
        }

        #[test]
        fn levels_come_back(stretches in prop::collection::vec((any::<bool>(), 1_u32..100), 1..20)) {
            let mut levels = Levels::default();
            let mut expected = Vec::new();
            for (is_one, count) in stretches {
                levels.push_many(is_one, count);
                expected.extend(std::iter::repeat_n(is_one, count as usize));
            }
            let mut out = Vec::new();
            levels.put(&mut out);
            out.push(7);
            let (mut rest, mut bits) = (out.as_slice(), Bits::default());
            bits.take(&mut rest, expected.len()).unwrap();
            prop_assert_eq!(rest, [7]);
            prop_assert_eq!(bits.ones(), expected.iter().filter(|&&is_one| is_one).count());
            prop_assert_eq!(bits.is_full(), expected.iter().all(|&is_one| is_one));
            let mut zeros = Vec::new();
            bits.zeros(&mut zeros);
            let naive: Vec<u32> = (0..expected.len() as u32).filter(|&i| !expected[i as usize]).collect();
            prop_assert_eq!(zeros, naive);
            for (i, &is_one) in expected.iter().enumerate() {
                prop_assert_eq!(bits.is_one(i), is_one);
            }
        }
    }

    #[test]
    fn indices_of_any_width_are_unpacked() {
        for width in 1..=32_u8 {
            let values: Vec<u32> = (0..21_u32)
                .map(|i| i.wrapping_mul(0x9e37_79b9) >> (32 - width))
                .collect();
            let mut out = vec![width];
            put_packed(&mut out, &values, width);
            let mut found = Vec::new();
            take_indices(&out, 21, &mut found).unwrap();
            assert_eq!(found, values, "{width}");
        }
    }

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
