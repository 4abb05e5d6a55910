//! What reading rows of a kind needs to know of it: floats, histograms and exemplars are read by the same window.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;

use arrow::record_batch::RecordBatch;

use emberkeep_model::{ExemplarRun, HistogramRun, Run, TimeRange};

use super::pages_ahead::PagesAhead;
use super::part_file::PartFile;
use super::row_groups::RowGroup;
use super::sample_page::SamplePage;
use super::{exemplar_batch, histogram_batch, sample_batch, schema};
use crate::ArchiveError;

/// A page of rows, unpacked in order as far as they are taken. Must give what the rows decoded in batches are; wherever one of these says
/// `None`, the page has to be read so, and nothing was appended.
pub(super) trait RowPage: Debug + Default + Send {
    /// What its rows become.
    type Rows;

    /// Opens the page that has exactly these rows of its group.
    fn open(&mut self, file: &PartFile, ahead: &PagesAhead, rows: &Range<usize>) -> Option<()>;
    /// Passes over rows.
    fn skip(&mut self, count: usize) -> Option<()>;
    /// Appends those of the next rows that lie in the time range. Their times do not fall.
    fn take(&mut self, count: usize, range: TimeRange, out: &mut Self::Rows) -> Option<()>;
}

/// For kinds whose rows are only read in batches.
#[derive(Debug)]
pub(super) struct NoPage<K>(PhantomData<fn() -> K>);

impl<K> Default for NoPage<K> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K: Debug> RowPage for NoPage<K> {
    type Rows = K;

    fn open(&mut self, _file: &PartFile, _ahead: &PagesAhead, _rows: &Range<usize>) -> Option<()> {
        None
    }

    fn skip(&mut self, _count: usize) -> Option<()> {
        None
    }

    fn take(&mut self, _count: usize, _range: TimeRange, _out: &mut K) -> Option<()> {
        None
    }
}

/// Rows of one kind, decoded.
pub(super) trait RowKind: Debug + Default {
    /// The columns to read beside times.
    const COLUMNS: &[&str];
    /// A page that is unpacked row by row, for kinds of which that is faster.
    type Page: RowPage<Rows = Self>;
    /// Rows that are read at once, at least, unless they are large: opening a window costs as much as decoding about so many.
    const LEAST_ROWS: usize;

    /// Whether a page is decoded as a whole anyway, so that what follows the rows that were asked for is kept as far as there is room.
    const WHOLE_PAGES: bool = false;

    fn count(&self) -> usize;
    /// Bytes of the rows from `first` on, about.
    fn bytes_from(&self, first: usize) -> usize;
    /// Bytes held on the heap, memory of forgotten rows included.
    fn held_bytes(&self) -> usize;
    fn forget(&mut self);
    /// Fetches pages that [`Self::Page`] opens, by their numbers in the group; none for kinds and files of which those are not to be had.
    fn fetch_pages(
        _file: &PartFile,
        _row_group: usize,
        _group: &RowGroup,
        _pages: &[Range<usize>],
    ) -> impl Future<Output = Result<Option<PagesAhead>, ArchiveError>> + Send {
        std::future::ready(Ok(None))
    }
    /// Appends all rows of a batch, which may be of several series. `number` gives the row of the file for a row of the batch.
    fn decode(
        &mut self,
        file: &PartFile,
        batch: &RecordBatch,
        number: &dyn Fn(usize) -> u64,
    ) -> Result<(), ArchiveError>;
    /// Appends those rows of another that lie in the time range. Their times do not fall.
    fn append_range(&mut self, other: &Self, rows: Range<usize>, range: TimeRange);
}

impl RowKind for Run {
    const COLUMNS: &[&str] = &[schema::UNSCALED, schema::SCALE, schema::RAW_VALUE];
    type Page = SamplePage;
    const LEAST_ROWS: usize = 256;
    const WHOLE_PAGES: bool = true;

    fn count(&self) -> usize {
        self.len()
    }

    fn bytes_from(&self, first: usize) -> usize {
        24 * (self.len() - first)
    }

    fn held_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn forget(&mut self) {
        self.clear();
    }

    fn decode(
        &mut self,
        file: &PartFile,
        batch: &RecordBatch,
        _number: &dyn Fn(usize) -> u64,
    ) -> Result<(), ArchiveError> {
        sample_batch::decode(file, batch, self)
    }

    async fn fetch_pages(
        file: &PartFile,
        row_group: usize,
        group: &RowGroup,
        pages: &[Range<usize>],
    ) -> Result<Option<PagesAhead>, ArchiveError> {
        PagesAhead::fetch(file, row_group, group, pages).await
    }

    fn append_range(&mut self, other: &Self, rows: Range<usize>, range: TimeRange) {
        self.append_rows(other, inside(&other.timestamps, rows, range, |&time| time));
    }
}

impl RowKind for HistogramRun {
    const COLUMNS: &[&str] = &histogram_batch::COLUMNS;
    type Page = NoPage<Self>;
    const LEAST_ROWS: usize = 64;

    fn count(&self) -> usize {
        self.len()
    }

    fn bytes_from(&self, first: usize) -> usize {
        (first..self.len()).map(|i| 24 + self.row(i).canonical.len()).sum()
    }

    fn held_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn forget(&mut self) {
        self.clear();
    }

    fn decode(
        &mut self,
        file: &PartFile,
        batch: &RecordBatch,
        number: &dyn Fn(usize) -> u64,
    ) -> Result<(), ArchiveError> {
        histogram_batch::decode(file, batch, number, self)
    }

    fn append_range(&mut self, other: &Self, rows: Range<usize>, range: TimeRange) {
        self.append(other, inside(other.timestamps(), rows, range, |&time| time));
    }
}

impl RowKind for ExemplarRun {
    const COLUMNS: &[&str] = &[schema::VALUE, schema::LABELS];
    type Page = NoPage<Self>;
    const LEAST_ROWS: usize = 64;

    fn count(&self) -> usize {
        self.len()
    }

    fn bytes_from(&self, first: usize) -> usize {
        let rows = &self.as_slice()[first..];
        rows.iter()
            .map(|row| size_of_val(row) + row.labels.as_bytes().len())
            .sum()
    }

    fn held_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn forget(&mut self) {
        self.clear();
    }

    fn decode(
        &mut self,
        file: &PartFile,
        batch: &RecordBatch,
        _number: &dyn Fn(usize) -> u64,
    ) -> Result<(), ArchiveError> {
        exemplar_batch::decode(file, batch, self)
    }

    fn append_range(&mut self, other: &Self, rows: Range<usize>, range: TimeRange) {
        let rows = inside(other.as_slice(), rows, range, |exemplar| exemplar.timestamp);
        for exemplar in &other.as_slice()[rows] {
            self.push(exemplar.clone());
        }
    }
}

/// Those of the rows whose times, which do not fall, lie in the range.
fn inside<T>(all: &[T], rows: Range<usize>, range: TimeRange, time: impl Fn(&T) -> i64) -> Range<usize> {
    if range == TimeRange::ALL {
        return rows;
    }
    let of_series = &all[rows.clone()];
    let first = of_series.partition_point(|row| time(row) < range.start);
    let count = of_series[first..].partition_point(|row| time(row) < range.end);
    rows.start + first..rows.start + first + count
}
