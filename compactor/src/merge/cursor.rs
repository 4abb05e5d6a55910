//! One input on its way through the series of a tenant.

use std::ops::Range;

use emberkeep_archive::{LabelTranslation, PartScan, ScanKinds, ScanQuery, SeriesMetadata};
use emberkeep_model::{Run, SeenMetadata, SeriesRuns, TenantId, TimeRange};

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

    /// How many series lie ready from this one on, as [`PartScan::ready`].
    pub(super) fn ready(&self, most: usize, most_rows: u64) -> usize {
        self.scan.ready(most, most_rows)
    }

    /// How many of them are the same as those of a cursor that stands at the same one, where both have so many.
    pub(super) fn same_ready(&mut self, other: &Self, most: usize) -> usize {
        self.scan.same_ready(&other.scan, &mut self.translation, most)
    }

    /// Appends the floats of so many series that lie ready, as [`PartScan::take_ready`].
    pub(super) async fn take_ready(
        &mut self,
        count: usize,
        out: &mut Run,
        ends: &mut Vec<usize>,
    ) -> Result<(), MergeError> {
        let taken = self.scan.take_ready(count, out, ends).await;
        taken.map_err(|error| self.input.error(error))
    }

    /// Goes on by so many series that lie ready.
    pub(super) fn pass(&mut self, count: usize) {
        self.scan.pass(count);
    }

    /// Goes on to the next series; false when there is no further one.
    pub(super) async fn advance(&mut self) -> Result<bool, MergeError> {
        self.scan.advance().await.map_err(|error| self.input.error(error))
    }

    /// Row in the series table of the series.
    pub(super) fn row(&self) -> u64 {
        self.scan.row()
    }

    /// Whether nothing was said of the series in these rows, as [`SeriesMetadata::is_silent`].
    pub(super) fn is_silent(&self, rows: Range<u64>) -> bool {
        self.metadata.is_silent(rows)
    }

    /// Appends what was said of the series in a row.
    pub(super) async fn metadata_at(&mut self, row: u64, seen: &mut Vec<SeenMetadata>) -> Result<(), MergeError> {
        let found = self.metadata.at(row, seen).await;
        found.map_err(|error| self.input.error(error))
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
        let taken = self.scan.take_rows(runs).await;
        taken.map_err(|error| self.input.error(error))?;
        self.metadata_at(self.scan.row(), seen).await?;
        self.advance().await
    }
}
