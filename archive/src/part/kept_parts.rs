//! Parts that stay open between queries: their footers and page indexes, and which label values their pages have.
//!
//! Parts never change, so what was read of one is true as long as it is. A bound holds for all of it together; the part that was asked
//! for longest ago goes first. Encrypted parts are not kept, because their key may be changed in place. Which parts are live is the
//! catalog's to say: a part that is kept and gone is asked for by nobody.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::ObjectStore;
use parking_lot::Mutex;
use ulid::Ulid;

use super::PartReader;
use super::page_filter::{KeptBytes, PageFilters};
use crate::ArchiveError;
use crate::catalog::PartEntry;

/// Open parts, up to a bound.
#[derive(Debug)]
pub struct KeptParts {
    bytes: Arc<KeptBytes>,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    parts: HashMap<Ulid, KeptPart>,
    /// Counts questions.
    now: u64,
}

#[derive(Debug)]
struct KeptPart {
    reader: PartReader,
    entry: PartEntry,
    asked_at: u64,
}

impl KeptParts {
    /// Keeps up to so many bytes of footers, page indexes and filters; with 0, nothing.
    #[must_use]
    pub fn new(most_bytes: usize) -> Self {
        Self {
            bytes: Arc::new(KeptBytes::new(most_bytes)),
            most_bytes,
            kept: Mutex::default(),
        }
    }

    /// Bytes that kept parts take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.used()
    }

    /// The part as it is kept, or opened now.
    ///
    /// # Errors
    /// As [`PartReader::open`].
    pub async fn open(&self, store: &Arc<dyn ObjectStore>, entry: &PartEntry) -> Result<PartReader, ArchiveError> {
        if let Some(reader) = self.find(entry) {
            return Ok(reader);
        }
        let reader = PartReader::open(Arc::clone(store), entry).await?;
        let bytes = reader.memory_bytes();
        if self.most_bytes == 0 || bytes > self.most_bytes / 2 || reader.is_sealed() {
            return Ok(reader);
        }
        let mut kept = self.kept.lock();
        let filters = loop {
            if let Some(filters) = PageFilters::new(&self.bytes, bytes) {
                break filters;
            }
            let oldest = kept.parts.iter().min_by_key(|(_, part)| part.asked_at);
            let Some(oldest) = oldest.map(|(&ulid, _)| ulid) else {
                return Ok(reader);
            };
            // Its memory comes back when nobody reads it any more.
            kept.parts.remove(&oldest);
        };
        let reader = reader.with_filters(filters);
        kept.now += 1;
        let part = KeptPart {
            reader: reader.clone(),
            entry: entry.clone(),
            asked_at: kept.now,
        };
        kept.parts.insert(entry.ulid, part);
        Ok(reader)
    }

    fn find(&self, entry: &PartEntry) -> Option<PartReader> {
        let mut kept = self.kept.lock();
        kept.now += 1;
        let now = kept.now;
        // Another entry under the same name is another file.
        let part = kept.parts.get_mut(&entry.ulid).filter(|part| part.entry == *entry)?;
        part.asked_at = now;
        Some(part.reader.clone())
    }
}
