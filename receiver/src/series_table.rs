//! The series of one generation, in memory.
//!
//! Sharded by a keyed hash, so that concurrent requests rarely meet and no sender can aim at one shard. A table lives exactly as
//! long as its generation: nothing of a series outlives the flush windows in which it appears, so churn cannot grow memory.
//! It must never be appended to once its generation is frozen.

mod families;
mod others;
mod variants;

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use emberkeep_model::head::{HeadKinds, HeadQuery, HeadSeries};
use emberkeep_model::{Labels, MetadataEntry, Run, SeenMetadata, SeriesRuns, TenantId, matches_all};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use self::families::Families;
use self::others::Others;
use crate::batch::{Batch, BatchSeries};

const SHARDS: usize = 16;
/// What a series costs beside its label bytes and samples: table slot, entry, allocation headers.
const SERIES_OVERHEAD: usize = 160;

/// One series and what arrived of it, in order of arrival, not settled.
#[derive(Debug)]
pub(crate) struct TableSeries {
    pub(crate) tenant: TenantId,
    pub(crate) labels: Labels,
    samples: Run,
    /// Most series hold floats and nothing else, and pay a pointer for the rest.
    others: Option<Box<Others>>,
}

impl TableSeries {
    /// A copy of its rows of the kinds asked for, not settled.
    fn rows(&self, kinds: HeadKinds) -> SeriesRuns {
        let mut runs = SeriesRuns::default();
        if kinds == HeadKinds::Samples {
            runs.samples = self.samples.clone();
        }
        if let Some(others) = &self.others {
            match kinds {
                HeadKinds::Samples => runs.histograms = others.histograms.clone(),
                HeadKinds::Exemplars => runs.exemplars = others.exemplars.clone(),
                HeadKinds::Metadata => {}
            }
        }
        runs
    }

    /// A settled copy of all its rows, and how many lost against a different one.
    pub(crate) fn settled(&self) -> (SeriesRuns, u64) {
        let mut runs = self.rows(HeadKinds::Samples);
        if let Some(others) = &self.others {
            runs.exemplars = others.exemplars.clone();
        }
        let conflicts = runs.settle();
        (runs, conflicts)
    }

    /// All variants of its metadata.
    pub(crate) fn metadata(&self) -> Vec<SeenMetadata> {
        self.others
            .as_ref()
            .map(|others| others.metadata.sorted())
            .unwrap_or_default()
    }

    fn has_metadata(&self) -> bool {
        self.others.as_ref().is_some_and(|others| !others.metadata.is_empty())
    }

    /// Adds what a request holds of it, and returns by how many bytes it grew.
    fn append(&mut self, batch: &BatchSeries<'_>, arrival: i64) -> usize {
        let before = self.samples.heap_bytes();
        for &sample in batch.samples {
            self.samples.push(sample);
        }
        let grown = self.samples.heap_bytes() - before;
        if batch.histogram_range().is_empty() && batch.exemplars.is_empty() && batch.metadata.is_none() {
            return grown;
        }
        grown + self.others.get_or_insert_default().append(batch, arrival)
    }
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
    families: Families,
    bytes: AtomicUsize,
    rows: AtomicU64,
    n_series: AtomicU64,
}

impl SeriesTable {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            families: Families::default(),
            bytes: AtomicUsize::new(0),
            rows: AtomicU64::new(0),
            n_series: AtomicU64::new(0),
        }
    }

    /// Appends all that a batch holds; `arrival` is when metadata was seen.
    pub(crate) fn append(&self, tenant: &TenantId, batch: &Batch, arrival: i64) {
        let mut added = self.families.append(tenant, batch, arrival);
        for of_series in batch.series() {
            let canonical = of_series.labels;
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
                    samples: Run::default(),
                    others: None,
                });
                index.insert_unique(hash, position, |&i| {
                    let other = &series[i as usize];
                    hash_of(&self.hasher, &other.tenant, other.labels.as_bytes())
                });
                added += canonical.len() + SERIES_OVERHEAD;
                self.n_series.fetch_add(1, Ordering::Relaxed);
                position
            });
            added += series[position as usize].append(&of_series, arrival);
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.rows.fetch_add(batch.counts().total() as u64, Ordering::Relaxed);
    }

    /// Bytes held, as counted while appending.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether nothing was ever appended.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.load(Ordering::Relaxed) == 0
    }

    /// Distinct series.
    pub(crate) fn n_series(&self) -> u64 {
        self.n_series.load(Ordering::Relaxed)
    }

    /// The matching series, in no order, with settled rows of the kinds asked for; at most `limit` of them, or nothing.
    pub(crate) fn select(&self, query: &HeadQuery, limit: usize) -> Option<Vec<HeadSeries>> {
        let mut found = Vec::new();
        let mut weight = 0;
        for shard in &self.shards {
            for series in &shard.read().series {
                if series.tenant != query.tenant || !matches_all(&query.matchers, &series.labels) {
                    continue;
                }
                let mut runs = series.rows(query.kinds);
                runs.settle();
                runs.retain_range(query.range);
                if !runs.is_empty() {
                    weight += weigh(&runs);
                    if weight > limit {
                        return None;
                    }
                    found.push(HeadSeries {
                        labels: series.labels.clone(),
                        runs,
                    });
                }
            }
        }
        Some(found)
    }

    /// Metadata of the matching series and families, in no order; at most `limit` variants, or nothing.
    pub(crate) fn metadata(&self, query: &HeadQuery, limit: usize) -> Option<Vec<MetadataEntry>> {
        let mut found = self.families.select(&query.tenant, &query.matchers);
        for shard in &self.shards {
            for series in &shard.read().series {
                if !series.has_metadata()
                    || series.tenant != query.tenant
                    || !matches_all(&query.matchers, &series.labels)
                {
                    continue;
                }
                found.extend(series.metadata().into_iter().map(|seen| MetadataEntry {
                    family: series.labels.metric_name().to_owned(),
                    series: Some(series.labels.clone()),
                    seen,
                }));
                if found.len() > limit {
                    return None;
                }
            }
        }
        (found.len() <= limit).then_some(found)
    }

    /// A frozen view for the flush; readers may read beside it.
    pub(crate) fn freeze(&self) -> FrozenTable<'_> {
        FrozenTable {
            shards: self.shards.iter().map(RwLock::read).collect(),
            families: &self.families,
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
    families: &'a Families,
}

impl FrozenTable<'_> {
    /// All series in the order of parts: tenant, then labels.
    pub(crate) fn sorted(&self) -> Vec<&TableSeries> {
        let mut all: Vec<_> = self.shards.iter().flat_map(|shard| &shard.series).collect();
        all.sort_unstable_by(|a, b| a.tenant.cmp(&b.tenant).then_with(|| a.labels.cmp(&b.labels)));
        all
    }

    /// Metadata of families, by tenant and family.
    pub(crate) fn families(&self) -> Vec<(TenantId, String, Vec<SeenMetadata>)> {
        self.families.sorted()
    }
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
