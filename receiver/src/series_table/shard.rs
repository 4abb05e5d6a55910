//! One shard of the table: spellings of series, and what arrived of them.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::blocks::{Blocks, Place, Written};
use super::others::Others;
use super::region::Region;
use super::rows::{Rows, RowsView, Samples};
use super::seen::SeenWith;
use super::slots::{Slots, candidate};

/// Lookups that are under way at once, so that their cache misses overlap.
const AT_ONCE: usize = 16;

/// Whose a spelling is, and of which version: the tenant's number in the table, and below it one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin(pub(super) u32);

/// One spelling of a series. Two spellings of one series are two entries; whoever reads joins them.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    key_len: u32,
    /// Bytes of the normal region behind the key; 0 when the key is it.
    region_len: u32,
    origin: Origin,
    /// Its step in the trail of the table.
    step: u32,
}

/// One spelling to be found: its hash, where its bytes are, and the position of its series once found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup {
    pub(crate) hash: u64,
    /// Start and length in the bytes that all lookups of a request share.
    pub(crate) key: (u32, u32),
    pub(crate) found: Option<u32>,
}

impl Entry {
    /// Bytes in its block: the key and, where it is apart, the region.
    fn bytes(&self) -> usize {
        self.key_len as usize + self.region_len as usize
    }

    /// The labels, in its bytes.
    fn region_in<'a>(&self, bytes: &'a [u8]) -> Region<'a> {
        let apart = if self.region_len == 0 { 0 } else { self.key_len as usize };
        Region(&bytes[apart..])
    }
}

/// All series of a shard at one time, readable without its lock.
#[derive(Debug)]
pub(super) struct ShardView {
    entries: Vec<Entry>,
    blocks: Blocks,
    pub(super) rows: RowsView,
    has_others: Vec<bool>,
}

impl ShardView {
    pub(super) fn n_series(&self) -> usize {
        self.entries.len()
    }

    /// The labels of a series.
    pub(super) fn region(&self, position: u32) -> Region<'_> {
        let entry = &self.entries[position as usize];
        entry.region_in(self.blocks.bytes(entry.place, entry.bytes()))
    }

    /// Whose a series is.
    pub(super) fn origin(&self, position: u32) -> Origin {
        self.entries[position as usize].origin
    }

    /// Whether a series has rows that are not floats.
    pub(super) fn has_others(&self, position: u32) -> bool {
        self.has_others.get(position as usize).copied().unwrap_or(false)
    }
}

impl Lookup {
    pub(super) fn key_of<'a>(&self, keys: &'a [u8]) -> &'a [u8] {
        let (start, len) = self.key;
        &keys[start as usize..start as usize + len as usize]
    }
}

