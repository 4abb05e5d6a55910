//! One input on its way through the series of a tenant.

use emberkeep_archive::{LabelTranslation, PartScan, ScanKinds, ScanQuery, SeriesMetadata};
use emberkeep_model::{SeenMetadata, SeriesRuns, TenantId, TimeRange};

use super::MergeError;
use super::inputs::Input;

/// An input that stands at a series.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    input: &'a Input,
    scan: PartScan,
    metadata: SeriesMetadata,
    translation: LabelTranslation,
}

impl<'a> Cursor<'a> {
    /// Stands at the first series; none when there is no series.
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
        let is_there = scan.advance().await.map_err(|error| input.error(error))?;
        Ok(is_there.then(|| Self {
            input,
            scan,
            metadata: input.reader.series_metadata(tenant),
            translation: LabelTranslation::default(),
        }))
    }

    /// Canonical bytes of the labels of the series.
    pub(super) fn labels(&mut self) -> &[u8] {
        self.scan.labels()
    }

    /// The same, when they were asked for since it stands there.
    pub(super) fn shown_labels(&self) -> &[u8] {
        self.scan.shown_labels().unwrap_or_default()
    }

    /// Whether another cursor is known to stand at the same series; when it is not, the labels are to be compared.
    pub(super) fn is_at_same(&mut self, other: &Self) -> bool {
        self.scan.is_at_same(&other.scan, &mut self.translation)
    }

    /// The oldest time of the series in this input.
    pub(super) fn min_time(&self) -> i64 {
        self.scan.min_time()
    }

    /// Appends all of the series and goes on to the next; false when there is no further one.
    pub(super) async fn take(
        &mut self,
        runs: &mut SeriesRuns,
        seen: &mut Vec<SeenMetadata>,
    ) -> Result<bool, MergeError> {
        let failed = |error| self.input.error(error);
        self.scan.take_rows(runs).await.map_err(failed)?;
        self.metadata.at(self.scan.row(), seen).await.map_err(failed)?;
        self.scan.advance().await.map_err(failed)
    }
}
