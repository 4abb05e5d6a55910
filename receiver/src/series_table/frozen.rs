//! A table that nothing is appended to any more, for the flush: its series in the order of parts, each once.

use emberkeep_model::{Labels, SeenMetadata, SeriesRuns, TenantId};
use parking_lot::RwLockReadGuard;

use super::SeriesTable;
use super::families::Families;
use super::rows::Spare;
use super::seen::VariantNumbers;
use super::shard::Shard;
use super::sort::{Sortee, sort};
use super::tenants::number_of;

impl SeriesTable {
    /// A frozen view for the flush; readers may read beside it. Only once no ticket of the generation is out.
    pub(crate) fn freeze(&self) -> FrozenTable<'_> {
        let mut spare = Spare::default();
        for shard in &self.shards {
            let mut shard = shard.write();
            let n_series = shard.n_series();
            shard.rows.freeze(n_series, &mut spare);
        }
        FrozenTable {
            shards: self.shards.iter().map(|shard| shard.read()).collect(),
            variants: self.variants.read(),
            tenants: self.tenants.names(),
            families: &self.families,
        }
    }
}

/// Read locks on all shards of a table.
#[derive(Debug)]
pub(crate) struct FrozenTable<'a> {
    shards: Vec<RwLockReadGuard<'a, Shard>>,
    variants: RwLockReadGuard<'a, VariantNumbers>,
    tenants: Vec<TenantId>,
    families: &'a Families,
}

/// One series with all its rows, settled. Reused from one to the next.
#[derive(Debug, Default)]
pub(crate) struct FrozenSeries {
    pub(crate) runs: SeriesRuns,
    pub(crate) metadata: Vec<SeenMetadata>,
    /// How many rows lost against a different one.
    pub(crate) conflicts: u64,
}

/// Where a spelling of a series is.
#[derive(Debug, Clone, Copy)]
struct At {
    tenant: u32,
    shard: u32,
    position: u32,
    /// In the trail.
    step: u32,
}

impl FrozenTable<'_> {
    /// Visits all series in the order of parts, tenant and then labels; spellings of one series are joined.
    ///
    /// # Errors
    /// That of `visit`, at once.
    pub(crate) fn visit<E>(
        &self,
        mut visit: impl FnMut(&TenantId, &Labels, &FrozenSeries) -> Result<(), E>,
    ) -> Result<(), E> {
        let sorted = self.sorted();
        let mut canonical = Vec::new();
        let mut series = FrozenSeries::default();
        for spellings in sorted.chunk_by(|a, b| a.at.tenant == b.at.tenant && a.region == b.region) {
            self.join(spellings, &mut series);
            let labels = spellings[0].region.to_labels(&mut canonical);
            visit(self.tenant(spellings[0].at), &labels, &series)?;
        }
        Ok(())
    }

    /// Metadata of families, by tenant and family.
    pub(crate) fn families(&self) -> Vec<(TenantId, String, Vec<SeenMetadata>)> {
        self.families.sorted()
    }

    /// All series by tenant and labels, spellings of one series side by side.
    fn sorted(&self) -> Vec<Sortee<'_, At>> {
        let mut all = Vec::with_capacity(self.shards.iter().map(|shard| shard.n_series()).sum());
        for (shard, of_shard) in (0..).zip(&self.shards) {
            let series = of_shard.series();
            all.extend(series.map(|(position, origin, region)| {
                let step = of_shard.step_of(position);
                let tenant = number_of(origin);
                Sortee::new(
                    region,
                    At {
                        tenant,
                        shard,
                        position,
                        step,
                    },
                )
            }));
        }
        // In the order in which their bytes lie in memory: they are read in this order the first time.
        all.sort_by_key(|one| one.at.step);
        if self.tenants.len() > 1 {
            all.sort_by(|a, b| self.tenant(a.at).cmp(self.tenant(b.at)));
        }
        for of_tenant in all.chunk_by_mut(|a, b| a.at.tenant == b.at.tenant) {
            sort(of_tenant);
        }
        all
    }

    fn tenant(&self, at: At) -> &TenantId {
        &self.tenants[at.tenant as usize]
    }

    /// All that is held of one series.
    fn join(&self, spellings: &[Sortee<'_, At>], series: &mut FrozenSeries) {
        series.runs.clear();
        series.metadata.clear();
        for Sortee { at, .. } in spellings {
            let shard = &self.shards[at.shard as usize];
            for samples in shard.samples(at.position) {
                samples.append_to(&mut series.runs.samples);
            }
            if let Some(others) = shard.others.get(&at.position) {
                let histograms = &others.histograms;
                series.runs.histograms.append(histograms, 0..histograms.len());
                series.runs.exemplars.append(&others.exemplars);
            }
            shard
                .seen_with
                .collect(at.position, &self.variants, &mut series.metadata);
        }
        // In one order for equal content.
        series.metadata.sort_unstable_by(|a, b| a.metadata.cmp(&b.metadata));
        series.conflicts = series.runs.settle();
    }
}
