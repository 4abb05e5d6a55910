//! The index of one shard: open addressing over eight bytes for each slot.
//!
//! Of its own and not a library's, so that many lookups can be begun before the first is ended: their cache misses overlap. A slot holds
//! a part of the hash and the position of a series; whether it is the series that is looked for only its bytes can say.

const EMPTY: u64 = 0;
const SMALLEST: usize = 64;

/// Positions of series by hash.
#[derive(Debug)]
pub(super) struct Slots {
    /// The tag in the upper half, the position plus one in the lower one.
    slots: Vec<u64>,
    len: usize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![EMPTY; SMALLEST],
            len: 0,
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }

    /// The first slot that a series with this hash may have: begin with it what [`Slots::find`] ends.
    #[inline]
    pub(super) fn home(&self, hash: u64) -> u64 {
        self.slots[self.at(tag(hash))]
    }

    /// The position of the series that `is_it`.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.at(tag);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            let position = position(slot);
            if slot >> 32 == u64::from(tag) && is_it(position) {
                return Some(position);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds a series that is not there, and returns by how many bytes this grew.
    pub(super) fn insert(&mut self, hash: u64, position: u32) -> usize {
        let before = self.bytes();
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let doubled = vec![EMPTY; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, doubled) {
                if slot != EMPTY {
                    self.put(slot);
                }
            }
        }
        self.put(u64::from(tag(hash)) << 32 | (u64::from(position) + 1));
        self.len += 1;
        self.bytes() - before
    }

    fn put(&mut self, slot: u64) {
        let mut at = self.at((slot >> 32) as u32);
        while self.slots[at] != EMPTY {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
    }

    #[inline]
    fn at(&self, tag: u32) -> usize {
        tag as usize & (self.slots.len() - 1)
    }
}

/// What a slot keeps of a hash. The bits above choose the shard.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 28) as u32
}

/// The position in a slot that [`Slots::home`] gave, when the slot may be that of this hash.
#[inline]
pub(super) fn candidate(slot: u64, hash: u64) -> Option<u32> {
    (slot != EMPTY && slot >> 32 == u64::from(tag(hash))).then(|| position(slot))
}

#[inline]
fn position(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the hashes, colliding ones included, each series is found by its own and no other.
        #[test]
        fn what_was_inserted_is_found(hashes in proptest::collection::vec(prop_oneof![any::<u64>(), 0_u64..4, Just(u64::MAX)], 0..300)) {
            let mut slots = Slots::new();
            let mut naive: BTreeMap<u32, u64> = BTreeMap::new();
            for (position, &hash) in (0_u32..).zip(&hashes) {
                slots.insert(hash, position);
                naive.insert(position, hash);
            }
            for (&position, &hash) in &naive {
                prop_assert_eq!(slots.find(hash, |found| found == position), Some(position));
                if let Some(found) = candidate(slots.home(hash), hash) {
                    prop_assert_eq!(tag(naive[&found]), tag(hash));
                }
            }
            prop_assert_eq!(slots.find(12_345 << 30, |_| false), None);
        }
    }
}
