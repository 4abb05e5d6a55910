//! A scan over one part: the matching series of a tenant in label order, and their samples on demand.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use emberkeep_model::{ExemplarRun, HistogramRun, Labels, Matcher, Run, TenantId, TimeRange};

use super::part_file::{GroupRows, Pages};
use super::reader::OpenFiles;
use super::row_window::RowWindow;
use super::schema;
use super::series_batch::{RowsBatch, SeriesBatch};
use super::series_pages::windows;
use crate::digest::Digests;
use crate::{ArchiveError, FileKind};

/// One series is decoded for each so many rows of the window; as many as are in a part of a few minutes.
const ROWS_PER_SERIES: usize = 32;

/// Series that are decoded at once, at least.
const LEAST_SERIES: usize = 256;

/// Series that are decoded at once, at most.
const MOST_SERIES: usize = 2048;

/// The columns of the series table that a scan reads; those that version 1 did not have are left out there.
const COLUMNS: [&str; 10] = [
    schema::TENANT,
    schema::LABELS,
    schema::MIN_TIME,
    schema::MAX_TIME,
    schema::SAMPLES_ROW_START,
    schema::SAMPLES_ROW_COUNT,
    schema::HISTOGRAMS_ROW_START,
    schema::HISTOGRAMS_ROW_COUNT,
    schema::EXEMPLARS_ROW_START,
    schema::EXEMPLARS_ROW_COUNT,
];

/// What to look for in a part.
#[derive(Debug, Clone)]
pub struct ScanQuery {
    /// Whose data.
    pub tenant: TenantId,
    /// Which time.
    pub range: TimeRange,
    /// Which series; all must match.
    pub matchers: Arc<[Matcher]>,
    /// What is wanted of them.
    pub kinds: ScanKinds,
}

/// What a scan is for, and so which series it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKinds {
    /// Floats and histograms: series that have some, whose span overlaps the range.
    Samples,
    /// Exemplars: series that have some. Spans of series say nothing of them, so the range leaves no series out.
    Exemplars,
    /// All there is: every series, also those with metadata alone, and the range leaves none out.
    All,
    /// As [`ScanKinds::All`], with the digests that the part keeps of each series.
    AllWithDigests,
}

/// A series of a part that matches, and where its rows are. All ranges are empty for a series with nothing but metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRows {
    /// The series.
    pub labels: Labels,
    /// Its row in the series table, counted from 0.
    pub row: u64,
    /// Its rows in `samples`.
    pub samples: Range<u64>,
    /// Its rows in `histograms`.
    pub histograms: Range<u64>,
    /// Its rows in `exemplars`.
    pub exemplars: Range<u64>,
    /// Its oldest float or histogram in the part, milliseconds since 1970; without any its oldest exemplar, and without those, when
    /// its metadata was first seen.
    pub min_time: i64,
    /// Its newest float or histogram in the part, milliseconds since 1970; without any its newest exemplar, and without those, when
    /// its metadata was last seen.
    pub max_time: i64,
    /// Digests of its rows as the part has them, from level 1 and when they were asked for; else of nothing.
    pub digests: Digests,
}

/// A scan in progress. Call [`PartScan::next`] for the next series and [`PartScan::samples`] and its siblings for its rows, or not.
pub struct PartScan {
    files: Arc<OpenFiles>,
    query: ScanQuery,
    window_bytes: u64,
    /// Windows of the series table still to read; `None` before the first look at the page index.
    windows: Option<VecDeque<GroupRows>>,
    /// What is left of the window that was fetched, and its pages.
    window: GroupRows,
    pages: Pages,
    /// Series that are decoded at once, and so how far the scan looks ahead.
    slice_series: usize,
    queue: VecDeque<SeriesRows>,
    last: Option<Labels>,
    /// First rows that the next series may have.
    next_rows: NextRows,
    samples: RowWindow<Run>,
    histograms: RowWindow<HistogramRun>,
    exemplars: RowWindow<ExemplarRun>,
}

