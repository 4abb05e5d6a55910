//! The series of one generation, in memory.
//!
//! Sharded by a keyed hash, so that concurrent requests rarely meet and no sender can aim at one shard. A table lives exactly as
//! long as its generation: nothing of a series outlives the flush windows in which it appears, so churn cannot grow memory.
//! It must never be appended to once its generation is frozen.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use emberkeep_model::head::{HeadQuery, HeadSeries};
use emberkeep_model::{Labels, Run, TenantId, matches_all};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::batch::Batch;

const SHARDS: usize = 16;
/// What a series costs beside its label bytes and samples: table slot, entry, allocation headers.
const SERIES_OVERHEAD: usize = 160;

/// One series and its open run.
#[derive(Debug)]
pub(crate) struct TableSeries {
    pub(crate) tenant: TenantId,
    pub(crate) labels: Labels,
    /// In order of arrival, not settled.
    pub(crate) run: Run,
}

#[derive(Debug, Default)]
struct Shard {
    index: HashTable<u32>,
    series: Vec<TableSeries>,
}

/// All series of one generation.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    hasher: RandomState,
    shards: Vec<RwLock<Shard>>,
    bytes: AtomicUsize,
    samples: AtomicU64,
    n_series: AtomicU64,
}

impl SeriesTable {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            bytes: AtomicUsize::new(0),
            samples: AtomicU64::new(0),
            n_series: AtomicU64::new(0),
        }
    }

    /// Appends all samples of a batch.
    pub(crate) fn append(&self, tenant: &TenantId, batch: &Batch) {
        let mut added = 0;
        for (canonical, samples) in batch.iter() {
            let hash = self.hash(tenant, canonical);
            // The low bits choose the slot, so the shard is chosen by high ones.
            let mut shard = self.shards[(hash >> 59) as usize % SHARDS].write();
            let Shard { index, series } = &mut *shard;
            let found = index
                .find(hash, |&i| is_series(&series[i as usize], tenant, canonical))
                .copied();
            let position = found.unwrap_or_else(|| {
                let position = u32::try_from(series.len()).expect("a generation is flushed long before 4 G series");
                series.push(TableSeries {
                    tenant: tenant.clone(),
                    labels: Labels::from_canonical(canonical).expect("intake made these bytes canonical"),
                    run: Run::default(),
                });
                index.insert_unique(hash, position, |&i| {
                    let other = &series[i as usize];
                    hash_of(&self.hasher, &other.tenant, other.labels.as_bytes())
                });
                added += canonical.len() + SERIES_OVERHEAD;
                self.n_series.fetch_add(1, Ordering::Relaxed);
                position
            });
            let run = &mut series[position as usize].run;
            let before = run.heap_bytes();
            for &sample in samples {
                run.push(sample);
            }
            added += run.heap_bytes() - before;
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.samples.fetch_add(batch.n_samples() as u64, Ordering::Relaxed);
    }

    /// Bytes held, as counted while appending.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Samples appended, duplicates included.
    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Distinct series.
    pub(crate) fn n_series(&self) -> u64 {
        self.n_series.load(Ordering::Relaxed)
    }

    /// The matching series, in no order, with settled runs; at most `limit` samples, or nothing.
    pub(crate) fn select(&self, query: &HeadQuery, limit: usize) -> Option<Vec<HeadSeries>> {
        let mut found = Vec::new();
        let mut samples = 0;
        for shard in &self.shards {
            for series in &shard.read().series {
                if series.tenant != query.tenant || !matches_all(&query.matchers, &series.labels) {
                    continue;
                }
                let mut run = series.run.clone();
                run.settle();
                run.retain_range(query.range);
                if !run.is_empty() {
                    samples += run.len();
                    if samples > limit {
                        return None;
                    }
                    found.push(HeadSeries {
                        labels: series.labels.clone(),
                        samples: run,
                    });
                }
            }
        }
        Some(found)
    }

    /// A frozen view for the flush; readers may read beside it.
    pub(crate) fn freeze(&self) -> FrozenTable<'_> {
        FrozenTable {
            shards: self.shards.iter().map(RwLock::read).collect(),
        }
    }

    fn hash(&self, tenant: &TenantId, canonical: &[u8]) -> u64 {
        hash_of(&self.hasher, tenant, canonical)
    }
}

/// Read locks on all shards of a table.
#[derive(Debug)]
pub(crate) struct FrozenTable<'a> {
    shards: Vec<RwLockReadGuard<'a, Shard>>,
}

impl FrozenTable<'_> {
    /// All series in the order of parts: tenant, then labels.
    pub(crate) fn sorted(&self) -> Vec<&TableSeries> {
        let mut all: Vec<_> = self.shards.iter().flat_map(|shard| &shard.series).collect();
        all.sort_unstable_by(|a, b| a.tenant.cmp(&b.tenant).then_with(|| a.labels.cmp(&b.labels)));
        all
    }
}

fn is_series(series: &TableSeries, tenant: &TenantId, canonical: &[u8]) -> bool {
    series.labels.as_bytes() == canonical && series.tenant == *tenant
}

fn hash_of(hasher: &RandomState, tenant: &TenantId, canonical: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(tenant.as_str().as_bytes());
    state.write_u8(0xff);
    state.write(canonical);
    state.finish()
}
