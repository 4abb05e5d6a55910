//! An open part: footers and page indexes of its files, shared by all scans over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use parquet::file::metadata::PageIndexPolicy;
use tokio::sync::OnceCell;

use emberkeep_model::{ExemplarRun, HistogramRun, Run, TenantId};

use super::family_cursor::FamilyCursor;
use super::metadata_cursor::MetadataCursor;
use super::metadata_pass::Asked;
use super::page_filter::PageFilters;
use super::part_file::PartFile;
use super::row_window::RowFile;
use super::scan::{PartScan, ScanQuery};
use super::series_metadata::SeriesMetadata;
use super::{PartInfo, TenantSummary};
use crate::catalog::{FileEntry, PartEntry};
use crate::{ArchiveError, FileKind};

/// A part that can be scanned any number of times; clones share what was read.
#[derive(Debug, Clone)]
pub struct PartReader {
    pub(super) files: Arc<OpenFiles>,
}

#[derive(Debug)]
pub(super) struct OpenFiles {
    pub(super) series: PartFile,
    /// None when the part has no such rows; likewise below.
    pub(super) samples: Option<RowFile>,
    pub(super) histograms: Option<RowFile>,
    exemplars: OnceCell<Option<RowFile>>,
    metadata: OnceCell<Option<PartFile>>,
    store: Arc<dyn ObjectStore>,
    entries: Vec<FileEntry>,
    part: i64,
    /// Which label values the pages of the series table have; only of a part that is kept open.
    pub(super) filters: Option<PageFilters>,
}

impl PartReader {
    /// Opens a part: one or two ranged reads for each file. Exemplars and metadata, which most queries do not ask for, are opened when
    /// they are.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store does not answer ([`ArchiveError::is_not_found`] when the part was removed
    /// meanwhile: refresh the catalog), [`ArchiveError::Corrupt`] and [`ArchiveError::NewerVersion`] name the file.
    pub async fn open(store: Arc<dyn ObjectStore>, entry: &PartEntry) -> Result<Self, ArchiveError> {
        let series = PartFile::open(
            Arc::clone(&store),
            entry.file(FileKind::Series)?,
            entry.part,
            PageIndexPolicy::Optional,
        );
        let rows = |kind| open_rows(Arc::clone(&store), entry.find(kind), entry.part);
        let (series, samples, histograms) =
            futures::try_join!(series, rows(FileKind::Samples), rows(FileKind::Histograms))?;
        Ok(Self {
            files: Arc::new(OpenFiles {
                series,
                samples: samples.map(RowFile::new::<Run>).transpose()?,
                histograms: histograms.map(RowFile::new::<HistogramRun>).transpose()?,
                exemplars: OnceCell::new(),
                metadata: OnceCell::new(),
                store,
                entries: entry.files.clone(),
                part: entry.part,
                filters: None,
            }),
        })
    }

    /// The same part, which remembers what is in its pages. Nothing else has it open yet.
    pub(super) fn with_filters(mut self, filters: PageFilters) -> Self {
        if let Some(files) = Arc::get_mut(&mut self.files) {
            files.filters = Some(filters);
        }
        self
    }

