//! Reading the metadata of a part, batch by batch.
//!
//! Metadata of series names them by their ids; their labels come out of the series table, of those pages only that hold metrics of the
//! batch. What is held at a time is one batch with its labels, whatever the part holds.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use emberkeep_model::{Labels, Metadata, MetadataEntry, TenantId};

use super::label_batch::LabelBatch;
use super::metadata_batch::{MetadataBatch, MetadataRow};
use super::part_file::{GroupRows, PartFile};
use super::reader::OpenFiles;
use super::{schema, series_pages};
use crate::ArchiveError;

/// Pages of the metadata file are joined up to so many bytes for one batch.
const BATCH_BYTES: u64 = 64 << 10;

/// Rows of one batch, at most.
const BATCH_ROWS: usize = 4096;

/// Pages of the series table are joined up to so many bytes.
const SERIES_BYTES: u64 = 256 << 10;

/// Series that are decoded at once.
const SERIES_ROWS: usize = 1024;

/// A read of metadata in progress.
pub struct MetadataCursor {
    files: Arc<OpenFiles>,
    tenant: TenantId,
    family: Option<String>,
    /// Windows of the file still to read; `None` before the first look at the page index.
    windows: Option<VecDeque<GroupRows>>,
    last: Option<MetadataEntry>,
}

impl fmt::Debug for MetadataCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataCursor")
            .field("tenant", &self.tenant)
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

/// What the rows of a part are sorted by, all of it different.
fn key(entry: &MetadataEntry) -> (&str, Option<&Labels>, &Metadata) {
    (&entry.family, entry.series.as_ref(), &entry.seen.metadata)
}

impl MetadataCursor {
    pub(super) fn new(files: Arc<OpenFiles>, tenant: TenantId, family: Option<String>) -> Self {
        Self {
            files,
            tenant,
            family,
            windows: None,
            last: None,
        }
    }

