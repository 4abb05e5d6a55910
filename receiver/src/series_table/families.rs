//! Metadata of metric families (remote write 1.0): each variant once, with the time in which it was sent.

use std::collections::BTreeMap;

use emberkeep_model::{Labels, Matcher, MetadataEntry, SeenMetadata, TenantId};
use parking_lot::Mutex;

use super::variants::Variants;
use crate::batch::Batch;

/// What a family costs beside its name.
const FAMILY_OVERHEAD: usize = 160;

/// Families of all tenants.
#[derive(Debug, Default)]
pub(super) struct Families {
    tenants: Mutex<BTreeMap<TenantId, BTreeMap<String, Variants>>>,
}

impl Families {
    /// Adds what a request holds, and returns by how many bytes it grew.
    pub(super) fn append(&self, tenant: &TenantId, batch: &Batch<'_>, arrival: i64) -> usize {
        let mut families = batch.families().peekable();
        if families.peek().is_none() {
            return 0;
        }
        let mut tenants = self.tenants.lock();
        let held = tenants.entry(tenant.clone()).or_default();
        let mut grown = 0;
        for (family, metadata) in families {
            if !held.contains_key(family) {
                held.insert(family.to_owned(), Variants::default());
                grown += family.len() + FAMILY_OVERHEAD;
            }
            if let Some(variants) = held.get_mut(family) {
                grown += variants.see(metadata, arrival);
            }
        }
        grown
    }

    /// Those whose name fulfils the matchers of `__name__`; other matchers say nothing of a family.
    pub(super) fn select(&self, tenant: &TenantId, matchers: &[Matcher]) -> Vec<MetadataEntry> {
        let accepted = |family: &str| {
            let of_name = |matcher: &&Matcher| matcher.name() == Labels::METRIC_NAME;
            matchers.iter().filter(of_name).all(|matcher| matcher.matches(family))
        };
        let tenants = self.tenants.lock();
        let held = tenants.get(tenant).into_iter().flatten();
        held.filter(|(family, _)| accepted(family))
            .flat_map(|(family, variants)| {
                variants.sorted().into_iter().map(|seen| MetadataEntry {
                    family: family.clone(),
                    series: None,
                    seen,
                })
            })
            .collect()
    }

    /// All, by tenant and family.
    pub(super) fn sorted(&self) -> Vec<(TenantId, String, Vec<SeenMetadata>)> {
        let tenants = self.tenants.lock();
        let families = tenants.iter().flat_map(|(tenant, families)| {
            families
                .iter()
                .map(move |(family, variants)| (tenant, family, variants))
        });
        families
            .map(|(tenant, family, variants)| (tenant.clone(), family.clone(), variants.sorted()))
            .collect()
    }
}
