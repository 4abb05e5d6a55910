//! A table that nothing is appended to any more, for the flush: its series in the order of parts, each once.

use emberkeep_model::{Labels, LabelsBuilder, SeenMetadata, SeriesRuns, TenantId};
use parking_lot::RwLockReadGuard;

use super::SeriesTable;
use super::families::Families;
use super::seen::VariantNumbers;
use super::shard::Shard;
use super::tenants::number_of;

impl SeriesTable {
    /// A frozen view for the flush; readers may read beside it. Only once no ticket of the generation is out.
    pub(crate) fn freeze(&self) -> FrozenTable<'_> {
        for shard in &self.shards {
            let mut shard = shard.write();
            let n_series = shard.n_series();
            shard.rows.freeze(n_series);
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
    shard: u32,
    position: u32,
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
        let mut builder = LabelsBuilder::default();
        let mut series = FrozenSeries::default();
        for spellings in sorted.chunk_by(|a, b| self.key_of(*a) == self.key_of(*b)) {
            self.join(spellings, &mut series);
            let (tenant, region) = self.key_of(spellings[0]);
            visit(tenant, &region.to_labels(&mut builder), &series)?;
        }
        Ok(())
    }

    /// Metadata of families, by tenant and family.
    pub(crate) fn families(&self) -> Vec<(TenantId, String, Vec<SeenMetadata>)> {
        self.families.sorted()
    }

    fn sorted(&self) -> Vec<At> {
        let mut all = Vec::with_capacity(self.shards.iter().map(|shard| shard.n_series()).sum());
        for (shard, of_shard) in (0..).zip(&self.shards) {
            all.extend(of_shard.series().map(|(position, ..)| At { shard, position }));
        }
        all.sort_unstable_by(|a, b| self.key_of(*a).cmp(&self.key_of(*b)));
        all
    }

    fn key_of(&self, at: At) -> (&TenantId, super::region::Region<'_>) {
        let shard = &self.shards[at.shard as usize];
        let tenant = &self.tenants[number_of(shard.origin(at.position)) as usize];
        (tenant, shard.region(at.position))
    }

    /// All that is held of one series.
    fn join(&self, spellings: &[At], series: &mut FrozenSeries) {
        series.runs.clear();
        series.metadata.clear();
        for at in spellings {
            let shard = &self.shards[at.shard as usize];
            shard.samples(at.position).append_to(&mut series.runs.samples);
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
