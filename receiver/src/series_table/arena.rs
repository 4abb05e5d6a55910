//! Bytes that live as long as their table, in blocks: no allocation per string, and nothing is copied when it grows.

/// Longer strings get a block of their own.
const BLOCK_BYTES: usize = 64 << 10;

/// Where a string lies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    block: u32,
    offset: u32,
}

/// Append-only bytes.
#[derive(Debug, Default)]
pub(super) struct Arena {
    full: Vec<Box<[u8]>>,
    last: Vec<u8>,
}

impl Arena {
    /// Copies the parts one behind the other. Returns where they begin, and by how many bytes the arena grew.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> (Place, usize) {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut grown = 0;
        if self.last.capacity() - self.last.len() < len {
            grown = self.begin_block(len);
        }
        let number = |n: usize| u32::try_from(n).expect("a head is bounded far below 4 Gi blocks");
        let place = Place {
            block: number(self.full.len()),
            offset: number(self.last.len()),
        };
        for part in parts {
            self.last.extend_from_slice(part);
        }
        (place, grown)
    }

    /// Makes room for `len` bytes; returns by how much the arena grew. The last block is filled in one place and kept in another, which has
    /// its exact size.
    fn begin_block(&mut self, len: usize) -> usize {
        let before = self.last.capacity();
        let mut kept = 0;
        if !self.last.is_empty() {
            kept = self.last.len();
            self.full.push(Box::from(self.last.as_slice()));
            self.last.clear();
        }
        if len > BLOCK_BYTES || before != BLOCK_BYTES {
            self.last = Vec::with_capacity(BLOCK_BYTES.max(len));
        }
        (kept + self.last.capacity()).saturating_sub(before)
    }

    /// `len` bytes from a place on.
    #[inline]
    pub(super) fn bytes(&self, place: Place, len: usize) -> &[u8] {
        let offset = place.offset as usize;
        let block = self.full.get(place.block as usize);
        &block.map_or(self.last.as_slice(), |block| block)[offset..offset + len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Strings of all sizes, looked at later.
        #[test]
        fn strings_stay_where_they_are(lengths in proptest::collection::vec(prop_oneof![0_usize..300, 20_000_usize..150_000], 0..40)) {
            let mut arena = Arena::default();
            let (mut places, mut bytes) = (Vec::new(), 0);
            for (i, &len) in lengths.iter().enumerate() {
                let string = vec![i as u8; len];
                let (place, grown) = arena.push(&[&string[..len / 2], &string[len / 2..]]);
                places.push((place, string));
                bytes += grown;
            }
            let held = arena.full.iter().map(|block| block.len()).sum::<usize>() + arena.last.capacity();
            prop_assert_eq!(bytes, held);
            // What comes later does not disturb it.
            arena.push(&[&[7; 70_000]]);
            for (place, string) in &places {
                prop_assert_eq!(arena.bytes(*place, string.len()), string.as_slice());
            }
        }
    }
}
