//! One pass over the metadata of a tenant in a part, before the labels of its series are known.
//!
//! Every read of metadata begins here; who needs labels looks them up for one batch at a time.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_model::{Metadata, TenantId};

use super::metadata_batch::{MetadataBatch, MetadataRow, SeriesPlace};
use super::part_file::{GroupRows, PartFile};
use super::reader::OpenFiles;
use super::{schema, series_pages};
use crate::ArchiveError;

/// Pages of the metadata file are joined up to so many bytes for one batch.
const BATCH_BYTES: u64 = 64 << 10;

/// Rows of one batch, at most.
pub(super) const BATCH_ROWS: usize = 4096;

/// The columns that are read.
const COLUMNS: [&str; 9] = [
    schema::TENANT,
    schema::FAMILY,
    schema::SERIES_ID,
    schema::SERIES_ROW,
    schema::TYPE,
    schema::UNIT,
    schema::HELP,
    schema::FIRST_SEEN,
    schema::LAST_SEEN,
];

/// Which rows of a tenant are read.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// All.
    All,
    /// Those of one family and of its series.
    Family(String),
    /// What was said of families, not of series.
    Families,
    /// What was said of the series in these rows of the series table.
    Series(Range<i64>),
}

impl Asked {
    /// All, or those of one family.
    pub(super) fn family(family: Option<&str>) -> Self {
        family.map_or(Self::All, |family| Self::Family(family.to_owned()))
    }

    fn is_asked(&self, table: &MetadataBatch<'_>, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Family(family) => table.families.value(row) == family,
            Self::Families => table.is_of_family(row),
            Self::Series(numbers) => table.is_of_series(row, numbers),
        }
    }
}

/// A pass in progress.
#[derive(Debug)]
pub(super) struct MetadataPass {
    pub(super) files: Arc<OpenFiles>,
    pub(super) tenant: TenantId,
    pub(super) asked: Asked,
    /// Windows of the file still to read; `None` before the first look at the page index.
    windows: Option<VecDeque<GroupRows>>,
    last: Option<Key>,
}

/// What the rows of a part are sorted by, all of it different.
type Key = (String, Option<SeriesPlace>, Metadata);

fn key(row: &MetadataRow) -> Key {
    (row.family.clone(), row.series, row.seen.metadata.clone())
}

impl MetadataPass {
    pub(super) fn new(files: Arc<OpenFiles>, tenant: TenantId, asked: Asked) -> Self {
        Self {
            files,
            tenant,
            asked,
            windows: None,
            last: None,
        }
    }

    /// The next rows of the tenant and family, at least one; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<MetadataRow>>, ArchiveError> {
        let files = Arc::clone(&self.files);
        let Some(file) = files.metadata().await? else {
            return Ok(None);
        };
        if self.windows.is_none() {
            self.windows = Some(self.windows(file)?);
        }
        while let Some(mut window) = self.windows.as_mut().and_then(VecDeque::pop_front) {
            let now = window.take(BATCH_ROWS);
            if let Some(windows) = self.windows.as_mut().filter(|_| !window.rows.is_empty()) {
                windows.push_front(window);
            }
            let rows = self.rows(file, &now).await?;
            if !rows.is_empty() {
                self.check_order(file, &rows)?;
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// Whoever merges parts relies on the order.
    fn check_order(&mut self, file: &PartFile, rows: &[MetadataRow]) -> Result<(), ArchiveError> {
        for row in rows {
            let now = key(row);
            if self.last.as_ref().is_some_and(|last| *last >= now) {
                return Err(file.corrupt(format!("metadata of `{}` is out of order", row.family)));
            }
            self.last = Some(now);
        }
        Ok(())
    }

    fn windows(&self, file: &PartFile) -> Result<VecDeque<GroupRows>, ArchiveError> {
        let leaf = file.leaf(schema::HELP)?;
        let may_match = |row_group: usize, rows: &Range<usize>| {
            if !series_pages::may_hold_tenant(file, row_group, rows, &self.tenant)? {
                return Ok(false);
            }
            match &self.asked {
                Asked::All | Asked::Families => Ok(true),
                Asked::Family(family) => series_pages::may_hold_text(file, row_group, schema::FAMILY, rows, family),
                Asked::Series(numbers) => {
                    series_pages::may_hold_number(file, row_group, schema::SERIES_ROW, rows, numbers)
                }
            }
        };
        Ok(series_pages::windows_of(file, leaf, BATCH_BYTES, may_match)?.into())
    }

    async fn rows(&self, file: &PartFile, window: &GroupRows) -> Result<Vec<MetadataRow>, ArchiveError> {
        let mut decoder = file
            .read(window, &file.projection(&file.known(&COLUMNS)), BATCH_ROWS)
            .await?;
        let mut rows = Vec::new();
        while let Some(batch) = file.next_batch(&mut decoder)? {
            let table = MetadataBatch::new(&batch, file.form())
                .ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
            for row in 0..batch.num_rows() {
                let family = table.families.value(row);
                if table.is_of(row, &self.tenant) && self.asked.is_asked(&table, row) {
                    let found = table.row(row);
                    rows.push(found.map_err(|what| file.corrupt(format!("family `{family}` has {what}")))?);
                }
            }
        }
        Ok(rows)
    }
}
