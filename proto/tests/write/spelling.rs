//! Strategies for protobuf bytes in every spelling that the format allows: fields in any order, repeated or absent, packed or not, with
//! unknown fields of all wire types in between; and for damage.

use proptest::prelude::*;
use proptest::sample::Index;
use prost::encoding::{WireType, encode_key, encode_varint};

pub(crate) type Bytes = BoxedStrategy<Vec<u8>>;

/// A field of this wire type.
pub(crate) fn keyed(number: u32, wire_type: WireType, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, wire_type, &mut out);
    out.extend_from_slice(content);
    out
}

/// A field with a length before its content.
pub(crate) fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    keyed(
        number,
        WireType::LengthDelimited,
        &[&encoded(content.len() as u64), content].concat(),
    )
}

/// A varint.
pub(crate) fn encoded(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(value, &mut out);
    out
}

fn any_varint() -> Bytes {
    let value = prop_oneof![
        0..40u64,
        Just(0),
        any::<u64>(),
        any::<i32>().prop_map(|value| value as u64),
        // Ends of 32 and 64 bits, as they are and in zigzag.
        proptest::sample::select(
            [31, 32, 63]
                .iter()
                .flat_map(|bit| [(1 << bit) - 1, 1 << bit])
                .chain([u64::MAX - 1, u64::MAX, u64::from(u32::MAX) - 1])
                .collect::<Vec<u64>>()
        ),
    ];
    // Sometimes padded, which is legal up to ten bytes.
    (value.prop_map(encoded), prop_oneof![9 => Just(0), 1 => 1..3usize])
        .prop_map(|(mut bytes, padding)| {
            let padding = padding.min(10 - bytes.len());
            if padding > 0 {
                *bytes.last_mut().expect("a varint has a byte") |= 0x80;
                bytes.extend(std::iter::repeat_n(0x80, padding - 1));
                bytes.push(0);
            }
            bytes
        })
        .boxed()
}

/// An integer field.
pub(crate) fn varint(number: u32) -> Bytes {
    any_varint()
        .prop_map(move |value| keyed(number, WireType::Varint, &value))
        .boxed()
}

/// Bits of a double: every pattern, often one that arithmetic would change.
fn any_bits() -> impl Strategy<Value = u64> + Clone {
    let special = [
        0,
        1 << 63,
        0x7ff0_0000_0000_0002,
        0x7ff8_0000_0000_0001,
        0xfff0_0000_0000_0000,
    ];
    prop_oneof![any::<u64>(), proptest::sample::select(special.to_vec())]
}

/// A double field.
pub(crate) fn double(number: u32) -> Bytes {
    any_bits()
        .prop_map(move |bits: u64| keyed(number, WireType::SixtyFourBit, &bits.to_le_bytes()))
        .boxed()
}

/// A string field of valid UTF-8.
pub(crate) fn text(number: u32) -> Bytes {
    ".{0,6}"
        .prop_map(move |text| delimited(number, text.as_bytes()))
        .boxed()
}

/// A field that is a message with this content.
pub(crate) fn nested(number: u32, content: Bytes) -> Bytes {
    content.prop_map(move |content| delimited(number, &content)).boxed()
}

/// A repeated integer field, packed or a single one.
pub(crate) fn varints(number: u32) -> Bytes {
    let packed =
        proptest::collection::vec(any_varint(), 0..6).prop_map(move |values| delimited(number, &values.concat()));
    prop_oneof![3 => packed, 1 => varint(number)].boxed()
}

/// A repeated double field, packed or a single one.
pub(crate) fn doubles(number: u32) -> Bytes {
    let packed = proptest::collection::vec(any_bits(), 0..4).prop_map(move |values| {
        let content: Vec<u8> = values.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        delimited(number, &content)
    });
    prop_oneof![packed, double(number)].boxed()
}

/// Any number of these, one after the other.
pub(crate) fn many(field: Bytes, number: std::ops::Range<usize>) -> Bytes {
    proptest::collection::vec(field, number)
        .prop_map(|fields| fields.concat())
        .boxed()
}

/// A field that no message has.
fn unknown() -> Bytes {
    let number = prop_oneof![20..40u32, Just((1 << 29) - 1)];
    let simple = (number.clone(), 0..4, any::<[u8; 8]>()).prop_map(|(number, kind, bytes)| match kind {
        0 => keyed(number, WireType::Varint, &[bytes[0] & 0x7f]),
        1 => keyed(number, WireType::SixtyFourBit, &bytes),
        2 => keyed(number, WireType::ThirtyTwoBit, &bytes[..4]),
        _ => delimited(number, &bytes[..usize::from(bytes[0] % 9)]),
    });
    let group = (number, proptest::collection::vec(simple.clone(), 0..3)).prop_map(|(number, content)| {
        [
            keyed(number, WireType::StartGroup, &content.concat()),
            keyed(number, WireType::EndGroup, &[]),
        ]
        .concat()
    });
    prop_oneof![4 => simple, 1 => group].boxed()
}

/// A message of any number of these fields in any order, with unknown ones among them.
pub(crate) fn message(fields: Vec<Bytes>) -> Bytes {
    let known = proptest::strategy::Union::new(fields);
    proptest::collection::vec(prop_oneof![15 => known, 1 => unknown()], 0..8)
        .prop_map(|fields| fields.concat())
        .boxed()
}

/// A message with each of these fields once, in order, as a sender writes it.
pub(crate) fn in_order(fields: Vec<Bytes>) -> Bytes {
    fields.prop_map(|fields| fields.concat()).boxed()
}

/// One change to a body.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Cut(Index),
}

pub(crate) fn any_damage() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<Index>;
    let one = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => at().prop_map(Damage::Remove),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => at().prop_map(Damage::Cut),
    ];
    proptest::collection::vec(one, 1..4)
}

/// The body after all of these changes.
pub(crate) fn damaged(mut body: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        match damage {
            _ if body.is_empty() => {}
            Damage::Set(at, byte) => *at.get_mut(&mut body) = *byte,
            Damage::Flip(at, bit) => *at.get_mut(&mut body) ^= 1 << bit,
            Damage::Remove(at) => drop(body.remove(at.index(body.len()))),
            Damage::Insert(at, byte) => body.insert(at.index(body.len()), *byte),
            Damage::Cut(at) => body.truncate(at.index(body.len())),
        }
    }
    body
}
