//! Label pairs of the series seen so far, numbered, with how many series have each.
//!
//! The counts are what makes postings cheap: with them all lists fit one vector, filled in a single pass over the series.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::symbols::SymbolSet;
use crate::TsdbError;

#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// Symbol number of the name.
    pub(super) name: u32,
    /// Symbol number of the value.
    pub(super) value: u32,
    /// Series that have it.
    pub(super) count: u32,
}

#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) symbols: SymbolSet,
    pairs: Vec<Pair>,
    table: HashTable<u32>,
    hasher: RandomState,
    /// Pairs of the previous series: neighbours in label order share most of theirs, at the same place.
    previous: Vec<u32>,
}

impl Pairs {
    pub(super) fn all(&self) -> &[Pair] {
        &self.pairs
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.symbols.heap_bytes()
            + self.pairs.capacity() * size_of::<Pair>()
            + self.table.allocation_size()
            + self.previous.capacity() * size_of::<u32>()
    }

    /// Counts the labels of one series and leaves their pair numbers in `numbers`.
    pub(super) fn add_series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        numbers: &mut Vec<u32>,
    ) -> Result<(), TsdbError> {
        numbers.clear();
        for (place, (name, value)) in labels.enumerate() {
            let number = match self.previous.get(place) {
                Some(&number) if self.is(number, name, value) => number,
                _ => self.intern(name, value)?,
            };
            self.pairs[number as usize].count += 1;
            numbers.push(number);
        }
        self.previous.clone_from(numbers);
        Ok(())
    }

    fn is(&self, number: u32, name: &str, value: &str) -> bool {
        let pair = self.pairs[number as usize];
        self.symbols.bytes_of(pair.value) == value.as_bytes() && self.symbols.bytes_of(pair.name) == name.as_bytes()
    }

    fn intern(&mut self, name: &str, value: &str) -> Result<u32, TsdbError> {
        let hash = self.hasher.hash_one((name.as_bytes(), value.as_bytes()));
        if let Some(&number) = self.table.find(hash, |&number| self.is(number, name, value)) {
            return Ok(number);
        }
        let number = u32::try_from(self.pairs.len()).map_err(|_| TsdbError::TooLarge {
            what: "the number of label pairs",
            limit: u64::from(u32::MAX),
        })?;
        let pair = Pair {
            name: self.symbols.intern(name.as_bytes())?,
            value: self.symbols.intern(value.as_bytes())?,
            count: 0,
        };
        self.pairs.push(pair);
        let Self {
            symbols,
            pairs,
            table,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, number, |&number| {
            let pair = pairs[number as usize];
            hasher.hash_one((symbols.bytes_of(pair.name), symbols.bytes_of(pair.value)))
        });
        Ok(number)
    }
}
