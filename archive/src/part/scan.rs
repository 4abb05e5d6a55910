//! A scan over one part: the matching series of a tenant in label order, and their samples on demand.

mod filling;
mod ready;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_model::{ExemplarRun, HistogramRun, Labels, Matcher, Run, SeriesRuns, TenantId, TimeRange};

use super::found_series::{NextRows, Place};
use super::label_translation::LabelTranslation;
use super::needles::Needles;
use super::part_file::{GroupRows, Pages};
use super::reader::OpenFiles;
use super::row_window::RowWindow;
use super::rows_ahead::Behind;
use super::scan_ahead::{Ahead, AheadBytes, Reading};
use super::series_slice::{Dictionaries, Labelling, SeriesLeaves, SeriesSlice};
use crate::digest::Digests;
use crate::{ArchiveError, FileKind};

/// One series is decoded for each so many rows of the window; as many as are in a part of a few minutes.
const ROWS_PER_SERIES: usize = 32;

/// Series that are decoded at once, at least.
const LEAST_SERIES: usize = 256;

/// Series that are decoded at once, at most.
const MOST_SERIES: usize = 2048;

/// Series that are looked for ahead where few of a page match, so that the pages of their rows are fetched together.
const SERIES_AHEAD: usize = 128;

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
    /// Rows of the queue, and of the series that was given last.
    slice: SeriesSlice,
    /// Whether pages are read by [`SeriesSlice::read_page`]; none when the file has to be read by the parquet crate.
    leaves: Option<SeriesLeaves>,
    labelling: Labelling,
    dictionaries: Dictionaries,
    needles: Needles,
    queue: VecDeque<Place>,
    /// The series that was given last.
    current: Option<Place>,
    /// Labels of the last series of the slice before.
    last: Option<Vec<u8>>,
    /// First rows that the next series may have.
    next_rows: NextRows,
    samples: RowWindow<Run>,
    histograms: RowWindow<HistogramRun>,
    exemplars: RowWindow<ExemplarRun>,
    /// None when nothing is fetched before it is asked for.
    ahead: Option<Ahead>,
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
        let (labelling, samples) = match query.kinds {
            // Whoever reads everything needs all rows once, and the labels of a series only when they are not those of a sibling.
            ScanKinds::All | ScanKinds::AllWithDigests if query.matchers.is_empty() => {
                (Labelling::Lazy, RowWindow::of_all_rows(window_rows))
            }
            _ => (Labelling::Eager, RowWindow::new(window_rows)),
        };
        let needles = Needles::of(&query.matchers);
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
            slice: SeriesSlice::default(),
            leaves: None,
            labelling,
            dictionaries: Dictionaries::default(),
            needles,
            queue: VecDeque::new(),
            current: None,
            last: None,
            next_rows: NextRows::default(),
            samples,
            histograms: RowWindow::new(window_rows),
            exemplars: RowWindow::new(window_rows),
            ahead: None,
        }
    }

    /// Fetches before it is asked: windows of the series table, and rows of series of which somebody said that they will be read. For who reads
    /// what matches, in order; not for scans of everything, which fetch much at once as it is.
    #[must_use]
    pub fn with_read_ahead(mut self, most: AheadBytes) -> Self {
        self.ahead = Some(Ahead::new(&self.files, most, self.window_bytes));
        self
    }

    /// Says that rows of the series will be read; without it nothing of them is fetched before they are.
    pub fn expect_rows(&mut self) {
        if let Some(ahead) = &mut self.ahead {
            ahead.reading = Reading::Rows;
            self.prepare();
        }
    }

    /// Begins to fetch the rows of the series that wait.
    fn prepare(&mut self) {
        let Some(ahead) = self.ahead.as_ref().filter(|ahead| ahead.reading == Reading::Rows) else {
            return;
        };
        let is_last = self.window.rows.is_empty()
            && self.windows.as_ref().is_some_and(VecDeque::is_empty)
            && ahead.table.is_empty();
        let behind = match is_last {
            true => Behind::Nothing,
            false => Behind::Unknown,
        };
        let places = || self.current.iter().chain(&self.queue);
        if let Some(file) = &ahead.samples {
            let rows = places().map(|place| place.samples.clone());
            self.samples.prepare(file, rows, behind);
        }
        if let Some(file) = &ahead.histograms {
            let rows = places().map(|place| place.histograms.clone());
            self.histograms.prepare(file, rows, behind);
        }
    }

    /// The next matching series that may have rows of the wanted kinds in the time range, in label order.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn next(&mut self) -> Result<Option<SeriesRows>, ArchiveError> {
        if !self.advance().await? {
            return Ok(None);
        }
        let file = &self.files.series;
        let Some(place) = self.current.clone() else {
            return Ok(None);
        };
        let labels = place.labels(&mut self.slice, &self.dictionaries);
        let labels = match Labels::from_canonical(labels) {
            Ok(labels) => labels,
            Err(error) => return Err(file.corrupt(error)),
        };
        let digests = match &place.kept {
            Some(_) => Some(Digests::default()),
            None => self.slice.digests(place.local, file.day()),
        };
        let digests = digests.ok_or_else(|| file.corrupt(format!("series {labels} has impossible digests")))?;
        let (min_time, max_time) = place.times(&self.slice);
        Ok(Some(SeriesRows {
            labels,
            row: place.row,
            samples: place.samples,
            histograms: place.histograms,
            exemplars: place.exemplars,
            min_time,
            max_time,
            digests,
        }))
    }

    /// Goes to the next matching series, as [`PartScan::next`] does; false when there is none. What it is, the methods beside this one
    /// say, without making anything of its own for it.
    ///
    /// # Errors
    /// As [`PartScan::next`].
    pub async fn advance(&mut self) -> Result<bool, ArchiveError> {
        if self.queue.is_empty() {
            while self.fill().await? && (self.queue.is_empty() || self.looks_ahead()) {}
            if self.queue.is_empty() {
                self.current = None;
                return Ok(false);
            }
        }
        self.current = self.queue.pop_front();
        Ok(true)
    }

    /// Whether further pages are looked through before the rows of what was found are read: a page with few series that match says little of
    /// which rows come next.
    fn looks_ahead(&self) -> bool {
        let keeps_all = matches!(self.query.kinds, ScanKinds::Samples | ScanKinds::Exemplars);
        keeps_all && !self.needles.is_empty() && self.queue.len() < SERIES_AHEAD
    }

    /// Takes out of the slice, which goes, what is still to be given of it.
    fn keep_queued(&mut self) {
        let mut buffer = Vec::new();
        for place in &mut self.queue {
            place.keep(&self.slice, &self.dictionaries, &mut buffer);
        }
    }

    /// Canonical bytes of the labels of the series that the scan stands at; none before the first and behind the last.
    #[must_use]
    pub fn labels(&mut self) -> &[u8] {
        match &self.current {
            Some(place) => place.labels(&mut self.slice, &self.dictionaries),
            None => &[],
        }
    }

    /// What [`PartScan::labels`] said last, as long as the scan stands where it stood then; otherwise perhaps nothing.
    #[must_use]
    pub fn shown_labels(&self) -> Option<&[u8]> {
        match self.current.as_ref()? {
            Place { kept: Some(kept), .. } => Some(&kept.labels),
            place => self.slice.shown_labels(place.local),
        }
    }

    /// Whether another scan stands at the same series, without putting labels together. False also when that cannot be said: then the labels
    /// are to be compared. A translation is for one scan of one part; the fewer others it is compared with, the faster.
    #[must_use]
    pub fn is_at_same(&self, other: &Self, translation: &mut LabelTranslation) -> bool {
        let (Some(own), Some(others)) = (self.label_numbers(), other.label_numbers()) else {
            return false;
        };
        translation.is_same((&self.dictionaries, own), (&other.dictionaries, others))
    }

    fn label_numbers(&self) -> Option<[&[u32]; 2]> {
        let place = self.current.as_ref().filter(|place| place.kept.is_none())?;
        self.slice.label_numbers(place.local)
    }

    /// Row in the series table of the series that the scan stands at.
    #[must_use]
    pub fn row(&self) -> u64 {
        self.current.as_ref().map_or(0, |place| place.row)
    }

    /// Its oldest time, as [`SeriesRows::min_time`].
    #[must_use]
    pub fn min_time(&self) -> i64 {
        self.current
            .as_ref()
            .map_or(i64::MAX, |place| place.times(&self.slice).0)
    }

    /// Digests of its rows as the part has them, as [`SeriesRows::digests`].
    ///
    /// # Errors
    /// As [`PartScan::next`].
    pub fn digests(&self) -> Result<Digests, ArchiveError> {
        let Some(place) = &self.current else {
            return Ok(Digests::default());
        };
        let file = &self.files.series;
        let digests = self.slice.digests(place.local, file.day());
        digests.ok_or_else(|| file.corrupt(format!("the series in row {} has impossible digests", place.row)))
    }

    /// Appends all rows of the series that the scan stands at.
    ///
    /// # Errors
    /// As [`PartScan::samples`].
    pub async fn take_rows(&mut self, runs: &mut SeriesRuns) -> Result<(), ArchiveError> {
        let Some(place) = &self.current else {
            return Ok(());
        };
        let [samples, histograms, exemplars] = [&place.samples, &place.histograms, &place.exemplars].map(Range::clone);
        if !samples.is_empty() && !self.samples.take_held(&samples, &mut runs.samples) {
            self.samples(samples, TimeRange::ALL, &mut runs.samples).await?;
        }
        if !histograms.is_empty() {
            self.histograms(histograms, TimeRange::ALL, &mut runs.histograms)
                .await?;
        }
        if !exemplars.is_empty() {
            self.exemplars(exemplars, TimeRange::ALL, &mut runs.exemplars).await?;
        }
        Ok(())
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
        let file = (self.ahead.as_ref().and_then(|ahead| ahead.samples.as_ref()))
            .or(self.files.samples.as_ref())
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
        let file = (self.ahead.as_ref().and_then(|ahead| ahead.histograms.as_ref()))
            .or(self.files.histograms.as_ref())
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
}

/// Rows that no series of this part has.
fn no_such_rows(rows: &Range<u64>, kind: FileKind) -> ArchiveError {
    ArchiveError::Invalid(format!("the part has no rows {rows:?} in `{}`", kind.as_str()))
}
