//! A scan over one part: the matching series of a tenant in label order, and their samples on demand.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, MapArray, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Labels, Matcher, Run, TenantId, TimeRange};

use super::metadata::{GroupRows, Pages};
use super::reader::OpenFiles;
use super::sample_window::SampleWindow;
use super::schema;
use super::series_pages::windows;
use crate::ArchiveError;

/// One series is decoded for each so many rows of the window; as many as are in a part of a few minutes.
const ROWS_PER_SERIES: usize = 32;

/// Series that are decoded at once, at least.
const LEAST_SERIES: usize = 256;

/// Series that are decoded at once, at most.
const MOST_SERIES: usize = 2048;

/// The columns of the series table that a scan reads.
const COLUMNS: [&str; 6] = [
    schema::TENANT,
    schema::LABELS,
    schema::MIN_TIME,
    schema::MAX_TIME,
    schema::SAMPLES_ROW_START,
    schema::SAMPLES_ROW_COUNT,
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
}

/// A series of a part that matches, and where its samples are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRows {
    /// The series.
    pub labels: Labels,
    /// Its rows in `samples`.
    pub rows: Range<u64>,
    /// Its oldest sample in the part, milliseconds since 1970.
    pub min_time: i64,
    /// Its newest sample in the part, milliseconds since 1970.
    pub max_time: i64,
}

/// A scan in progress. Call [`PartScan::next`] for the next series and [`PartScan::samples`] for its samples, or not.
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
    /// First row of `samples` that the next series may have.
    next_row: u64,
    samples: SampleWindow,
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
        let samples = SampleWindow::new(window_rows);
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
            next_row: 0,
            samples,
        }
    }

    /// The next matching series that may have samples in the time range, in label order.
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
    /// scan; rows may be left out, and a long series may be read in pieces.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] for rows that were passed already; otherwise as
    /// [`PartReader::open`](super::PartReader::open).
    pub async fn samples(&mut self, rows: Range<u64>, range: TimeRange, out: &mut Run) -> Result<(), ArchiveError> {
        let upcoming = self.queue.iter().map(|series| series.rows.clone());
        self.samples
            .read(&self.files.samples, &self.files.groups, rows, upcoming, range, out)
            .await
    }

    /// Decodes one more slice of the series table into the queue; false when there is none.
    ///
    /// A window is fetched at once and decoded slice by slice, each to its end: a decoder that is kept holds a dictionary and a
    /// page for each column, which is more than the series of a slice take.
    async fn fill(&mut self) -> Result<bool, ArchiveError> {
        let files = Arc::clone(&self.files);
        let file = &files.series;
        let projection = file.projection(&COLUMNS);
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
        let slice = take_rows(&mut self.window, self.slice_series);
        let mut decoder = file.decode(&slice, &projection, self.slice_series, &self.pages)?;
        while let Some(batch) = file.next_batch(&mut decoder)? {
            self.enqueue(&batch)?;
        }
        Ok(true)
    }

    fn enqueue(&mut self, batch: &RecordBatch) -> Result<(), ArchiveError> {
        let file = &self.files.series;
        let table =
            SeriesTable::new(batch).ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
        for row in 0..batch.num_rows() {
            let (min_time, max_time) = (table.min_times.value(row), table.max_times.value(row));
            if table.tenants.value(row) != self.query.tenant.as_str() || !self.query.range.overlaps(min_time, max_time)
            {
                continue;
            }
            let pairs = table.pairs(row);
            if !self
                .query
                .matchers
                .iter()
                .all(|matcher| matcher.matches(value_of(&table, pairs.clone(), matcher.name())))
            {
                continue;
            }
            let labels = Labels::from_pairs(pairs.map(|i| (table.names.value(i), table.values.value(i))));
            let labels = labels.map_err(|error| file.corrupt(error))?;
            if self.last.as_ref().is_some_and(|last| *last >= labels) {
                return Err(file.corrupt(format!("series {labels} is out of order")));
            }
            self.last = Some(labels.clone());
            let rows = table.rows(row).filter(|rows| {
                self.next_row <= rows.start && rows.start < rows.end && rows.end <= self.files.groups.rows()
            });
            let rows = rows.ok_or_else(|| file.corrupt(format!("series {labels} has impossible rows in `samples`")))?;
            self.next_row = rows.end;
            self.queue.push_back(SeriesRows {
                labels,
                rows,
                min_time,
                max_time,
            });
        }
        Ok(())
    }
}

/// Takes up to `count` rows off the front.
fn take_rows(from: &mut GroupRows, count: usize) -> GroupRows {
    let mut taken = GroupRows {
        rows: Vec::new(),
        ..*from
    };
    let mut left = count;
    while left > 0 && !from.rows.is_empty() {
        let first = &mut from.rows[0];
        let end = first.end.min(first.start + left);
        taken.rows.push(first.start..end);
        left -= end - first.start;
        first.start = end;
        if first.start == first.end {
            from.rows.remove(0);
        }
    }
    taken
}

/// The value of a label among the pairs, empty when it is absent.
fn value_of<'a>(table: &'a SeriesTable<'_>, mut pairs: Range<usize>, name: &str) -> &'a str {
    pairs
        .find(|&i| table.names.value(i) == name)
        .map_or("", |i| table.values.value(i))
}

/// The columns of one batch of the series table.
struct SeriesTable<'a> {
    tenants: &'a StringArray,
    labels: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
    min_times: &'a TimestampMillisecondArray,
    max_times: &'a TimestampMillisecondArray,
    row_starts: &'a Int64Array,
    row_counts: &'a Int64Array,
}

impl<'a> SeriesTable<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        let column = |name| batch.column_by_name(name);
        let time = |name| column(name)?.as_primitive_opt::<TimestampMillisecondType>();
        let number = |name| column(name)?.as_primitive_opt::<Int64Type>();
        let labels = column(schema::LABELS)?.as_map_opt()?;
        Some(Self {
            tenants: column(schema::TENANT)?.as_string_opt::<i32>()?,
            labels,
            names: labels.keys().as_string_opt::<i32>()?,
            values: labels.values().as_string_opt::<i32>()?,
            min_times: time(schema::MIN_TIME)?,
            max_times: time(schema::MAX_TIME)?,
            row_starts: number(schema::SAMPLES_ROW_START)?,
            row_counts: number(schema::SAMPLES_ROW_COUNT)?,
        })
    }

    /// The range of label pairs of a row.
    fn pairs(&self, row: usize) -> Range<usize> {
        let offsets = self.labels.value_offsets();
        let offset = |i: usize| usize::try_from(offsets[i]).unwrap_or(0);
        offset(row)..offset(row + 1)
    }

    fn rows(&self, row: usize) -> Option<Range<u64>> {
        let start = u64::try_from(self.row_starts.value(row)).ok()?;
        let count = u64::try_from(self.row_counts.value(row)).ok()?;
        Some(start..start.checked_add(count)?)
    }
}
