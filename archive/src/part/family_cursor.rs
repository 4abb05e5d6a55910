//! Reading the metadata of a part by family, batch by batch, whatever series it was said of.
//!
//! The series table is never read for it, so that a part with metadata of a million series costs one pass over a file.

use std::fmt;
use std::sync::Arc;

use emberkeep_model::{SeenMetadata, TenantId};

use super::metadata_pass::{Asked, MetadataPass};
use super::reader::OpenFiles;
use crate::ArchiveError;

/// What was said of a family or of one of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyMetadata {
    /// The metric family; of metadata of a series its metric name.
    pub family: String,
    /// What was said, and when.
    pub seen: SeenMetadata,
}

/// A read of families in progress.
pub struct FamilyCursor {
    pass: MetadataPass,
}

impl fmt::Debug for FamilyCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FamilyCursor")
            .field("tenant", &self.pass.tenant)
            .field("asked", &self.pass.asked)
            .finish_non_exhaustive()
    }
}

impl FamilyCursor {
    pub(super) fn new(files: Arc<OpenFiles>, tenant: TenantId, asked: Asked) -> Self {
        Self {
            pass: MetadataPass::new(files, tenant, asked),
        }
    }

    /// The next batch, never an empty one; `None` at the end. Families come in order, and a variant once for the family and once for
    /// each of its series; what follows on its equal in a batch is joined with it.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn next(&mut self) -> Result<Option<Vec<FamilyMetadata>>, ArchiveError> {
        let Some(rows) = self.pass.next().await? else {
            return Ok(None);
        };
        let mut found: Vec<FamilyMetadata> = Vec::new();
        for row in rows {
            match found.last_mut() {
                Some(last) if last.family == row.family && last.seen.metadata == row.seen.metadata => {
                    last.seen.first_seen = last.seen.first_seen.min(row.seen.first_seen);
                    last.seen.last_seen = last.seen.last_seen.max(row.seen.last_seen);
                }
                _ => found.push(FamilyMetadata {
                    family: row.family,
                    seen: row.seen,
                }),
            }
        }
        Ok(Some(found))
    }
}
