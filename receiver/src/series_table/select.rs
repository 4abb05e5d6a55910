//! Reading the table beside the write path: the series that fulfil matchers, with settled copies of their rows.

use emberkeep_model::head::{HeadKinds, HeadQuery, HeadSeries};
use emberkeep_model::{LabelsBuilder, MetadataEntry, Run, SeriesRuns};

use super::shard::Shard;
use super::tenants::number_of;
use super::{SeriesTable, weigh};

impl SeriesTable {
    /// The matching series, in no order, with settled rows of the kinds asked for; at most `limit` of them, or nothing. A series may occur
    /// several times, with different rows.
    pub(crate) fn select(&self, query: &HeadQuery, limit: usize) -> Option<Vec<HeadSeries>> {
        let mut found = Vec::new();
        let mut weight = 0;
        let mut builder = LabelsBuilder::default();
        for shard in &self.shards {
            let shard = shard.read();
            let series = self.matching(&shard, query);
            for (&position, samples) in series.iter().zip(samples_of(&shard, &series, query.kinds)) {
                let mut runs = SeriesRuns {
                    samples,
                    ..SeriesRuns::default()
                };
                if let Some(others) = shard.others.get(&position) {
                    match query.kinds {
                        HeadKinds::Samples => runs.histograms = others.histograms.clone(),
                        HeadKinds::Exemplars => runs.exemplars = others.exemplars.clone(),
                        HeadKinds::Metadata => {}
                    }
                }
                runs.settle();
                runs.retain_range(query.range);
                if !runs.is_empty() {
                    weight += weigh(&runs);
                    if weight > limit {
                        return None;
                    }
                    let labels = shard.region(position).to_labels(&mut builder);
                    found.push(HeadSeries { labels, runs });
                }
            }
        }
        Some(found)
    }

    /// Metadata of the matching series and families, in no order; at most `limit` variants, or nothing.
    pub(crate) fn metadata(&self, query: &HeadQuery, limit: usize) -> Option<Vec<MetadataEntry>> {
        let mut found = self.families.select(&query.tenant, &query.matchers);
        let mut builder = LabelsBuilder::default();
        let variants = self.variants.read();
        for shard in &self.shards {
            let shard = shard.read();
            for position in self.matching(&shard, query) {
                let mut seen = Vec::new();
                shard.seen_with.collect(position, &variants, &mut seen);
                if seen.is_empty() {
                    continue;
                }
                let labels = shard.region(position).to_labels(&mut builder);
                found.extend(seen.into_iter().map(|seen| MetadataEntry {
                    family: labels.metric_name().to_owned(),
                    series: Some(labels.clone()),
                    seen,
                }));
                if found.len() > limit {
                    return None;
                }
            }
        }
        (found.len() <= limit).then_some(found)
    }

    /// Positions of the series that fulfil the matchers.
    fn matching(&self, shard: &Shard, query: &HeadQuery) -> Vec<u32> {
        let tenants = self.tenants.names();
        let Some(tenant) = (0..).zip(&tenants).find(|(_, name)| **name == query.tenant) else {
            return Vec::new();
        };
        shard
            .series()
            .filter(|(_, origin, region)| number_of(*origin) == tenant.0 && region.fulfils(&query.matchers))
            .map(|(position, ..)| position)
            .collect()
    }
}

/// The samples of the chosen series, in the same order.
fn samples_of(shard: &Shard, series: &[u32], kinds: HeadKinds) -> Vec<Run> {
    let mut runs = vec![Run::default(); series.len()];
    if kinds == HeadKinds::Samples && !series.is_empty() {
        let mut chosen = vec![u32::MAX; shard.n_series()];
        for (place, &position) in (0..).zip(series) {
            chosen[position as usize] = place;
        }
        shard.rows.collect(&chosen, &mut runs);
    }
    runs
}
