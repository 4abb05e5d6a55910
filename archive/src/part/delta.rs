//! DELTA_BINARY_PACKED of 64-bit integers: blocks of 128 differences, two miniblocks of 64 in each; 64 values are what the parquet
//! crate unpacks at once.
//!
//! The encoding leaves open how many bits a difference takes and what it is relative to, as long as it fits. With as few bits as can be,
//! ZSTD sees nothing in them. With whole bytes, relative to a round number, equal differences look the same wherever they are: that is
//! smaller for whatever is not evenly spread, and above all behind the jump from one series to the next. Each block decides
//! (`docs/decisions/0011-sizes-of-parts.md`).

use super::extremes::extremes;
use super::varint::{put_uvarint, put_zigzag, take_uvarint, take_zigzag};

const BLOCK: usize = 128;
const MINIBLOCK: usize = 64;
const MINIBLOCKS: usize = BLOCK / MINIBLOCK;

/// How the differences of a block are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As few bits as can be.
    Bits,
    /// Whole bytes, relative to a round number.
    Bytes,
}

/// A block in whole bytes.
struct InBytes {
    /// Where it begins behind the head of the page, and where its differences begin.
    starts: [usize; 2],
    /// What its differences take in the other form.
    bits: usize,
}

/// Appends the values of one page, each block in the form that will probably be smaller once it is compressed.
pub(super) fn put(out: &mut Vec<u8>, values: &[i64]) {
    put_head(out, values);
    let at = out.len();
    let mut blocks = Vec::with_capacity(values.len().div_ceil(BLOCK));
    each_block(values, |differences, count| {
        let start = out.len() - at;
        let (data, bits) = put_block(out, differences, count, Form::Bytes);
        blocks.push(InBytes {
            starts: [start, data - at],
            bits,
        });
    });
    let prices = prices(&out[at..]);
    let ends = blocks.iter().skip(1).map(|next| next.starts[0]).chain([out.len() - at]);
    let is_smaller_in_bits = |(block, end): (&InBytes, usize)| {
        let data = &out[at + block.starts[1]..at + end];
        // What is no larger in whole bytes need not be looked at.
        data.len() * 8 > block.bits && price(data, &prices) > block.bits as u64 * PRICE_OF_BIT
    };
    let in_bits: Vec<bool> = blocks.iter().zip(ends).map(is_smaller_in_bits).collect();
    if !in_bits.contains(&true) {
        return;
    }
    let in_bytes = out.split_off(at);
    let mut number = 0;
    each_block(values, |differences, count| {
        if in_bits[number] {
            put_block(out, differences, count, Form::Bits);
        } else {
            let end = blocks.get(number + 1).map_or(in_bytes.len(), |next| next.starts[0]);
            out.extend_from_slice(&in_bytes[blocks[number].starts[0]..end]);
        }
        number += 1;
    });
}

/// What a bit costs, in the unit of [`prices`].
const PRICE_OF_BIT: u64 = 256;

/// What an entropy coder makes of each byte, by every fourth stretch of these.
fn prices(bytes: &[u8]) -> [u32; 256] {
    // Several counts of each, because the same byte often comes again, and adding to one count waits for the addition before.
    let mut counts = [[0_u32; 256]; 4];
    for stretch in bytes.chunks(64).step_by(4) {
        for four in stretch.chunks(4) {
            for (counts, &byte) in counts.iter_mut().zip(four) {
                counts[usize::from(byte)] += 1;
            }
        }
    }
    let mut total = [0_u32; 256];
    for counts in &counts {
        for (total, count) in total.iter_mut().zip(counts) {
            *total += count;
        }
    }
    // One that was not seen may come all the same.
    let all: u32 = total.iter().sum::<u32>() + 128;
    total.map(|count| {
        let bits = (f64::from(all) / (f64::from(count) + 0.5)).log2();
        (bits * PRICE_OF_BIT as f64) as u32
    })
}

/// What all of these bytes cost, by every other stretch of them.
fn price(bytes: &[u8], prices: &[u32; 256]) -> u64 {
    let stretches = bytes.chunks(BLOCK / 4).step_by(2);
    let (mut seen, mut price) = (0, 0_u64);
    for stretch in stretches {
        seen += stretch.len();
        price += stretch
            .iter()
            .map(|&byte| u64::from(prices[usize::from(byte)]))
            .sum::<u64>();
    }
    price * bytes.len() as u64 / seen.max(1) as u64
}