    /// The next batch, never an empty one; `None` at the end. Equal variants of one family or series come once in a part.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn next(&mut self) -> Result<Option<Vec<MetadataEntry>>, ArchiveError> {
        let files = Arc::clone(&self.files);
        let Some(file) = files.metadata().await? else {
            return Ok(None);
        };
        if self.windows.is_none() {
            self.windows = Some(self.windows(file)?);
        }
        while let Some(mut window) = self.windows.as_mut().and_then(VecDeque::pop_front) {
            let now = window.take(BATCH_ROWS);
            if !window.rows.is_empty() {
                self.windows.as_mut().expect("made above").push_front(window);
            }
            let rows = self.rows(file, &now).await?;
            if !rows.is_empty() {
                let batch = self.resolve(rows).await?;
                self.check_order(file, &batch)?;
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Whoever merges parts relies on the order.
    fn check_order(&mut self, file: &PartFile, batch: &[MetadataEntry]) -> Result<(), ArchiveError> {
        for (before, entry) in self
            .last
            .iter()
            .chain(batch)
            .zip(batch.iter().skip(usize::from(self.last.is_none())))
        {
            if key(before) >= key(entry) {
                return Err(file.corrupt(format!("metadata of `{}` is out of order", entry.family)));
            }
        }
        self.last = batch.last().cloned();
        Ok(())
    }

    fn windows(&self, file: &PartFile) -> Result<VecDeque<GroupRows>, ArchiveError> {
        let leaf = file.leaf(schema::HELP)?;
        let may_match = |row_group: usize, rows: &Range<usize>| {
            let tenant = self.tenant.as_str();
            let family = self.family.as_deref();
            Ok(
                series_pages::may_hold_text(file, row_group, schema::TENANT, rows, tenant, tenant)?
                    && match family {
                        Some(family) => {
                            series_pages::may_hold_text(file, row_group, schema::FAMILY, rows, family, family)?
                        }
                        None => true,
                    },
            )
        };
        Ok(series_pages::windows_of(file, leaf, BATCH_BYTES, may_match)?.into())
    }

    async fn rows(&self, file: &PartFile, window: &GroupRows) -> Result<Vec<MetadataRow>, ArchiveError> {
        let columns = [
            schema::TENANT,
            schema::FAMILY,
            schema::SERIES_ID,
            schema::TYPE,
            schema::UNIT,
            schema::HELP,
            schema::FIRST_SEEN,
            schema::LAST_SEEN,
        ];
        let mut decoder = file.read(window, &file.projection(&columns), BATCH_ROWS).await?;
        let mut rows = Vec::new();
        while let Some(batch) = file.next_batch(&mut decoder)? {
            let table = MetadataBatch::new(&batch)
                .ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
            for row in 0..batch.num_rows() {
                let family = table.families.value(row);
                let is_asked = self.family.as_ref().is_none_or(|asked| asked == family);
                if table.tenants.value(row) == self.tenant.as_str() && is_asked {
                    rows.push(table.row(row).ok_or_else(|| {
                        let metric_type = table.types.value(row);
                        file.corrupt(format!("family `{family}` has the unknown type `{metric_type}`"))
                    })?);
                }
            }
        }
        Ok(rows)
    }

    /// Finds the series of the rows. Metadata of a series stands under its metric name.
    async fn resolve(&self, rows: Vec<MetadataRow>) -> Result<Vec<MetadataEntry>, ArchiveError> {
        let of_series = || rows.iter().filter(|row| row.series.is_some());
        let mut labels: HashMap<i64, Option<Labels>> = of_series().map(|row| (row.series.unwrap_or(0), None)).collect();
        let least = of_series().map(|row| row.family.as_str()).min();
        let greatest = of_series().map(|row| row.family.as_str()).max();
        if let (Some(least), Some(greatest)) = (least, greatest) {
            self.find_labels(least, greatest, &mut labels).await?;
        }
        let entry = |row: MetadataRow| {
            let series = match row.series {
                Some(id) => {
                    let found = labels.get(&id).cloned().flatten();
                    let unknown = || {
                        self.files
                            .series
                            .corrupt(format!("it has no series {id}, which has metadata"))
                    };
                    Some(found.ok_or_else(unknown)?)
                }
                None => None,
            };
            Ok(MetadataEntry {
                family: row.family,
                series,
                seen: row.seen,
            })
        };
        rows.into_iter().map(entry).collect()
    }

    async fn find_labels(
        &self,
        least: &str,
        greatest: &str,
        labels: &mut HashMap<i64, Option<Labels>>,
    ) -> Result<(), ArchiveError> {
        let file = &self.files.series;
        let tenant = self.tenant.as_str();
        let leaf = file.leaf(&format!("{}.key_value.value", schema::LABELS))?;
        let may_match = |row_group: usize, rows: &Range<usize>| {
            Ok(
                series_pages::may_hold_text(file, row_group, schema::TENANT, rows, tenant, tenant)?
                    && series_pages::may_hold_text(file, row_group, schema::METRIC_NAME, rows, least, greatest)?,
            )
        };
        let mut missing = labels.len();
        let projection = file.projection(&[schema::SERIES_ID, schema::LABELS]);
        for window in series_pages::windows_of(file, leaf, SERIES_BYTES, may_match)? {
            let mut decoder = file.read(&window, &projection, SERIES_ROWS).await?;
            while let Some(batch) = file.next_batch(&mut decoder)? {
                let ids = batch
                    .column_by_name(schema::SERIES_ID)
                    .and_then(|ids| ids.as_primitive_opt::<Int64Type>());
                let table = LabelBatch::new(&batch);
                let (Some(ids), Some(table)) = (ids, table) else {
                    return Err(file.corrupt("a column has another type than the footer says"));
                };
                for row in 0..batch.num_rows() {
                    let Some(found @ None) = labels.get_mut(&ids.value(row)) else {
                        continue;
                    };
                    *found = Some(table.labels(row).map_err(|error| file.corrupt(error))?);
                    missing -= 1;
                }
            }
            if missing == 0 {
                break;
            }
        }
        Ok(())
    }
}
