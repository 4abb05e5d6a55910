//! Metadata entry by entry, that of single series with their labels, in order and each once.
//!
//! Families are few, series are not: millions of them may each have said what they are. So memory is bounded by passes. Each
//! pass reads all there is and keeps the first entries in order that fit; the next one goes on behind them. One pass is the
//! usual number. It must never give an entry before it has seen all that was said of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use emberkeep_archive::{ObjectStore, PartEntry, PartReader};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, Metadata, MetadataEntry, TenantId};
use futures::{StreamExt, TryStreamExt};

use super::hidden_metadata::MetadataMasks;
use super::{OPENINGS_AT_ONCE, Query, Seen, prune};
use crate::ReaderError;
use crate::sources::Look;

/// Bytes of entries that one pass keeps.
const BYTES_MAX: usize = 128 << 20;
/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 192;

/// What was said, and of what. In the order of the export: of the family itself first, then of its series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    /// The family, for a series its metric name.
    pub(crate) family: String,
    /// The series, when it was said of one.
    pub(crate) series: Option<Labels>,
    /// What.
    pub(crate) metadata: Metadata,
}

impl Said {
    fn bytes(&self) -> usize {
        let labels = self.series.as_ref().map_or(0, |series| series.as_bytes().len());
        ENTRY_BYTES + self.family.len() + labels + self.metadata.unit.len() + self.metadata.help.len()
    }
}

/// The entries of a look that `accept` accepts, pass by pass.
pub(crate) struct MetadataPasses<'a> {
    store: &'a Arc<dyn ObjectStore>,
    look: &'a Look,
    tenant: &'a TenantId,
    parts: Vec<Arc<PartEntry>>,
    accept: &'a (dyn Fn(&MetadataEntry) -> bool + Sync),
    masks: MetadataMasks,
    /// Where the next pass begins; none when there is no further one.
    next: Option<Pass>,
}

impl<'a> MetadataPasses<'a> {
    /// The metadata of the parts that may have some of the tenant for the range, and of the heads. The look is one at metadata.
    ///
    /// # Errors
    /// When a mask cannot be applied.
    pub(crate) fn new(
        store: &'a Arc<dyn ObjectStore>,
        look: &'a Look,
        query: &'a Query,
        accept: &'a (dyn Fn(&MetadataEntry) -> bool + Sync),
    ) -> Result<Self, ReaderError> {
        Ok(Self {
            masks: MetadataMasks::of(&look.view.masks, &query.tenant)?,
            store,
            look,
            tenant: &query.tenant,
            parts: prune(&look.view.parts, &query.tenant, query.range, HeadKinds::Metadata),
            accept,
            next: Some(Pass::first(BYTES_MAX)),
        })
    }

    /// The next entries, behind all that were given before; none at the end.
    ///
    /// # Errors
    /// When a part cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<BTreeMap<Said, Seen>>, ReaderError> {
        let Some(mut pass) = self.next.take() else {
            return Ok(None);
        };
        for entry in self.look.heads.iter().flat_map(|answer| &answer.metadata) {
            if (self.accept)(entry) && !self.masks.hides(entry) {
                pass.add(entry);
            }
        }
        let pass = Mutex::new(pass);
        let parts = futures::stream::iter(self.parts.iter().map(|part| self.read(part, &pass)));
        parts
            .buffer_unordered(OPENINGS_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        let (entries, next) = pass.into_inner().unwrap_or_else(PoisonError::into_inner).end();
        self.next = next;
        Ok(Some(entries))
    }

    async fn read(&self, part: &PartEntry, pass: &Mutex<Pass>) -> Result<(), ReaderError> {
        let reader = PartReader::open(Arc::clone(self.store), part).await?;
        let masks = self.masks.above(part.masks);
        let mut entries = reader.metadata(self.tenant, None);
        while let Some(batch) = entries.next().await? {
            let mut pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in batch.iter().filter(|entry| (self.accept)(entry) && !masks.hides(entry)) {
                pass.add(entry);
            }
        }
        Ok(())
    }
}

/// One look at everything, that keeps what comes next in order and fits.
#[derive(Debug)]
struct Pass {
    /// The first entry that was not given yet; none before the first.
    from: Option<Said>,
    /// The first entry that did not fit.
    until: Option<Said>,
    kept: BTreeMap<Said, Seen>,
    bytes: usize,
    bytes_max: usize,
}

impl Pass {
    fn first(bytes_max: usize) -> Self {
        Self {
            from: None,
            until: None,
            kept: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    fn add(&mut self, entry: &MetadataEntry) {
        let said = Said {
            family: entry.family.clone(),
            series: entry.series.clone(),
            metadata: entry.seen.metadata.clone(),
        };
        let is_given = self.from.as_ref().is_some_and(|from| said < *from);
        if is_given || self.until.as_ref().is_some_and(|until| said >= *until) {
            return;
        }
        let (first, last) = (entry.seen.first_seen, entry.seen.last_seen);
        match self.kept.entry(said) {
            Entry::Occupied(mut known) => {
                let seen = known.get_mut();
                seen.first = seen.first.min(first);
                seen.last = seen.last.max(last);
            }
            Entry::Vacant(free) => {
                self.bytes += free.key().bytes();
                free.insert(Seen { first, last });
            }
        }
        // The least entry always stays, whatever its size, or the next pass would begin where this one did.
        while self.bytes > self.bytes_max
            && self.kept.len() > 1
            && let Some((dropped, _)) = self.kept.pop_last()
        {
            self.bytes -= dropped.bytes();
            self.until = Some(dropped);
        }
    }

    /// What was kept, and the pass that goes on behind it when there is more.
    fn end(self) -> (BTreeMap<Said, Seen>, Option<Self>) {
        let next = self.until.map(|until| Self {
            from: Some(until),
            ..Self::first(self.bytes_max)
        });
        (self.kept, next)
    }
}

#[cfg(test)]
mod tests;