/// A part of the table, by hash.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Slots,
    entries: Vec<Entry>,
    blocks: Blocks,
    pub(super) rows: Rows,
    pub(super) seen_with: SeenWith,
    /// Most series hold floats and nothing else.
    pub(super) others: HashMap<u32, Others, RandomState>,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(),
            entries: Vec::new(),
            blocks: Blocks::default(),
            rows: Rows::new(),
            seen_with: SeenWith::default(),
            others: HashMap::default(),
        }
    }

    pub(super) fn n_series(&self) -> usize {
        self.entries.len()
    }

    /// Finds those of the chosen lookups that are known.
    ///
    /// Senders repeat themselves: what followed a series when it was entered follows it again. So each lookup is first compared with the
    /// series behind the one before, which needs no slot, and whose entry and bytes lie where the processor reads ahead.
    pub(super) fn recognise(&self, origin: Origin, keys: &[u8], chosen: &[u32], lookups: &mut [Lookup]) {
        let first = chosen.first().map(|&i| &lookups[i as usize]);
        let mut next = first.and_then(|lookup| self.find(origin, lookup.hash, lookup.key_of(keys)));
        for some in chosen.chunks(AT_ONCE) {
            let mut missed = [0; AT_ONCE];
            let mut n_missed = 0;
            if let Some(next) = next {
                for (position, &i) in (next..).zip(some) {
                    let lookup = &mut lookups[i as usize];
                    let entry = self.entries.get(position as usize);
                    if entry.is_some_and(|entry| self.is_it(entry, origin, lookup.key_of(keys))) {
                        lookup.found = Some(position);
                    } else {
                        missed[n_missed] = i;
                        n_missed += 1;
                    }
                }
            } else {
                missed[..some.len()].copy_from_slice(some);
                n_missed = some.len();
            }
            self.recognise_by_hash(origin, keys, &missed[..n_missed], lookups);
            // Where most were missed, guessing costs more than it saves.
            let last = some.last().and_then(|&i| lookups[i as usize].found);
            let is_in_order = n_missed * 2 <= some.len() || next.is_none();
            next = last.filter(|_| is_in_order).map(|position| position + 1);
        }
    }

    /// In steps for several at once: slot, entry, bytes.
    fn recognise_by_hash(&self, origin: Origin, keys: &[u8], some: &[u32], lookups: &mut [Lookup]) {
        let mut homes = [0; AT_ONCE];
        for (home, &i) in homes.iter_mut().zip(some) {
            *home = self.slots.home(lookups[i as usize].hash);
        }
        let mut entries = [None; AT_ONCE];
        for ((entry, home), &i) in entries.iter_mut().zip(homes).zip(some) {
            let position = candidate(home, lookups[i as usize].hash);
            *entry = position.and_then(|position| Some((position, *self.entries.get(position as usize)?)));
        }
        for (entry, &i) in entries.into_iter().zip(some) {
            let lookup = &mut lookups[i as usize];
            let key = lookup.key_of(keys);
            lookup.found = match entry {
                Some((position, entry)) if self.is_it(&entry, origin, key) => Some(position),
                _ => self.find(origin, lookup.hash, key),
            };
        }
    }

    /// The position of a spelling.
    pub(super) fn find(&self, origin: Origin, hash: u64, key: &[u8]) -> Option<u32> {
        let is_it = |position: u32| self.is_it(&self.entries[position as usize], origin, key);
        self.slots.find(hash, is_it)
    }

    #[inline]
    fn is_it(&self, entry: &Entry, origin: Origin, key: &[u8]) -> bool {
        entry.key_len as usize == key.len()
            && entry.origin == origin
            && self.blocks.bytes(entry.place, key.len()) == key
    }

    /// The position of a spelling, a new one where it is not known, and by how many bytes the shard grew, without those that are written.
    pub(super) fn find_or_insert(
        &mut self,
        origin: Origin,
        hash: u64,
        spelling: Written<'_>,
        step: u32,
    ) -> (u32, usize) {
        let (key, region_len) = (spelling.key(), spelling.region_len());
        if let Some(position) = self.find(origin, hash, key) {
            return (position, 0);
        }
        let number = |n: usize| u32::try_from(n).expect("a generation is flushed long before 4 G series");
        let position = number(self.entries.len());
        let before = self.entries.capacity();
        let (place, mut grown) = self.blocks.place(&spelling);
        self.entries.push(Entry {
            place,
            key_len: number(key.len()),
            region_len: number(region_len),
            origin,
            step,
        });
        grown += (self.entries.capacity() - before) * size_of::<Entry>();
        grown += self.slots.insert(hash, position);
        (position, grown)
    }

    /// The spelling of a series, when it is of this origin.
    #[inline]
    pub(super) fn key_of(&self, position: u32, origin: Origin) -> Option<&[u8]> {
        let entry = self.entries.get(position as usize)?;
        (entry.origin == origin).then(|| self.blocks.bytes(entry.place, entry.key_len as usize))
    }

    /// The step at which a series was entered.
    pub(super) fn step_of(&self, position: u32) -> u32 {
        self.entries[position as usize].step
    }

    /// The labels of a series.
    pub(super) fn region(&self, position: u32) -> Region<'_> {
        let entry = &self.entries[position as usize];
        entry.region_in(self.blocks.bytes(entry.place, entry.bytes()))
    }

    /// All that it holds now, but for rows that are not floats: of those it is noted who has any. Takes as long as it takes to copy 20 bytes
    /// for each series.
    pub(super) fn view(&self) -> ShardView {
        let mut has_others = vec![false; if self.others.is_empty() { 0 } else { self.entries.len() }];
        for &position in self.others.keys() {
            has_others[position as usize] = true;
        }
        ShardView {
            entries: self.entries.clone(),
            blocks: self.blocks.clone(),
            rows: self.rows.view(),
            has_others,
        }
    }

    /// All series with their labels.
    pub(super) fn series(&self) -> impl Iterator<Item = (u32, Origin, Region<'_>)> {
        (0..)
            .zip(&self.entries)
            .map(|(position, entry)| (position, entry.origin, self.region(position)))
    }

    /// The samples of a series of a frozen shard.
    pub(super) fn samples(&self, position: u32) -> impl Iterator<Item = Samples<'_>> {
        self.rows.of_series(position)
    }
}
