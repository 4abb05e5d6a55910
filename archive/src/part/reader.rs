//! An open part: footers and page indexes of its files, shared by all scans over it.

use std::sync::Arc;

use object_store::ObjectStore;
use parquet::file::metadata::PageIndexPolicy;

use super::metadata::PartFile;
use super::sample_groups::SampleGroups;
use super::scan::{PartScan, ScanQuery};
use crate::catalog::PartEntry;
use crate::{ArchiveError, FileKind};

/// A part that can be scanned any number of times; clones share what was read.
#[derive(Debug, Clone)]
pub struct PartReader {
    pub(super) files: Arc<OpenFiles>,
}

#[derive(Debug)]
pub(super) struct OpenFiles {
    pub(super) samples: PartFile,
    pub(super) series: PartFile,
    pub(super) groups: SampleGroups,
}

impl PartReader {
    /// Opens a part: one or two ranged reads for each file.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store does not answer ([`ArchiveError::is_not_found`] when the part was removed
    /// meanwhile: refresh the catalog), [`ArchiveError::Corrupt`] and [`ArchiveError::NewerVersion`] name the file.
    pub async fn open(store: Arc<dyn ObjectStore>, entry: &PartEntry) -> Result<Self, ArchiveError> {
        let open = |kind, policy| {
            let store = Arc::clone(&store);
            async move { PartFile::open(store, entry.file(kind)?, entry.part, policy).await }
        };
        // Values are never searched for, so statistics of sample pages would only take memory.
        let samples = open(FileKind::Samples, PageIndexPolicy::Skip);
        let series = open(FileKind::Series, PageIndexPolicy::Optional);
        let (samples, series) = futures::try_join!(samples, series)?;
        let groups = SampleGroups::new(&samples)?;
        Ok(Self {
            files: Arc::new(OpenFiles {
                samples,
                series,
                groups,
            }),
        })
    }

    /// Bytes that the footers and page indexes take in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.files.samples.metadata().memory_size() + self.files.series.metadata().memory_size()
    }

    /// Begins a scan in label order. `window_rows` is how many rows of samples are fetched and kept at once (up to twice as many
    /// where a series is longer than that, so that pages are read once). It bounds what a scan holds between two calls: about
    /// 150 KB with labels of usual length, and 16 B for each row (24 B with start timestamps).
    #[must_use]
    pub fn scan(&self, query: ScanQuery, window_rows: usize) -> PartScan {
        PartScan::new(Arc::clone(&self.files), query, window_rows)
    }
}
