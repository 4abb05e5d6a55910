//! Which metadata masks hide: what [`hides_metadata`] says, as the compactor does when it rewrites a part.

use emberkeep_archive::Mask;
use emberkeep_archive::catalog::hides_metadata;
use emberkeep_model::{MetadataEntry, TenantId};

use super::hidden::Masks;
use crate::ReaderError;

/// The masks of a tenant, as far as they concern metadata.
#[derive(Debug, Clone)]
pub(super) struct MetadataMasks(Masks);

impl MetadataMasks {
    /// # Errors
    /// When a matcher of one cannot be built.
    pub(super) fn of(masks: &[Mask], tenant: &TenantId) -> Result<Self, ReaderError> {
        Ok(Self(Masks::of_tenant(masks, tenant)?))
    }

    /// Those that are not applied yet to a part that was written under the masks up to a number.
    pub(super) fn above(&self, applied: u64) -> Self {
        Self(self.0.above(applied))
    }

    /// Whether nothing is hidden.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an entry is hidden.
    pub(super) fn hides(&self, entry: &MetadataEntry) -> bool {
        let MetadataEntry { family, series, seen } = entry;
        !self.is_empty() && hides_metadata(self.0.compiled(), self.0.tenant(), family, series.as_ref(), seen)
    }
}
