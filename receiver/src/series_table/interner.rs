//! The symbols of one generation, each once, by number: two spellings of version 2.0 are the same series when their numbers are the same.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::arena::{Arena, Place};

/// What a symbol costs beside its bytes: its place, and its slot with the table's reserve.
const OVERHEAD: usize = size_of::<(Place, u32)>() + 10;

/// Strings by number.
#[derive(Debug)]
pub(super) struct Interner {
    hasher: RandomState,
    index: HashTable<u32>,
    places: Vec<(Place, u32)>,
    arena: Arena,
}

impl Interner {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            hasher,
            index: HashTable::new(),
            places: Vec::new(),
            arena: Arena::default(),
        }
    }

    /// The number of a symbol, when there is one.
    pub(super) fn find(&self, symbol: &[u8]) -> Option<u32> {
        let Self { places, arena, .. } = self;
        let is_it = |number: &u32| bytes(places, arena, *number) == symbol;
        self.index.find(self.hash(symbol), is_it).copied()
    }

    /// The number of a symbol, a new one where there is none, and by how many bytes this grew.
    pub(super) fn intern(&mut self, symbol: &[u8]) -> (u32, usize) {
        if let Some(number) = self.find(symbol) {
            return (number, 0);
        }
        let hash = self.hash(symbol);
        let number = |n: usize| u32::try_from(n).expect("a head is bounded far below 4 G symbols");
        let (place, grown) = self.arena.push(&[symbol]);
        let new = number(self.places.len());
        self.places.push((place, number(symbol.len())));
        let Self {
            hasher, places, arena, ..
        } = self;
        let rehash = |number: &u32| hash_of(hasher, bytes(places, arena, *number));
        self.index.insert_unique(hash, new, rehash);
        (new, grown + OVERHEAD)
    }

    fn hash(&self, symbol: &[u8]) -> u64 {
        hash_of(&self.hasher, symbol)
    }
}

fn bytes<'a>(places: &[(Place, u32)], arena: &'a Arena, number: u32) -> &'a [u8] {
    let (place, len) = places[number as usize];
    arena.bytes(place, len as usize)
}

fn hash_of(hasher: &RandomState, symbol: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(symbol);
    state.finish()
}
