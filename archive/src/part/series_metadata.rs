//! Metadata of series in the order of the series table. The file has them in the order of families.
//!
//! Who merges parts goes from series to series, and cannot hold the metadata of a million of them. So it is read for a stretch of series
//! at a time; where families come in the order of series, as nearly always, a stretch is a few pages of the file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_model::{SeenMetadata, TenantId};

use super::metadata_pass::{Asked, MetadataPass};
use super::reader::OpenFiles;
use crate::{ArchiveError, FileKind};

/// Series of which metadata is held at a time.
const STRETCH: i64 = 4096;

/// A read in progress, forward only.
pub struct SeriesMetadata {
    files: Arc<OpenFiles>,
    tenant: TenantId,
    /// Rows of the series table before this one are held or passed.
    end: i64,
    /// By row of the series table, the greatest first.
    held: Vec<(u64, SeenMetadata)>,
}

impl fmt::Debug for SeriesMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesMetadata")
            .field("tenant", &self.tenant)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl SeriesMetadata {
    pub(super) fn new(files: Arc<OpenFiles>, tenant: TenantId) -> Self {
        Self {
            files,
            tenant,
            end: 0,
            held: Vec::new(),
        }
    }

    /// Whether it is known, without reading, that nothing was said of the series in some rows of the series table, which come next.
    #[must_use]
    pub fn is_silent(&self, rows: Range<u64>) -> bool {
        let is_held = i64::try_from(rows.end).is_ok_and(|end| end <= self.end);
        let says_nothing = || self.held.last().is_none_or(|(row, _)| *row >= rows.end);
        self.files.rows(FileKind::Metadata) == 0 || (is_held && says_nothing())
    }

    /// Appends what was said of the series in a row of the series table. Rows must rise from call to call.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn at(&mut self, row: u64, out: &mut Vec<SeenMetadata>) -> Result<(), ArchiveError> {
        if self.files.rows(FileKind::Metadata) == 0 {
            return Ok(());
        }
        let number = i64::try_from(row).unwrap_or(i64::MAX);
        if number >= self.end {
            self.held.clear();
            self.end = number.saturating_add(STRETCH);
            let asked = Asked::Series(number..self.end);
            let mut pass = MetadataPass::new(Arc::clone(&self.files), self.tenant.clone(), asked);
            while let Some(rows) = pass.next().await? {
                let of_series = rows
                    .into_iter()
                    .filter_map(|found| Some((found.series?.row, found.seen)));
                self.held.extend(of_series);
            }
            self.held.sort_by_key(|(row, _)| std::cmp::Reverse(*row));
        }
        while let Some((held, seen)) = self.held.pop_if(|(held, _)| *held <= row) {
            // Rows between are series that nobody asked for.
            if held == row {
                out.push(seen);
            }
        }
        Ok(())
    }
}
