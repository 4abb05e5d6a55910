//! Which label values each page of a series table may hold, remembered in memory by whoever keeps parts open.
//!
//! A selective query reads the series tables of all parts of its time, of which a few pages have what it looks for. The first query that
//! passes over a page notes its values in a Bloom filter; later ones read only the pages that may have theirs. A filter may say yes
//! wrongly, never no. All filters and footers of kept parts share one bound; when it is reached no more filters are made.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use xxhash_rust::xxh3::xxh3_64;

/// Bits of a filter for each value, of which a value sets some. Three pages in a thousand are read in vain.
const BITS_OF_VALUE: usize = 12;
const PROBES: u64 = 6;

/// What a filter takes beside its bits: its place in the map.
const FILTER_BYTES: usize = 64;

/// Memory of kept parts: how much is used, and how much may be.
#[derive(Debug)]
pub(super) struct KeptBytes {
    used: AtomicUsize,
    most: usize,
}

impl KeptBytes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            most,
        }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes so many bytes, when they are there.
    fn take(&self, bytes: usize) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|&used| used <= self.most)
        });
        taken.is_ok()
    }
}

/// What a value is known by.
pub(super) fn value_hash(value: &[u8]) -> u64 {
    xxh3_64(value)
}

/// The values of a page.
#[derive(Debug)]
pub(super) struct PageFilter {
    bits: Box<[u64]>,
}

impl PageFilter {
    pub(super) fn new(values: &[u64]) -> Self {
        let words = (values.len() * BITS_OF_VALUE).div_ceil(64).max(1);
        let mut filter = Self {
            bits: vec![0; words].into(),
        };
        for &value in values {
            for (word, bit) in filter.places(value) {
                filter.bits[word] |= bit;
            }
        }
        filter
    }

    /// Whether the value may be there.
    pub(super) fn may_hold(&self, value: u64) -> bool {
        self.places(value).all(|(word, bit)| self.bits[word] & bit != 0)
    }

    fn places(&self, value: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let count = self.bits.len() as u64 * 64;
        let (first, step) = (value & 0xffff_ffff, value >> 32 | 1);
        (0..PROBES).map(move |probe| {
            let spread = first.wrapping_add(probe.wrapping_mul(step)) & 0xffff_ffff;
            // A multiplication instead of a division: the upper half of the product lies evenly in 0..count.
            let place = (spread * count) >> 32;
            (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
        })
    }

    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.bits)
    }
}

/// Filters by row group and first row.
type Filters = HashMap<(usize, usize), PageFilter>;

/// The filters of one part, and what it takes of the memory of kept parts as long as anybody has it open.
#[derive(Debug)]
pub(super) struct PageFilters {
    filters: RwLock<Filters>,
    /// Footers included.
    bytes: AtomicUsize,
    of_all: Arc<KeptBytes>,
}

impl PageFilters {
    /// Of a part whose footers take so many bytes; none when there is no room for them.
    pub(super) fn new(of_all: &Arc<KeptBytes>, bytes: usize) -> Option<Self> {
        of_all.take(bytes).then(|| Self {
            filters: RwLock::default(),
            bytes: AtomicUsize::new(bytes),
            of_all: Arc::clone(of_all),
        })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Filters> {
        self.filters.read()
    }

    /// Whether the page has none yet, and there may be room for one.
    pub(super) fn wants(&self, page: (usize, usize)) -> bool {
        self.of_all.used() < self.of_all.most && !self.filters.read().contains_key(&page)
    }

    /// Keeps the filter of a page, when there is room.
    pub(super) fn keep(&self, page: (usize, usize), filter: PageFilter) {
        let bytes = filter.heap_bytes() + FILTER_BYTES;
        let mut filters = self.filters.write();
        if filters.contains_key(&page) || !self.of_all.take(bytes) {
            return;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        filters.insert(page, filter);
    }
}

impl Drop for PageFilters {
    fn drop(&mut self) {
        self.of_all.used.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_knows_all_of_its_values_and_few_others() {
        let hash = |number: u32| value_hash(format!("10.0.{number}:9100").as_bytes());
        let values: Vec<u64> = (0..1500).map(hash).collect();
        let filter = PageFilter::new(&values);
        assert!(values.iter().all(|&value| filter.may_hold(value)));
        let wrong = (1500..101_500).filter(|&number| filter.may_hold(hash(number))).count();
        assert!(wrong < 1000, "{wrong} of 100,000");
        assert!(filter.heap_bytes() <= 1500 * BITS_OF_VALUE / 8 + 8);
        assert!(!PageFilter::new(&[]).may_hold(7), "a page without values has none");
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let all = Arc::new(KeptBytes::new(1000));
        let part = PageFilters::new(&all, 600).expect("there is room");
        assert!(PageFilters::new(&all, 600).is_none());
        for page in 0..100 {
            part.keep((0, page), PageFilter::new(&[1, 2, 3]));
        }
        let kept = part.read().len();
        assert!((1..100).contains(&kept) && all.used() <= 1000, "{kept} {}", all.used());
        assert!(!part.wants((0, 0)) && part.wants((0, 99)));
        drop(part);
        assert_eq!(all.used(), 0);
    }
}
