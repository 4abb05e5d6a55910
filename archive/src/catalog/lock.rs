//! A lock: a range of time that neither retention, nor deletion, nor a quota may remove until it is released.

use serde::{Deserialize, Serialize};

use super::PartEntry;
use crate::envelope::CatalogObject;

/// What is kept, and why. Also the object `_archive/locks/<id>`, from which a lost catalog is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Its ULID as text.
    pub id: String,
    /// Whose data; none = everybody's.
    pub tenant: Option<String>,
    /// First timestamp that is kept, milliseconds since 1970.
    pub from: i64,
    /// First timestamp after it that is not.
    pub to: i64,
    /// Why, in words.
    pub reason: String,
    /// Who asked for it.
    pub who: String,
    /// When, milliseconds since 1970.
    pub created_at: i64,
}

impl CatalogObject for Lock {
    const VERSION: u64 = 1;
}

impl Lock {
    /// Whether it keeps something between two timestamps, both inside, of the tenant; with no tenant, of anybody.
    #[must_use]
    pub fn keeps(&self, tenant: Option<&str>, first: i64, last: i64) -> bool {
        let is_theirs = match (&self.tenant, tenant) {
            (Some(locked), Some(tenant)) => locked == tenant,
            _ => true,
        };
        is_theirs && first < self.to && self.from <= last
    }

    /// Whether it keeps any row of the part: of its floats, histograms or exemplars.
    #[must_use]
    pub fn keeps_part(&self, part: &PartEntry) -> bool {
        part.tenants.iter().any(|(tenant, held)| {
            let spans = [held.sample_times(), held.exemplar_times, held.metadata_times];
            let mut spans = spans.into_iter().flatten();
            spans.any(|span| self.keeps(Some(tenant), span.min_time, span.max_time))
        })
    }
}