fn put_head(out: &mut Vec<u8>, values: &[i64]) {
    put_uvarint(out, BLOCK as u64);
    put_uvarint(out, MINIBLOCKS as u64);
    put_uvarint(out, values.len() as u64);
    put_zigzag(out, values.first().copied().unwrap_or(0));
}

/// Goes over the differences of all blocks: an array of them, and how many are meant.
fn each_block(values: &[i64], mut see: impl FnMut(&mut [i64; BLOCK], usize)) {
    let mut differences = [0_i64; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let end = values.len().min(start + BLOCK);
        let (before, after) = (&values[start - 1..end - 1], &values[start..end]);
        for ((difference, &before), &after) in differences.iter_mut().zip(before).zip(after) {
            *difference = after.wrapping_sub(before);
        }
        see(&mut differences, end - start);
    }
}

/// Appends a block; says where its differences begin, and how many bits they take at least.
fn put_block(out: &mut Vec<u8>, differences: &mut [i64; BLOCK], count: usize, form: Form) -> (usize, usize) {
    // What fills up the last miniblock must not be outside of what is in it.
    let last = differences[count - 1];
    differences[count..].fill(last);
    let used = count.div_ceil(MINIBLOCK);
    let mut bounds = [[0_i64; 2]; MINIBLOCKS];
    for (bounds, miniblock) in bounds.iter_mut().zip(differences.as_chunks::<MINIBLOCK>().0).take(used) {
        *bounds = extremes(miniblock).unwrap_or_default();
    }
    let bounds = &bounds[..used];
    let least = bounds.iter().map(|of| of[0]).fold(bounds[0][0], i64::min);
    // Now it takes no bits of its own.
    differences[count..].fill(least);
    let base = match form {
        Form::Bits => least,
        Form::Bytes => round_base(least, bounds),
    };
    put_zigzag(out, base);
    let widths_at = out.len();
    out.extend_from_slice(&[0; MINIBLOCKS]);
    let data_at = out.len();
    let mut least_bits = 0;
    let (miniblocks, _) = differences.as_chunks::<MINIBLOCK>();
    for (i, (miniblock, [_, greatest])) in miniblocks.iter().zip(bounds).enumerate() {
        let width = |base: i64| u64::BITS - excess(*greatest, base).leading_zeros();
        least_bits += MINIBLOCK * width(least) as usize;
        match form {
            Form::Bits => {
                let width = width(base);
                out[widths_at + i] = width as u8;
                put_bits(out, miniblock.map(|difference| excess(difference, base)), width);
            }
            Form::Bytes => {
                let bytes = width(base).div_ceil(8);
                out[widths_at + i] = 8 * bytes as u8;
                put_bytes(out, miniblock, base, bytes);
            }
        }
    }
    (data_at, least_bits)
}

fn excess(difference: i64, base: i64) -> u64 {
    difference.wrapping_sub(base).cast_unsigned()
}

/// The roundest number below all differences that costs no byte more: best of all one that other blocks have as well, which is 0 where nothing
/// falls, and elsewhere the least number of so many bytes.
fn round_base(least: i64, bounds: &[[i64; 2]]) -> i64 {
    if bounds.iter().all(|of| *of == [least; 2]) {
        return least;
    }
    let bytes = |greatest: i64, base: i64| (u64::BITS - excess(greatest, base).leading_zeros()).div_ceil(8);
    let signed_bits = i64::BITS + 1 - (least ^ (least >> 63)).leading_zeros();
    let lowest = i64::MIN >> (i64::BITS - 8 * signed_bits.div_ceil(8));
    let round = [if least >= 0 { 0 } else { lowest }, least & !0xffff, least & !0xff];
    let fits = |base: &i64| bounds.iter().all(|of| bytes(of[1], *base) == bytes(of[1], least));
    round.into_iter().find(fits).unwrap_or(least)
}