/// First rows that the next series may have, by kind.
#[derive(Debug, Default)]
struct NextRows {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

impl fmt::Debug for PartScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartScan")
            .field("files", &self.files)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

impl PartScan {
    pub(super) fn new(files: Arc<OpenFiles>, query: ScanQuery, window_rows: usize) -> Self {
        let window_bytes = (window_rows as u64).saturating_mul(8).clamp(16 << 10, 1 << 20);
        Self {
            files,
            query,
            window_bytes,
            windows: None,
            window: GroupRows {
                row_group: 0,
                row_count: 0,
                rows: Vec::new(),
            },
            pages: Pages::default(),
            slice_series: (window_rows / ROWS_PER_SERIES).clamp(LEAST_SERIES, MOST_SERIES),
            queue: VecDeque::new(),
            last: None,
            next_rows: NextRows::default(),
            samples: RowWindow::new(window_rows),
            histograms: RowWindow::new(window_rows),
            exemplars: RowWindow::new(window_rows),
        }
    }

    /// The next matching series that may have rows of the wanted kinds in the time range, in label order.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn next(&mut self) -> Result<Option<SeriesRows>, ArchiveError> {
        while self.queue.is_empty() {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(self.queue.pop_front())
    }

    /// Appends the samples of the rows of one series that lie in the time range. Rows must come in rising order over the whole
    /// scan; rows may be left out, and a long series may be read in pieces. The kinds are read independently of each other.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] for rows that were passed already; otherwise as
    /// [`PartReader::open`](super::PartReader::open).
    pub async fn samples(&mut self, rows: Range<u64>, range: TimeRange, out: &mut Run) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        let file = self
            .files
            .samples
            .as_ref()
            .ok_or_else(|| no_such_rows(&rows, FileKind::Samples))?;
        let upcoming = self.queue.iter().map(|series| series.samples.clone());
        let upcoming = upcoming.filter(|rows| !rows.is_empty());
        self.samples.read(file, rows, upcoming, range, out).await
    }

