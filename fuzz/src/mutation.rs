//! Mutations: the small and large changes that turn an input that is understood into one that is nearly understood.
//!
//! Blind to the meaning of bytes, but for what formats have in common: numbers of fixed and variable length, lengths before content,
//! decimal digits, and the tokens of a target's dictionary.

use crate::{Dice, Input};

/// Numbers at which arithmetic breaks.
const NUMBERS: [u64; 26] = [
    0,
    1,
    2,
    7,
    16,
    63,
    64,
    127,
    128,
    255,
    256,
    1023,
    4096,
    65_535,
    65_536,
    0x00ff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x00ff_ffff_ffff_ffff,
    0x7ff0_0000_0000_0002,
    0x7fff_ffff_ffff_fffe,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Changes one string of the input in one way.
pub(crate) fn mutate(input: &mut Input, dice: &mut Dice, pool: &[Input], dictionary: &[&[u8]]) {
    let which = dice.below(input.files.len());
    let other = dice.pick(pool);
    if dice.one_in(200) && input.files.len() > 1 {
        let with = dice.below(input.files.len());
        input.files.swap(which, with);
        return;
    }
    let (Some(bytes), Some(other)) = (input.files.get_mut(which), other.files.get(which)) else {
        return;
    };
    match dice.below(16) {
        0 | 1 => flip_bit(bytes, dice),
        2 => set_byte(bytes, dice),
        3 => add_to_byte(bytes, dice),
        4 | 5 => set_number(bytes, dice),
        6 => set_varint(bytes, dice),
        7 => drop(bytes.drain(range(bytes.len(), dice))),
        8 => {
            let copy = bytes[range(bytes.len(), dice)].to_vec();
            insert(bytes, dice, &copy);
        }
        9 => {
            let copy = other[range(other.len(), dice)].to_vec();
            insert(bytes, dice, &copy);
        }
        10 => copy_within(bytes, dice),
        11 => {
            let noise: Vec<u8> = (0..dice.length(16)).map(|_| dice.any() as u8).collect();
            insert(bytes, dice, &noise);
        }
        12 => {
            if let Some(token) = (!dictionary.is_empty()).then(|| *dice.pick(dictionary)) {
                replace(bytes, dice, token);
            }
        }
        13 => set_digits(bytes, dice),
        14 => {
            // The front of this and the back of the other.
            let at = dice.below(bytes.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
        _ if dice.one_in(4) => bytes.truncate(dice.below(bytes.len() + 1)),
        _ => flip_bit(bytes, dice),
    }
}

fn number(dice: &mut Dice) -> u64 {
    let number = *dice.pick(&NUMBERS);
    match dice.below(4) {
        0 => number.wrapping_sub(dice.below(3) as u64),
        1 => dice.any() >> dice.below(64),
        _ => number,
    }
}

fn range(len: usize, dice: &mut Dice) -> std::ops::Range<usize> {
    let start = dice.below(len + 1);
    start..start + dice.length(len - start)
}

fn flip_bit(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn set_byte(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = number(dice) as u8;
    }
}

fn add_to_byte(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = byte.wrapping_add(dice.below(33) as u8).wrapping_sub(16);
    }
}

/// A number of fixed length, in either order of its bytes.
fn set_number(bytes: &mut [u8], dice: &mut Dice) {
    let number = number(dice);
    let width = *dice.pick(&[2, 4, 4, 8]);
    let mut encoded = number.to_le_bytes();
    if dice.one_in(2) {
        encoded[..width].reverse();
    }
    let at = dice.below(bytes.len());
    for (byte, new) in bytes[at..].iter_mut().zip(&encoded[..width]) {
        *byte = *new;
    }
}

/// A number of variable length in place of the one that may be there.
fn set_varint(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut number = number(dice);
    let mut encoded = Vec::with_capacity(10);
    while number >= 0x80 {
        encoded.push(number as u8 | 0x80);
        number >>= 7;
    }
    encoded.push(number as u8);
    let start = dice.below(bytes.len());
    let more = bytes[start..].iter().take(9).take_while(|byte| **byte >= 0x80).count();
    let end = (start + more + 1).min(bytes.len());
    bytes.splice(start..end, encoded);
}

/// Another decimal number in place of one.
fn set_digits(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let from = dice.below(bytes.len());
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else {
        return;
    };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = if dice.one_in(4) { "-" } else { "" };
    let text = match dice.below(8) {
        0 => format!("{sign}1e{}", dice.below(400)),
        1 => "9".repeat(dice.below(40)),
        _ => format!("{sign}{}", number(dice)),
    };
    bytes.splice(start..start + length, text.into_bytes());
}

fn copy_within(bytes: &mut [u8], dice: &mut Dice) {
    let source = range(bytes.len(), dice);
    let to = dice.below(bytes.len() + 1 - source.len());
    bytes.copy_within(source, to);
}

fn insert(bytes: &mut Vec<u8>, dice: &mut Dice, new: &[u8]) {
    let at = dice.below(bytes.len() + 1);
    bytes.splice(at..at, new.iter().copied());
}

/// A token, inserted or over what is there.
fn replace(bytes: &mut Vec<u8>, dice: &mut Dice, token: &[u8]) {
    let at = dice.below(bytes.len() + 1);
    let end = if dice.one_in(2) {
        at
    } else {
        (at + token.len()).min(bytes.len())
    };
    bytes.splice(at..end, token.iter().copied());
}
