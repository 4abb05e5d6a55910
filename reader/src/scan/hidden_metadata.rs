//! Which metadata masks hide.
//!
//! Metadata has no rows in time, only the time in which it was said. What was said of a series is hidden when masks of that
//! series cover all of this time. What was said of a family belongs to all its series, so only masks that ask for nothing but
//! the metric's name can hide it. It must never hide what is also said of something that is not deleted.

use emberkeep_archive::Mask;
use emberkeep_model::{Labels, MetadataEntry, TenantId};

use super::hidden::Masks;
use crate::ReaderError;

/// The masks of a tenant, as far as they concern metadata.
#[derive(Debug, Clone)]
pub(super) struct MetadataMasks {
    of_series: Masks,
    of_families: Masks,
}

impl MetadataMasks {
    /// # Errors
    /// When a matcher of one cannot be built.
    pub(super) fn of(masks: &[Mask], tenant: &TenantId) -> Result<Self, ReaderError> {
        let is_of_names = |mask: &&Mask| mask.matchers.iter().all(|matcher| matcher.name == Labels::METRIC_NAME);
        let of_names: Vec<Mask> = masks.iter().filter(is_of_names).cloned().collect();
        Ok(Self {
            of_series: Masks::of_tenant(masks, tenant)?,
            of_families: Masks::of_tenant(&of_names, tenant)?,
        })
    }

    /// Those that are not applied yet to a part that was written under the masks up to a number.
    pub(super) fn above(&self, applied: u64) -> Self {
        Self {
            of_series: self.of_series.above(applied),
            of_families: self.of_families.above(applied),
        }
    }

    /// Whether nothing is hidden.
    pub(super) fn is_empty(&self) -> bool {
        self.of_series.is_empty()
    }

    /// Whether an entry is hidden.
    pub(super) fn hides(&self, entry: &MetadataEntry) -> bool {
        if self.is_empty() {
            return false;
        }
        let hidden = match &entry.series {
            Some(series) => self.of_series.hidden(series),
            None => {
                let named = Labels::from_pairs([(Labels::METRIC_NAME, entry.family.as_str())]);
                named.map_or_else(|_| Default::default(), |labels| self.of_families.hidden(&labels))
            }
        };
        hidden.covers(entry.seen.first_seen, entry.seen.last_seen)
    }
}