    /// Appends the histograms of the rows of one series, by the rules of [`PartScan::samples`].
    ///
    /// # Errors
    /// As [`PartScan::samples`].
    pub async fn histograms(
        &mut self,
        rows: Range<u64>,
        range: TimeRange,
        out: &mut HistogramRun,
    ) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        let file = self
            .files
            .histograms
            .as_ref()
            .ok_or_else(|| no_such_rows(&rows, FileKind::Histograms))?;
        let upcoming = self.queue.iter().map(|series| series.histograms.clone());
        let upcoming = upcoming.filter(|rows| !rows.is_empty());
        self.histograms.read(file, rows, upcoming, range, out).await
    }

    /// Appends the exemplars of the rows of one series, by the rules of [`PartScan::samples`].
    ///
    /// # Errors
    /// As [`PartScan::samples`].
    pub async fn exemplars(
        &mut self,
        rows: Range<u64>,
        range: TimeRange,
        out: &mut ExemplarRun,
    ) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        let files = Arc::clone(&self.files);
        let file = files
            .exemplars()
            .await?
            .ok_or_else(|| no_such_rows(&rows, FileKind::Exemplars))?;
        let upcoming = self.queue.iter().map(|series| series.exemplars.clone());
        let upcoming = upcoming.filter(|rows| !rows.is_empty());
        self.exemplars.read(file, rows, upcoming, range, out).await
    }

    /// Decodes one more slice of the series table into the queue; false when there is none.
    ///
    /// A window is fetched at once and decoded slice by slice, each to its end: a decoder that is kept holds a dictionary and a
    /// page for each column, which is more than the series of a slice take.
    async fn fill(&mut self) -> Result<bool, ArchiveError> {
        let files = Arc::clone(&self.files);
        let file = &files.series;
        let mut columns = file.known(&COLUMNS);
        if self.query.kinds == ScanKinds::AllWithDigests {
            columns.extend(file.known(&schema::DIGESTS));
        }
        let projection = file.projection(&columns);
        if self.windows.is_none() {
            self.windows = Some(windows(file, &self.query, self.window_bytes)?.into());
        }
        if self.window.rows.is_empty() {
            self.pages = Pages::default();
            let Some(window) = self.windows.as_mut().and_then(VecDeque::pop_front) else {
                return Ok(false);
            };
            self.pages = file.fetch_pages(&window, &projection).await?;
            self.window = window;
        }
        let slice = self.window.take(self.slice_series);
        let mut decoder = file.decode(&slice, &projection, self.slice_series, &self.pages)?;
        let mut numbers = file.numbers(&slice);
        while let Some(batch) = file.next_batch(&mut decoder)? {
            self.enqueue(&batch, &mut numbers)?;
        }
        Ok(true)
    }

    /// `numbers` are the rows of the batch and of those behind it, counted from the start of the file.
    fn enqueue(&mut self, batch: &RecordBatch, numbers: &mut impl Iterator<Item = u64>) -> Result<(), ArchiveError> {
        let files = &self.files;
        let file = &files.series;
        let table = SeriesBatch::new(batch, file.form());
        let table = table.ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
        for row in 0..batch.num_rows() {
            let number = numbers
                .next()
                .ok_or_else(|| file.corrupt("it has more rows than it says"))?;
            let (min_time, max_time) = (table.min_times.value(row), table.max_times.value(row));
            let has_rows = |rows: &RowsBatch<'_>| rows.row(row).is_none_or(|rows| !rows.is_empty());
            let is_wanted = match self.query.kinds {
                ScanKinds::Samples => {
                    self.query.range.overlaps(min_time, max_time)
                        && (has_rows(&table.samples) || has_rows(&table.histograms))
                }
                ScanKinds::Exemplars => has_rows(&table.exemplars),
                ScanKinds::All | ScanKinds::AllWithDigests => true,
            };
            if !table.is_of(row, &self.query.tenant) || !is_wanted {
                continue;
            }
            let matches = |matcher: &Matcher| matcher.matches(table.labels.value(row, matcher.name()));
            if !self.query.matchers.iter().all(matches) {
                continue;
            }
            let labels = table.labels.labels(row).map_err(|error| file.corrupt(error))?;
            if self.last.as_ref().is_some_and(|last| *last >= labels) {
                return Err(file.corrupt(format!("series {labels} is out of order")));
            }
            self.last = Some(labels.clone());
            let take = |rows: Option<Range<u64>>, next: &mut u64, kind: FileKind| {
                let is_possible = |rows: &Range<u64>| *next <= rows.start && rows.end <= files.rows(kind);
                let rows = rows.filter(is_possible).ok_or_else(|| {
                    let kind = kind.as_str();
                    file.corrupt(format!("series {labels} has impossible rows in `{kind}`"))
                })?;
                *next = rows.end;
                Ok(rows)
            };
            let digests = table.digests(row, file.day());
            let digests = digests.ok_or_else(|| file.corrupt(format!("series {labels} has impossible digests")))?;
            let next = &mut self.next_rows;
            let samples = take(table.samples.row(row), &mut next.samples, FileKind::Samples)?;
            let histograms = take(table.histograms.row(row), &mut next.histograms, FileKind::Histograms)?;
            let exemplars = take(table.exemplars.row(row), &mut next.exemplars, FileKind::Exemplars)?;
            self.queue.push_back(SeriesRows {
                labels,
                row: number,
                samples,
                histograms,
                exemplars,
                min_time,
                max_time,
                digests,
            });
        }
        Ok(())
    }
}

/// Rows that no series of this part has.
fn no_such_rows(rows: &Range<u64>, kind: FileKind) -> ArchiveError {
    ArchiveError::Invalid(format!("the part has no rows {rows:?} in `{}`", kind.as_str()))
}
