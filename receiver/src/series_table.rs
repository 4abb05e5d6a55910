//! The series of one generation, in memory: what was acknowledged since the last rotation.
//!
//! A series is known by how a sender spells it: the label bytes of version 1.0, or the numbers of its symbols in version 2.0. So a known
//! series is found without reading its labels, by a keyed hash and then by its bytes. Two spellings of one series are two entries here;
//! whoever reads joins them by their labels. Sharded by the hash, so that concurrent requests rarely meet and no sender can aim at one
//! shard. A table lives exactly as long as its generation: nothing of a series outlives the flush windows in which it appears, so churn
//! cannot grow memory. It must never be appended to once its generation is frozen.

mod append;
mod arena;
mod blocks;
mod cursor;
mod families;
mod frozen;
mod interner;
mod others;
pub(crate) mod region;
mod rows;
mod seen;
mod select;
mod shard;
mod slots;
mod sort;
mod tenants;
mod trail;
mod variants;

use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use emberkeep_model::{SeriesRuns, TenantId};
use foldhash::quality::RandomState;
use parking_lot::{RwLock, RwLockReadGuard};

pub(crate) use self::cursor::TableCursor;
use self::families::Families;
pub(crate) use self::frozen::FrozenTable;
use self::interner::Interner;
pub(crate) use self::rows::Samples;
use self::seen::VariantNumbers;
pub(crate) use self::shard::Lookup;
use self::shard::Shard;
use self::tenants::Tenants;
use self::trail::Trail;

const SHARDS: usize = 16;

/// Random for each process and never written anywhere: no sender can make hashes collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The two ways to spell a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpelledAs {
    /// A label region, version 1.0.
    Region,
    /// Numbers of symbols, four bytes each, version 2.0.
    Symbols,
}

/// All series of one generation.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    shards: Vec<RwLock<Shard>>,
    symbols: RwLock<Interner>,
    variants: RwLock<VariantNumbers>,
    tenants: Tenants,
    families: Families,
    trail: Trail,
    bytes: AtomicUsize,
    rows: AtomicU64,
    n_series: AtomicU64,
}

impl SeriesTable {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(Shard::new())).collect(),
            symbols: RwLock::new(Interner::new(HASHER.clone())),
            variants: RwLock::default(),
            tenants: Tenants::default(),
            families: Families::default(),
            trail: Trail::default(),
            bytes: AtomicUsize::new(0),
            rows: AtomicU64::new(0),
            n_series: AtomicU64::new(0),
        }
    }

    /// Finds which spellings of a request are known, of those that were not found yet. Lookups without a key find nothing.
    pub(crate) fn recognise(&self, tenant: &TenantId, spelled: SpelledAs, keys: &[u8], lookups: &mut [Lookup]) {
        let Some(origin) = self.tenants.find(tenant, spelled) else {
            return;
        };
        let open = (0..).zip(&*lookups).filter(|(_, lookup)| lookup.found.is_none());
        let order = by_shard(open.map(|(i, lookup)| (i, lookup.hash)));
        for (shard, chosen) in order.shards() {
            self.shards[shard].read().recognise(origin, keys, chosen, lookups);
        }
    }

    /// The numbers of symbols that are known.
    pub(crate) fn symbols(&self) -> KnownSymbols<'_> {
        KnownSymbols(self.symbols.read())
    }

    /// Bytes held, as counted while appending.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether nothing was ever appended.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.load(Ordering::Relaxed) == 0
    }

    /// Distinct spellings of series.
    pub(crate) fn n_series(&self) -> u64 {
        self.n_series.load(Ordering::Relaxed)
    }
}

/// Numbers of symbols, as long as nobody needs new ones.
#[derive(Debug)]
pub(crate) struct KnownSymbols<'t>(RwLockReadGuard<'t, Interner>);

impl KnownSymbols<'_> {
    /// The number of a symbol, when the table has it.
    pub(crate) fn find(&self, symbol: &[u8]) -> Option<u32> {
        self.0.find(symbol)
    }
}

/// The hash of a tenant's spellings, before a spelling is put into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpellingHash(u64);

impl SpellingHash {
    pub(crate) fn new(tenant: &TenantId, spelled: SpelledAs) -> Self {
        let mut state = HASHER.build_hasher();
        state.write(tenant.as_str().as_bytes());
        state.write_u8(spelled as u8);
        Self(state.finish())
    }

    #[inline]
    pub(crate) fn of(self, key: &[u8]) -> u64 {
        let mut state = HASHER.build_hasher();
        state.write(key);
        state.finish() ^ self.0
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> 60) as usize
}

/// Numbers of items, in the order of their shards.
struct ByShard {
    order: Vec<u32>,
    ends: [u32; SHARDS],
}

impl ByShard {
    /// Each shard that has items, and which.
    fn shards(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let mut from = 0;
        self.ends.iter().enumerate().filter_map(move |(shard, &end)| {
            let chosen = &self.order[from as usize..end as usize];
            from = end;
            (!chosen.is_empty()).then_some((shard, chosen))
        })
    }
}

/// Sorts items by the shard of their hash: one pass to count, one to place. The order within a shard is kept.
fn by_shard(items: impl Iterator<Item = (u32, u64)> + Clone) -> ByShard {
    let mut ends = [0_u32; SHARDS];
    for (_, hash) in items.clone() {
        ends[shard_of(hash)] += 1;
    }
    let mut before = 0;
    for end in &mut ends {
        before += std::mem::replace(end, before);
    }
    let mut order = vec![0; before as usize];
    for (i, hash) in items {
        let at = &mut ends[shard_of(hash)];
        order[*at as usize] = i;
        *at += 1;
    }
    ByShard { order, ends }
}

/// What rows count towards a limit on samples: a histogram as much as the samples that would take its memory.
pub(crate) fn weigh(runs: &SeriesRuns) -> usize {
    let histograms = runs
        .histograms
        .iter()
        .map(|row| 1 + row.canonical.len() / 16)
        .sum::<usize>();
    let exemplars = runs
        .exemplars
        .as_slice()
        .iter()
        .map(|e| 2 + e.labels.as_bytes().len() / 16)
        .sum::<usize>();
    runs.samples.len() + histograms + exemplars
}