/// 64 values of up to 64 bits are as many words.
fn put_bits(out: &mut Vec<u8>, values: [u64; MINIBLOCK], width: u32) {
    if width == 0 {
        return;
    }
    let mut words = [0_u64; MINIBLOCK];
    let (mut at, mut filled, mut word) = (0, 0, 0_u64);
    for value in values {
        word |= value << filled;
        filled += width;
        if filled >= 64 {
            words[at] = word;
            at += 1;
            filled -= 64;
            word = if filled == 0 { 0 } else { value >> (width - filled) };
        }
    }
    for word in &words[..at] {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn put_bytes(out: &mut Vec<u8>, differences: &[i64; MINIBLOCK], base: i64, bytes: u32) {
    match bytes {
        0 => {}
        1 => put_whole::<1>(out, differences, base),
        2 => put_whole::<2>(out, differences, base),
        3 => put_whole::<3>(out, differences, base),
        4 => put_whole::<4>(out, differences, base),
        5 => put_whole::<5>(out, differences, base),
        6 => put_whole::<6>(out, differences, base),
        7 => put_whole::<7>(out, differences, base),
        _ => put_whole::<8>(out, differences, base),
    }
}

fn put_whole<const BYTES: usize>(out: &mut Vec<u8>, differences: &[i64; MINIBLOCK], base: i64) {
    let mut packed = [[0_u8; BYTES]; MINIBLOCK];
    for (packed, &difference) in packed.iter_mut().zip(differences) {
        packed.copy_from_slice(&excess(difference, base).to_le_bytes()[..BYTES]);
    }
    out.extend_from_slice(packed.as_flattened());
}

/// Values that are unpacked together: the least that a miniblock may have.
pub(super) const STEP: usize = 32;

/// Steps of a miniblock. `None` for a form that nobody writes.
pub(super) fn steps_of(block: usize, miniblocks: usize) -> Option<usize> {
    if block == 0 || block > 1 << 16 || miniblocks == 0 || !block.is_multiple_of(miniblocks.checked_mul(STEP)?) {
        return None;
    }
    Some(block / miniblocks / STEP)
}

/// Bytes of a step at the front of others, of which `count` values are meant. `None` when they are not there.
pub(super) fn step_bytes(bytes: &[u8], width: u8, count: usize) -> Option<usize> {
    // What fills up the last miniblock may be cut off.
    let length = (STEP * usize::from(width) / 8).min(bytes.len());
    (width <= 64 && length * 8 >= count * usize::from(width)).then_some(length)
}

/// Appends all values of a page, which must be `count`. `None` when they are not there, or of a form that nobody writes.
pub(super) fn take(mut bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Option<()> {
    let block = usize::try_from(take_uvarint(&mut bytes)?).ok()?;
    let miniblocks = usize::try_from(take_uvarint(&mut bytes)?).ok()?;
    let total = usize::try_from(take_uvarint(&mut bytes)?).ok()?;
    let mut last = take_zigzag(&mut bytes)?;
    let steps = steps_of(block, miniblocks).filter(|_| total == count)?;
    if count == 0 {
        return Some(());
    }
    out.reserve(count);
    out.push(last);
    let mut left = count - 1;
    while left > 0 {
        let least = take_zigzag(&mut bytes)?;
        let (widths, rest) = bytes.split_at_checked(miniblocks)?;
        bytes = rest;
        for &width in widths {
            for _ in 0..steps {
                if left == 0 {
                    break;
                }
                let of_step = left.min(STEP);
                let length = step_bytes(bytes, width, of_step)?;
                last = take_step(bytes, width, of_step, [last, least], out);
                bytes = &bytes[length..];
                left -= of_step;
            }
        }
    }
    Some(())
}

/// Bytes of a step at the greatest width, and those that are read behind them.
const PADDED_BYTES: usize = STEP * 8 + 8;

/// Up to 32 values, each from the one before; the last of them.
#[inline]
pub(super) fn take_step(bytes: &[u8], width: u8, count: usize, before: [i64; 2], out: &mut Vec<i64>) -> i64 {
    match width {
        0 => put_sums((0..count).map(|_| 0), before, out),
        8 => put_sums(bytes[..count].iter().map(|&byte| u64::from(byte)), before, out),
        16 => take_bytes::<2>(bytes, count, before, out),
        24 => take_bytes::<3>(bytes, count, before, out),
        32 => take_bytes::<4>(bytes, count, before, out),
        40 => take_bytes::<5>(bytes, count, before, out),
        48 => take_bytes::<6>(bytes, count, before, out),
        56 => take_bytes::<7>(bytes, count, before, out),
        64 => take_bytes::<8>(bytes, count, before, out),
        _ => {
            // Each is read with what is behind it, so there must be something behind the last one.
            let mut padded;
            let bytes = match bytes.len() < STEP / 8 * usize::from(width) + 8 {
                true => {
                    padded = [0_u8; PADDED_BYTES];
                    padded[..bytes.len()].copy_from_slice(bytes);
                    padded.as_slice()
                }
                false => bytes,
            };
            let (width, mask) = (usize::from(width), u64::MAX >> (64 - width));
            let excesses = (0..count).map(|i| {
                let (at, shift) = (i * width / 8, i * width % 8);
                let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
                let mut excess = word(at) >> shift;
                if width + shift > 64 {
                    excess |= u64::from(bytes[at + 8]) << (64 - shift);
                }
                excess & mask
            });
            put_sums(excesses, before, out)
        }
    }
}

/// Values of whole bytes, of which there are enough.
#[inline]
fn take_bytes<const BYTES: usize>(bytes: &[u8], count: usize, before: [i64; 2], out: &mut Vec<i64>) -> i64 {
    let (excesses, _) = bytes.as_chunks::<BYTES>();
    let word = |excess: &[u8; BYTES]| {
        let mut word = [0; 8];
        word[..BYTES].copy_from_slice(excess);
        u64::from_le_bytes(word)
    };
    put_sums(excesses[..count].iter().map(word), before, out)
}

/// Appends values by what each is more than the one before it and the least difference; the last of them. The sum is a variable of its own here:
/// every value waits for it, and one that several loops share lies in memory.
#[inline]
fn put_sums(excesses: impl ExactSizeIterator<Item = u64>, [mut last, least]: [i64; 2], out: &mut Vec<i64>) -> i64 {
    let mut values = [0; STEP];
    let count = excesses.len().min(STEP);
    for (value, excess) in values.iter_mut().zip(excesses) {
        // In this order, so that one addition depends on the value before.
        last = last.wrapping_add(least.wrapping_add(excess.cast_signed()));
        *value = last;
    }
    out.extend_from_slice(&values[..count]);
    last
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn uvarint(bytes: &mut &[u8]) -> u64 {
        let length = 1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let (number, rest) = bytes.split_at(length);
        *bytes = rest;
        number
            .iter()
            .rev()
            .fold(0, |all, byte| all << 7 | u64::from(byte & 0x7f))
    }

    fn zigzag(bytes: &mut &[u8]) -> i64 {
        let number = uvarint(bytes);
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
    }

    /// All blocks in one form.
    fn put_as(out: &mut Vec<u8>, values: &[i64], form: Form) {
        put_head(out, values);
        each_block(values, |differences, count| {
            put_block(out, differences, count, form);
        });
    }

    /// By the letter of the specification, bit by bit.
    fn decoded(mut bytes: &[u8]) -> Vec<i64> {
        let (block, miniblocks) = (uvarint(&mut bytes), uvarint(&mut bytes));
        let count = usize::try_from(uvarint(&mut bytes)).unwrap();
        // No values at all have a first one of 0.
        let mut values = vec![zigzag(&mut bytes)];
        while values.len() < count {
            let least = zigzag(&mut bytes);
            let (widths, rest) = bytes.split_at(usize::try_from(miniblocks).unwrap());
            bytes = rest;
            for &width in widths {
                if values.len() >= count {
                    break;
                }
                let (width, of_miniblock) = (usize::from(width), usize::try_from(block / miniblocks).unwrap());
                let (packed, rest) = bytes.split_at(of_miniblock * width / 8);
                bytes = rest;
                for i in 0..of_miniblock.min(count - values.len()) {
                    let bit = |at: usize| u64::from(packed[at / 8] >> (at % 8) & 1);
                    let excess = (0..width).map(|b| bit(i * width + b) << b).sum::<u64>();
                    let step = least.wrapping_add(excess.cast_signed());
                    values.push(values[values.len() - 1].wrapping_add(step));
                }
            }
        }
        assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
        values.truncate(count);
        values
    }

    fn any_values() -> impl Strategy<Value = Vec<i64>> {
        let narrow = prop::collection::vec((-3_i64..900).prop_map(|n| n * 1000), 0..1200);
        let steps =
            (any::<i64>(), prop::collection::vec((0_u32..64, any::<i64>()), 0..700)).prop_map(|(first, steps)| {
                let next = |value: &mut i64, (shift, step): (u32, i64)| {
                    *value = value.wrapping_add(step >> shift);
                    Some(*value)
                };
                steps.into_iter().scan(first, next).collect()
            });
        prop_oneof![narrow, steps, prop::collection::vec(any::<i64>(), 0..700)]
    }

    proptest! {
        #[test]
        fn they_come_back(values in any_values()) {
            for form in [Form::Bits, Form::Bytes] {
                let mut out = Vec::new();
                put_as(&mut out, &values, form);
                prop_assert_eq!(&decoded(&out), &values, "{:?}", form);
                let mut taken = vec![7];
                prop_assert_eq!(take(&out, values.len(), &mut taken), Some(()));
                prop_assert_eq!(&taken[1..], &values);
                prop_assert_eq!(take(&out, values.len() + 1, &mut taken), None);
            }
            let mut out = Vec::new();
            put(&mut out, &values);
            prop_assert_eq!(&decoded(&out), &values);
        }

        /// Whatever lies behind a step, and where nothing does.
        #[test]
        fn a_step_of_any_width_is_unpacked(
            width in 0_u8..=64, bytes in prop::collection::vec(any::<u8>(), STEP * 8 + 20), behind in 0_usize..20,
            count in 1..=STEP, first: i64, least: i64,
        ) {
            let bytes = &bytes[..STEP / 8 * usize::from(width) + behind];
            let cut = (count * usize::from(width)).div_ceil(8);
            for bytes in [bytes, &bytes[..cut]] {
                let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
                let excess = |i: usize| (0..usize::from(width)).map(|b| bit(i * usize::from(width) + b) << b).sum::<u64>();
                let next = |last: &mut i64, i: usize| {
                    *last = last.wrapping_add(least).wrapping_add(excess(i).cast_signed());
                    Some(*last)
                };
                let expected: Vec<i64> = (0..count).scan(first, next).collect();
                let mut found = vec![7];
                prop_assert_eq!(take_step(bytes, width, count, [first, least], &mut found), expected[count - 1]);
                prop_assert_eq!(&found[1..], &expected);
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0_usize..5000) {
            let mut out = Vec::new();
            let _ = take(&bytes, count, &mut out);
            // A header that is possible, and anything behind it.
            let mut page = vec![0x80, 0x02, 4];
            put_uvarint(&mut page, count as u64);
            page.extend(bytes);
            let _ = take(&page, count, &mut out);
        }
    }

    /// Bytes behind ZSTD.
    fn packed(page: &[u8]) -> usize {
        zstd::bulk::compress(page, 3).unwrap().len()
    }

    /// Whether all blocks were written bit by bit.
    fn is_in_bits(values: &[i64]) -> bool {
        let (mut chosen, mut bits) = (Vec::new(), Vec::new());
        put(&mut chosen, values);
        put_as(&mut bits, values, Form::Bits);
        chosen == bits
    }

    #[test]
    fn what_is_evenly_spread_takes_bits_and_what_is_not_takes_bytes() {
        let mut random = 1_u64;
        let mut spread = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i64::try_from((random >> 33) % bound).unwrap()
        };
        let total = |total: &mut i64, step: i64| {
            *total += step;
            Some(*total)
        };
        let even: Vec<i64> = (0..16_384).map(|_| spread(1000)).scan(0, total).collect();
        assert!(is_in_bits(&even));
        let uneven = (0..16_384).map(|i| if i % 40 == 0 { -spread(1 << 20) } else { spread(3) });
        let uneven: Vec<i64> = uneven.scan(0, total).collect();
        assert!(!is_in_bits(&uneven));

        let both = [even, uneven].concat();
        let mut chosen = Vec::new();
        put(&mut chosen, &both);
        assert_eq!(decoded(&chosen), both);
        for form in [Form::Bits, Form::Bytes] {
            let mut one = Vec::new();
            put_as(&mut one, &both, form);
            let (one, chosen) = (packed(&one), packed(&chosen));
            assert!(chosen * 100 < one * 95, "{chosen} beside {one} all in {form:?}");
        }
    }

    /// The bytes of the differences of one block.
    fn in_bytes(differences: &[i64]) -> Vec<u8> {
        let (mut out, mut block) = (Vec::new(), [0; BLOCK]);
        block[..differences.len()].copy_from_slice(differences);
        let (data, _) = put_block(&mut out, &mut block, differences.len(), Form::Bytes);
        out.split_off(data)
    }

    #[test]
    fn equal_differences_are_equal_bytes_whatever_is_beside_them() {
        let beside = |other: i64| in_bytes(&[4_000, -4_000, 0, other]);
        for [one, other] in [[-30_000, 30_000], [-8_000, 32_767], [-32_768, 9]] {
            assert_eq!(beside(one)[..6], beside(other)[..6], "{one}, {other}");
        }
        let rising = |other: i64| in_bytes(&[300, 7, 0, other]);
        assert_eq!(rising(9)[..6], rising(65_535)[..6]);
        assert_eq!(in_bytes(&[i64::MIN, i64::MAX]).len(), 8 * MINIBLOCK);
    }

    #[test]
    fn what_rises_evenly_takes_next_to_nothing() {
        let values: Vec<i64> = (0..10_000).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        let mut out = Vec::new();
        put(&mut out, &values);
        assert!(out.len() < 420, "{}", out.len());
        assert_eq!(decoded(&out), values);
    }
}
