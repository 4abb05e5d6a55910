//! One input on its way through the series of a tenant.

use emberkeep_archive::{PartScan, ScanKinds, ScanQuery, SeriesMetadata, SeriesRows};
use emberkeep_model::{SeenMetadata, SeriesRuns, TenantId, TimeRange};

use super::MergeError;
use super::inputs::Input;

/// The next series of an input, and how its rows are read.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    input: &'a Input,
    scan: PartScan,
    metadata: SeriesMetadata,
    /// The series that comes next.
    pub(super) head: SeriesRows,
}

impl<'a> Cursor<'a> {
    /// Stands before the first series; none when there is no series.
    pub(super) async fn open(
        input: &'a Input,
        tenant: &TenantId,
        window_rows: usize,
    ) -> Result<Option<Self>, MergeError> {
        let query = ScanQuery {
            tenant: tenant.clone(),
            range: TimeRange::ALL,
            matchers: [].into(),
            kinds: ScanKinds::All,
        };
        let mut scan = input.reader.scan(query, window_rows);
        let head = scan.next().await.map_err(|error| input.error(error))?;
        Ok(head.map(|head| Self {
            input,
            scan,
            metadata: input.reader.series_metadata(tenant),
            head,
        }))
    }

    /// Appends all of the next series and goes on; false when there is no further one.
    pub(super) async fn take(
        &mut self,
        runs: &mut SeriesRuns,
        seen: &mut Vec<SeenMetadata>,
    ) -> Result<bool, MergeError> {
        let failed = |error| self.input.error(error);
        let (head, all) = (&self.head, TimeRange::ALL);
        let floats = self.scan.samples(head.samples.clone(), all, &mut runs.samples);
        floats.await.map_err(failed)?;
        let histograms = head.histograms.clone();
        if !histograms.is_empty() {
            let read = self.scan.histograms(histograms, all, &mut runs.histograms);
            read.await.map_err(failed)?;
        }
        let exemplars = head.exemplars.clone();
        if !exemplars.is_empty() {
            let read = self.scan.exemplars(exemplars, all, &mut runs.exemplars);
            read.await.map_err(failed)?;
        }
        self.metadata.at(head.row, seen).await.map_err(failed)?;
        match self.scan.next().await.map_err(failed)? {
            Some(next) => {
                self.head = next;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
