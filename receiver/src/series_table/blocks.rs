//! The bytes of series: how they are spelled, and their labels.
//!
//! What one batch enters is one block, in the order of the batch, and shards share it: a sender sends its series in the same order again,
//! and they are compared in that order, so the processor has read the next one before it is asked for. A block never changes: who reads all
//! series holds the blocks, and not the lock of the shard. Blocks must never be looked for by their content: places are.

use std::sync::Arc;

/// Where the bytes of a series begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its number among the blocks of the shard.
    block: u32,
    offset: u32,
}

/// Blocks that a shard has series in.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks(Vec<Arc<[u8]>>);

/// The bytes of all series that a batch may enter.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Arc<[u8]>,
    /// For each series where its key begins, where it ends, and where its region ends, which is the key itself where these are equal.
    places: Vec<[u32; 3]>,
}

/// One series in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'b> {
    bytes: &'b Arc<[u8]>,
    place: [u32; 3],
}

impl Block {
    /// Writes keys and regions, in this order; a region that equals its key is not written.
    pub(super) fn write<'s>(series: impl Iterator<Item = (&'s [u8], &'s [u8])> + Clone) -> Self {
        let most = series.clone().map(|(key, region)| key.len() + region.len()).sum();
        let mut bytes = Vec::with_capacity(most);
        let mut end = |part: &[u8]| {
            bytes.extend_from_slice(part);
            u32::try_from(bytes.len()).expect("the labels of a request are far shorter than 4 GiB")
        };
        let mut from = 0;
        let places = series.map(|(key, region)| {
            let key_end = end(key);
            let region_end = end(if key == region { &[] } else { region });
            [std::mem::replace(&mut from, region_end), key_end, region_end]
        });
        let places = places.collect();
        Self {
            bytes: bytes.into(),
            places,
        }
    }

    pub(super) fn series(&self, number: u32) -> Written<'_> {
        Written {
            bytes: &self.bytes,
            place: self.places[number as usize],
        }
    }

    /// Bytes that are kept as long as a shard has the block, its two counts included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + 2 * size_of::<usize>()
    }
}

impl Written<'_> {
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[self.place[0] as usize..self.place[1] as usize]
    }

    /// 0 where the region is the key.
    pub(super) fn region_len(&self) -> usize {
        (self.place[2] - self.place[1]) as usize
    }
}

impl Blocks {
    /// The place of a series, whose block is kept from now on; and by how many bytes the list of blocks grew.
    pub(super) fn place(&mut self, series: &Written<'_>) -> (Place, usize) {
        let before = self.0.capacity();
        // A batch enters all series of a shard under one lock.
        if self.0.last().is_none_or(|last| !Arc::ptr_eq(last, series.bytes)) {
            self.0.push(Arc::clone(series.bytes));
        }
        let place = Place {
            block: u32::try_from(self.0.len() - 1).expect("a head is bounded far below 4 Gi blocks"),
            offset: series.place[0],
        };
        (place, (self.0.capacity() - before) * size_of::<Arc<[u8]>>())
    }

    /// `len` bytes from a place on.
    #[inline]
    pub(super) fn bytes(&self, place: Place, len: usize) -> &[u8] {
        &self.0[place.block as usize][place.offset as usize..][..len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Series of several batches in one shard: those of a batch share a block, and what is in a copy stays as it is.
        #[test]
        fn series_stay_where_they_are(
            batches in proptest::collection::vec(proptest::collection::vec(("[ab]{0,9}", "[abc]{0,9}"), 0..6), 0..6),
        ) {
            let mut blocks = Blocks::default();
            let mut placed = Vec::new();
            for batch in &batches {
                let block = Block::write(batch.iter().map(|(key, region)| (key.as_bytes(), region.as_bytes())));
                for (number, (key, region)) in (0..).zip(batch) {
                    let series = block.series(number);
                    prop_assert_eq!(series.key(), key.as_bytes());
                    let apart = if key == region { "" } else { region };
                    prop_assert_eq!(series.region_len(), apart.len());
                    placed.push((blocks.place(&series).0, format!("{key}{apart}")));
                }
            }
            prop_assert_eq!(blocks.0.len(), batches.iter().filter(|batch| !batch.is_empty()).count());
            let copy = blocks.clone();
            let later = Block::write([(&b"later"[..], &b"later"[..])].into_iter());
            blocks.place(&later.series(0));
            for (place, bytes) in placed {
                prop_assert_eq!(blocks.bytes(place, bytes.len()), bytes.as_bytes());
                prop_assert_eq!(copy.bytes(place, bytes.len()), bytes.as_bytes());
            }
        }
    }
}