    /// Whether its files are encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        self.files.series.is_sealed()
    }

    /// Bytes that the footers and page indexes take in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let files = &*self.files;
        let rows = [files.samples.as_ref(), files.histograms.as_ref()];
        let exemplars = files.exemplars.get().and_then(Option::as_ref);
        let metadata = files.metadata.get().and_then(Option::as_ref);
        let rows = rows.into_iter().chain([exemplars]).flatten().map(|rows| &rows.file);
        let all = rows.chain(metadata).chain([&files.series]);
        all.map(|file| file.metadata().memory_size()).sum()
    }

    /// Begins a scan in label order. `window_rows` is how many rows of samples are fetched and kept at once (up to twice as many
    /// where a series is longer than that, so that pages are read once). It bounds what a scan holds between two calls: about
    /// 150 KB with labels of usual length, and 16 B for each row (24 B with start timestamps); of histograms and of exemplars, which
    /// are larger, 64 B for each row of the window, at least 128 KB, and an eighth more or one row, whichever is larger. A scan of everything
    /// holds one page of decoded samples, and up to 8 B for each row of the window of pages as they lie in the file.
    #[must_use]
    pub fn scan(&self, query: ScanQuery, window_rows: usize) -> PartScan {
        PartScan::new(Arc::clone(&self.files), query, window_rows)
    }

    /// The metadata of a tenant, of one family or all, in batches: by family, what was said of the family before what was said of its
    /// series, and those in label order. One read of the file and, for metadata of series, reads of the series table for each batch, of
    /// those pages that have its series.
    #[must_use]
    pub fn metadata(&self, tenant: &TenantId, family: Option<&str>) -> MetadataCursor {
        MetadataCursor::new(Arc::clone(&self.files), tenant.clone(), Asked::family(family))
    }

    /// As [`Self::metadata`], without the labels of series; the series table is not read.
    #[must_use]
    pub fn families(&self, tenant: &TenantId, family: Option<&str>) -> FamilyCursor {
        FamilyCursor::new(Arc::clone(&self.files), tenant.clone(), Asked::family(family))
    }

    /// What was said of families alone, not of their series.
    #[must_use]
    pub fn families_alone(&self, tenant: &TenantId) -> FamilyCursor {
        FamilyCursor::new(Arc::clone(&self.files), tenant.clone(), Asked::Families)
    }

    /// The metadata of series, looked up in the order of the series table.
    #[must_use]
    pub fn series_metadata(&self, tenant: &TenantId) -> SeriesMetadata {
        SeriesMetadata::new(Arc::clone(&self.files), tenant.clone())
    }

    /// Where the part comes from, as its series table says.
    #[must_use]
    pub fn info(&self) -> &PartInfo {
        self.files.series.info()
    }

    /// What each tenant has in it, as the footer of its series table says; none before version 3.
    #[must_use]
    pub fn tenants(&self) -> Option<&BTreeMap<String, TenantSummary>> {
        self.files.series.tenants()
    }
}

impl OpenFiles {
    /// The file of exemplars, opened by the first who asks.
    pub(super) async fn exemplars(&self) -> Result<Option<&RowFile>, ArchiveError> {
        let open = async || {
            let file = open_rows(Arc::clone(&self.store), self.entry(FileKind::Exemplars), self.part).await?;
            file.map(RowFile::new::<ExemplarRun>).transpose()
        };
        Ok(self.exemplars.get_or_try_init(open).await?.as_ref())
    }

    /// The file of metadata, opened by the first who asks.
    pub(super) async fn metadata(&self) -> Result<Option<&PartFile>, ArchiveError> {
        let open = async || match self.entry(FileKind::Metadata) {
            Some(entry) => {
                let store = Arc::clone(&self.store);
                let file = PartFile::open(store, entry, self.part, PageIndexPolicy::Optional);
                Ok(Some(file.await?))
            }
            None => Ok(None),
        };
        Ok(self.metadata.get_or_try_init(open).await?.as_ref())
    }

    /// Number of rows of a kind; an open file has as many as its entry says.
    pub(super) fn rows(&self, kind: FileKind) -> u64 {
        self.entry(kind).map_or(0, |entry| entry.rows)
    }

    fn entry(&self, kind: FileKind) -> Option<&FileEntry> {
        self.entries.iter().find(|entry| entry.kind == kind)
    }
}

/// Opens a file whose rows are found by number, when there is one. Values are never searched for, so statistics of its pages would only
/// take memory.
async fn open_rows(
    store: Arc<dyn ObjectStore>,
    entry: Option<&FileEntry>,
    part: i64,
) -> Result<Option<PartFile>, ArchiveError> {
    match entry {
        Some(entry) => PartFile::open(store, entry, part, PageIndexPolicy::Skip)
            .await
            .map(Some),
        None => Ok(None),
    }
}
