//! Metadata by family: every variant that was sent, with the time in which it was.
//!
//! Type, unit and help belong to a metric family in Prometheus' API, so what a sender of remote write 2.0 said of a single series
//! is taken as said of the family of its metric name. Kept in memory, because families are few; a bound refuses what is not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use emberkeep_archive::{ObjectStore, PartEntry, PartReader};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Metadata, SeenMetadata, TenantId};
use futures::{StreamExt, TryStreamExt};

use super::hidden_metadata::MetadataMasks;
use super::{OPENINGS_AT_ONCE, Query, check_part_limit, prune};
use crate::ReaderError;
use crate::sources::Look;

/// Bytes of texts that are held.
const BYTES_MAX: usize = 256 << 20;

/// Families by name, and of each its variants.
pub type Families = BTreeMap<String, BTreeMap<Metadata, Seen>>;

/// When a variant was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// First arrival, milliseconds since 1970 by the receiver's clock.
    pub first: i64,
    /// Last arrival, milliseconds since 1970 by the receiver's clock.
    pub last: i64,
}

/// Which families are collected.
#[derive(Clone, Copy)]
pub enum FamilyFilter<'a> {
    /// The one with exactly this name; parts are searched for it.
    Named(&'a str),
    /// Those whose names are accepted.
    Accepted(&'a (dyn Fn(&str) -> bool + Sync)),
}

impl FamilyFilter<'_> {
    fn accepts(&self, family: &str) -> bool {
        match self {
            Self::Named(name) => *name == family,
            Self::Accepted(accept) => accept(family),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Accepted(_) => None,
        }
    }
}

impl fmt::Debug for FamilyFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FamilyFilter").field(&self.name()).finish()
    }
}

/// Collects the metadata of a look: of the parts that may have some of the tenant for the range, and of the heads.
///
/// # Errors
/// When a part cannot be read, more are needed than `part_limit`, or there is more metadata than may be held.
pub(crate) async fn read_families(
    store: &Arc<dyn ObjectStore>,
    look: &Look,
    query: &Query,
    filter: FamilyFilter<'_>,
    part_limit: usize,
) -> Result<Families, ReaderError> {
    let wanted = prune(&look.view.parts, &query.tenant, query.range, HeadKinds::Metadata);
    check_part_limit(wanted.len(), part_limit)?;
    let masks = MetadataMasks::of(&look.view.masks, &query.tenant)?;
    let mut all = Collected::default();
    for entry in look.heads.iter().flat_map(|answer| &answer.metadata) {
        if filter.accepts(&entry.family) && !masks.hides(entry) {
            all.add(&entry.family, &entry.seen)?;
        }
    }
    let parts = futures::stream::iter(wanted).map(|part| {
        let masks = masks.above(part.masks);
        of_part(Arc::clone(store), part, query.tenant.clone(), filter, masks)
    });
    let mut parts = parts.buffered(OPENINGS_AT_ONCE);
    while let Some(of_part) = parts.try_next().await? {
        all.merge(of_part)?;
    }
    Ok(all.families)
}

async fn of_part(
    store: Arc<dyn ObjectStore>,
    part: Arc<PartEntry>,
    tenant: TenantId,
    filter: FamilyFilter<'_>,
    masks: MetadataMasks,
) -> Result<Collected, ReaderError> {
    let reader = PartReader::open(store, &part).await?;
    let mut found = Collected::default();
    if !masks.is_empty() {
        // Only with its labels can be told whether what was said of a series is hidden.
        let mut entries = reader.metadata(&tenant, filter.name());
        while let Some(batch) = entries.next().await? {
            for entry in batch.iter().filter(|entry| filter.accepts(&entry.family)) {
                if !masks.hides(entry) {
                    found.add(&entry.family, &entry.seen)?;
                }
            }
        }
        return Ok(found);
    }
    let mut families = reader.families(&tenant, filter.name());
    while let Some(batch) = families.next().await? {
        for of_family in batch.iter().filter(|found| filter.accepts(&found.family)) {
            found.add(&of_family.family, &of_family.seen)?;
        }
    }
    Ok(found)
}

#[derive(Debug, Default)]
struct Collected {
    families: Families,
    bytes: usize,
}

impl Collected {
    fn add(&mut self, family: &str, said: &SeenMetadata) -> Result<(), ReaderError> {
        let seen = Seen {
            first: said.first_seen,
            last: said.last_seen,
        };
        self.put(family, &said.metadata, seen)
    }

    fn merge(&mut self, other: Self) -> Result<(), ReaderError> {
        for (family, variants) in &other.families {
            for (metadata, &seen) in variants {
                self.put(family, metadata, seen)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, family: &str, metadata: &Metadata, seen: Seen) -> Result<(), ReaderError> {
        if !self.families.contains_key(family) {
            self.bytes += 64 + family.len();
        }
        let variants = self.families.entry(family.to_owned()).or_default();
        if let Some(known) = variants.get_mut(metadata) {
            known.first = known.first.min(seen.first);
            known.last = known.last.max(seen.last);
            return Ok(());
        }
        self.bytes += 128 + metadata.unit.len() + metadata.help.len();
        variants.insert(metadata.clone(), seen);
        if self.bytes > BYTES_MAX {
            return Err(ReaderError::TooMuch(format!(
                "there are more than {BYTES_MAX} bytes of metadata: narrow the range or name the metrics"
            )));
        }
        Ok(())
    }
}
