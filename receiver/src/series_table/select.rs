//! Reading the metadata of a table beside the write path.

use emberkeep_model::MetadataEntry;
use emberkeep_model::head::HeadQuery;

use super::SeriesTable;
use super::shard::Shard;
use super::tenants::number_of;

impl SeriesTable {
    /// Metadata of the matching series and families, in no order; at most `limit` variants, or nothing.
    pub(crate) fn metadata(&self, query: &HeadQuery, limit: usize) -> Option<Vec<MetadataEntry>> {
        let mut found = self.families.select(&query.tenant, &query.matchers);
        let mut canonical = Vec::new();
        let variants = self.variants.read();
        for shard in &self.shards {
            let shard = shard.read();
            for position in self.matching(&shard, query) {
                let mut seen = Vec::new();
                shard.seen_with.collect(position, &variants, &mut seen);
                if seen.is_empty() {
                    continue;
                }
                let labels = shard.region(position).to_labels(&mut canonical);
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
