//! Label regions: the labels of a series as remote write 1.0 spells them, byte for byte.
//!
//! What a sender writes for a series is kept as it is, so that the next request is recognised by one comparison. A region is *normal* when
//! its labels are sorted, without empty values, and every length is in its shortest form: as all well-behaved senders write it. Only normal
//! regions are read here; they were made from canonical labels, or compared with such.

use std::cmp::Ordering;

use emberkeep_model::{Labels, Matcher};

const LABEL: u8 = 0x0a;
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;

/// Appends the normal region of canonical label pairs.
pub(crate) fn encode<'a>(pairs: impl Iterator<Item = Pair<'a>>, out: &mut Vec<u8>) {
    for (name, value) in pairs {
        let len = 2 + uvarint_len(name.len()) + name.len() + uvarint_len(value.len()) + value.len();
        out.push(LABEL);
        put_uvarint(out, len);
        for (key, bytes) in [(NAME, name), (VALUE, value)] {
            out.push(key);
            put_uvarint(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

/// Name and value of a label.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// A normal region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region<'a>(pub(super) &'a [u8]);

impl<'a> Region<'a> {
    /// The labels that [`encode`] wrote.
    #[cfg(test)]
    pub(crate) fn of(region: &'a [u8]) -> Self {
        Self(region)
    }

    /// Name and value of each label, in name order.
    pub(crate) fn pairs(self) -> impl Iterator<Item = Pair<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || next_label(&mut rest))
    }

    /// The same as a label set. What is between the strings is left out, and the strings are those of canonical labels.
    pub(crate) fn to_labels(self, canonical: &mut Vec<u8>) -> Labels {
        canonical.clear();
        let mut rest = self.0;
        while let Some(label) = short_label(rest) {
            // Key and length of the label, key of the name; then length and name, key of the value, and length and value.
            let name_len = usize::from(label[3]);
            canonical.extend_from_slice(&label[3..4 + name_len]);
            canonical.extend_from_slice(&label[5 + name_len..]);
            rest = &rest[label.len()..];
        }
        // From the first long label on.
        while let Some((name, value)) = next_label(&mut rest) {
            for string in [name, value] {
                put_uvarint(canonical, string.len());
                canonical.extend_from_slice(string);
            }
        }
        Labels::of_canonical(canonical)
    }

    /// Whether all matchers hold; a label that is absent is an empty one.
    pub(super) fn fulfils(self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| {
            let name = matcher.name().as_bytes();
            let value = self
                .pairs()
                .find(|(n, _)| *n == name)
                .map_or(&[][..], |(_, value)| value);
            std::str::from_utf8(value).is_ok_and(|value| matcher.matches(value))
        })
    }
}

impl<'a> Region<'a> {
    /// The first label: its bytes, and its name and value.
    #[inline]
    pub(super) fn split_label(self) -> Option<(&'a [u8], Pair<'a>)> {
        let mut rest = self.0;
        let pair = next_label(&mut rest)?;
        Some((&self.0[..self.0.len() - rest.len()], pair))
    }
}

impl Ord for Region<'_> {
    /// As Prometheus' `labels.Compare`: label by label, name then value, bytewise; a prefix sorts first.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.0, other.0);
        loop {
            // Equal labels are equal bytes: most pairs of series share their first ones.
            while let (Some(of_a), Some(of_b)) = (short_label(a), short_label(b)) {
                if of_a != of_b {
                    break;
                }
                (a, b) = (&a[of_a.len()..], &b[of_b.len()..]);
            }
            match (next_label(&mut a), next_label(&mut b)) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => return Ordering::Less,
                (Some(_), None) => return Ordering::Greater,
                (Some(of_a), Some(of_b)) => match of_a.cmp(&of_b) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                },
            }
        }
    }
}

impl PartialOrd for Region<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The first label field, when its length takes one byte.
#[inline]
fn short_label(region: &[u8]) -> Option<&[u8]> {
    match region {
        [LABEL, len @ ..0x80, ..] => region.get(..2 + usize::from(*len)),
        _ => None,
    }
}

#[inline]
fn next_label<'a>(rest: &mut &'a [u8]) -> Option<Pair<'a>> {
    if let Some(label) = short_label(rest) {
        // As in `to_labels`.
        let name_len = usize::from(*label.get(3)?);
        *rest = &rest[label.len()..];
        return Some((label.get(4..4 + name_len)?, label.get(6 + name_len..)?));
    }
    next_long_label(rest)
}

fn next_long_label<'a>(rest: &mut &'a [u8]) -> Option<Pair<'a>> {
    rest.split_off_first()?;
    take_uvarint(rest);
    rest.split_off_first()?;
    let len = take_uvarint(rest);
    let name = rest.split_off(..len)?;
    rest.split_off_first()?;
    let len = take_uvarint(rest);
    let value = rest.split_off(..len)?;
    Some((name, value))
}

fn take_uvarint(rest: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    while let Some(&byte) = rest.split_off_first() {
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    value
}

fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn uvarint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn region_of(labels: &Labels) -> Vec<u8> {
        let mut region = Vec::new();
        encode(labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())), &mut region);
        region
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let value = prop_oneof![4 => "[ab\u{e4}]{1,3}", 1 => "[ab]{120,140}"];
        proptest::collection::btree_map("[ab]{1,3}", value, 0..4)
            .prop_map(|pairs| Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap())
    }

    proptest! {
        #[test]
        fn a_region_is_what_a_sender_writes_and_comes_back(labels in labels()) {
            use emberkeep_proto::messages::prometheus as v1;
            use prost::Message;

            let region = region_of(&labels);
            prop_assert_eq!(Region(&region).to_labels(&mut Vec::new()), labels.clone());
            let series = v1::TimeSeries {
                labels: labels.iter().map(|(n, v)| v1::Label { name: n.into(), value: v.into() }).collect(),
                ..Default::default()
            };
            prop_assert_eq!(series.encode_to_vec(), region);
        }

        #[test]
        fn regions_sort_as_their_labels(a in labels(), b in labels()) {
            let (of_a, of_b) = (region_of(&a), region_of(&b));
            prop_assert_eq!(Region(&of_a).cmp(&Region(&of_b)), a.cmp(&b));
        }
    }
}
