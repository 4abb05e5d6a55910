//! Filling the queue of a scan: windows of the series table are fetched, taken apart, and what matches is queued.
//!
//! Beside the scan, which says in which order series and their rows are given. It must never queue a series whose rows are not in the part, nor
//! one out of order.

use std::ops::Range;
use std::sync::Arc;

use emberkeep_model::{Labels, Matcher, canonical_order, canonical_value_of};

use super::super::found_series::Place;
use super::super::part_file::{GroupRows, Pages, PartFile};
use super::super::series_pages::windows;
use super::super::series_slice::{Dictionaries, Sought};
use super::super::table_ahead::{columns, fetch_next};
use super::{MOST_SERIES, PartScan, ScanKinds};
use crate::{ArchiveError, FileKind};

/// Bytes of a dictionary that is kept from page to page while values are looked for, at least.
const SOUGHT_DICTIONARY_BYTES: u64 = 128 << 10;

impl PartScan {
    /// Decodes one more slice of the series table into the queue; false when there is none.
    ///
    /// A window is fetched at once and decoded slice by slice, each to its end: a decoder that is kept holds a dictionary and a
    /// page for each column, which is more than the series of a slice take.
    pub(super) async fn fill(&mut self) -> Result<bool, ArchiveError> {
        let files = Arc::clone(&self.files);
        let file = &files.series;
        self.keep_queued();
        let current = self.current.take();
        if let Some(place) = self.queue.back().or(current.as_ref()) {
            let last = self.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(place.labels(&mut self.slice, &self.dictionaries));
        }
        if self.windows.is_none() {
            let known = (&self.needles, files.filters.as_ref());
            let bytes = self
                .ahead
                .as_ref()
                .map_or(self.window_bytes, |ahead| ahead.window_bytes);
            self.windows = Some(windows(file, &self.query, bytes, known)?.into());
        }
        if self.window.rows.is_empty() {
            self.pages = Pages::default();
            if !self.fetch_window(file).await? {
                return Ok(false);
            }
        }
        if let Some(leaves) = &self.leaves {
            let page = self
                .window
                .take(self.window.rows.first().map_or(0, ExactSizeIterator::len));
            let place = (file, page.row_group);
            // Who looks for a value looks at many pages of which little else is held.
            let most = match self.needles.is_empty() {
                true => self.window_bytes / 4,
                false => (self.window_bytes / 4).max(SOUGHT_DICTIONARY_BYTES),
            };
            // Labels of the page that comes are put together out of them later.
            if self.dictionaries.heap_bytes() as u64 > most {
                self.dictionaries = Dictionaries::default();
            }
            let dictionaries = &mut self.dictionaries;
            let mut sought = Sought {
                tenant: &self.query.tenant,
                labelling: self.labelling,
                needles: &mut self.needles,
                filters: files.filters.as_ref(),
            };
            let read = page
                .rows
                .first()
                .and_then(|rows| (self.slice).read_page(place, rows, leaves, &self.pages, dictionaries, &mut sought));
            if read.is_some() {
                let mut numbers = file.numbers(&page);
                self.enqueue(&mut numbers)?;
                self.prepare();
                return Ok(true);
            }
            self.dictionaries = Dictionaries::default();
            self.decode(page)?;
            self.prepare();
            return Ok(true);
        }
        let slice = self.window.take(self.slice_series);
        self.decode(slice)?;
        self.prepare();
        Ok(true)
    }

    /// Fetches the next window; false when there is none.
    async fn fetch_window(&mut self, file: &PartFile) -> Result<bool, ArchiveError> {
        let Some(windows) = self.windows.as_mut() else {
            return Ok(false);
        };
        let kinds = self.query.kinds;
        let fetched = match &mut self.ahead {
            Some(ahead) => ahead.table.next(file, windows, kinds).await?,
            None => fetch_next(file, windows, kinds).await?,
        };
        let Some((window, leaves, pages)) = fetched else {
            return Ok(false);
        };
        (self.window, self.leaves, self.pages) = (window, leaves, pages);
        Ok(true)
    }

    /// Decodes rows of the window by the parquet crate.
    fn decode(&mut self, mut rows: GroupRows) -> Result<(), ArchiveError> {
        let files = Arc::clone(&self.files);
        let file = &files.series;
        let projection = file.projection(&columns(file, self.query.kinds));
        let (mut rows, mut left) = (rows.take(MOST_SERIES), rows);
        let mut decoder = file.decode(&rows, &projection, MOST_SERIES, &self.pages)?;
        let mut numbers = file.numbers(&rows);
        let Some(batch) = file.next_batch(&mut decoder)? else {
            return Err(file.corrupt("the selected rows are not there"));
        };
        // The queue refers to one batch; what is not in it comes again.
        rows.take(batch.num_rows());
        rows.rows.append(&mut left.rows);
        rows.rows.append(&mut self.window.rows);
        self.window.rows = rows.rows;
        self.slice.read_batch(file, &batch, &self.query.tenant)?;
        self.enqueue(&mut numbers)
    }

    /// Queues the rows of the slice that match. `numbers` are its rows and those behind it, counted from the start of the file.
    fn enqueue(&mut self, numbers: &mut impl Iterator<Item = u64>) -> Result<(), ArchiveError> {
        let files = &self.files;
        let (file, slice, dictionaries) = (&files.series, &self.slice, &self.dictionaries);
        let first = match numbers.next() {
            Some(first) => first,
            None if slice.rows() == 0 => return Ok(()),
            None => return Err(file.corrupt("it has more rows than it says")),
        };
        // Rows of the slice follow each other in the file, unless a page of several was read in part.
        let mut later: Vec<u64> = Vec::with_capacity(slice.rows());
        later.push(first);
        later.extend(numbers.take(slice.rows().saturating_sub(1)));
        if later.len() < slice.rows() {
            return Err(file.corrupt("it has more rows than it says"));
        }
        let mut before: Option<usize> = None;
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for row in slice.of_tenant().iter().cloned().flatten() {
            let rows = [0, 1, 2].map(|kind| slice.rows_of(kind, row));
            let has_rows = |kind: usize| rows[kind].as_ref().is_none_or(|rows: &Range<u64>| !rows.is_empty());
            let is_wanted = match self.query.kinds {
                ScanKinds::Samples => {
                    let (min_time, max_time) = slice.times(row);
                    self.query.range.overlaps(min_time, max_time) && (has_rows(0) || has_rows(1))
                }
                ScanKinds::Exemplars => has_rows(2),
                ScanKinds::All | ScanKinds::AllWithDigests => true,
            };
            if !is_wanted {
                continue;
            }
            if !self.query.matchers.is_empty() {
                let labels = slice.labels(row, dictionaries, &mut own);
                let value = |name: &str| {
                    let value = canonical_value_of(labels, name.as_bytes()).unwrap_or_default();
                    std::str::from_utf8(value).unwrap_or_default()
                };
                let matches = |matcher: &Matcher| matcher.matches(value(matcher.name()));
                if !self.query.matchers.iter().all(matches) {
                    continue;
                }
            }
            let shown = || {
                let mut labels = Vec::new();
                let labels = Labels::from_canonical(slice.labels(row, dictionaries, &mut labels));
                labels.map_or_else(|error| error.to_string(), |labels| labels.to_string())
            };
            let is_known_to_rise = before.is_some_and(|before| before + 1 == row) && slice.rises(row);
            if !is_known_to_rise {
                let labels = slice.labels(row, dictionaries, &mut own);
                let last = match before {
                    Some(before) => Some(slice.labels(before, dictionaries, &mut other)),
                    None => self.last.as_deref(),
                };
                if last.is_some_and(|last| canonical_order(last, labels).is_ge()) {
                    return Err(file.corrupt(format!("series {} is out of order", shown())));
                }
            }
            before = Some(row);
            let take = |rows: Option<Range<u64>>, next: &mut u64, kind: FileKind| {
                let is_possible = |rows: &Range<u64>| *next <= rows.start && rows.end <= files.rows(kind);
                let rows = rows.filter(is_possible).ok_or_else(|| {
                    let kind = kind.as_str();
                    file.corrupt(format!("series {} has impossible rows in `{kind}`", shown()))
                })?;
                *next = rows.end;
                Ok(rows)
            };
            let next = &mut self.next_rows;
            let [samples, histograms, exemplars] = rows;
            let samples = take(samples, &mut next.samples, FileKind::Samples)?;
            let histograms = take(histograms, &mut next.histograms, FileKind::Histograms)?;
            let exemplars = take(exemplars, &mut next.exemplars, FileKind::Exemplars)?;
            self.queue.push_back(Place {
                local: row,
                kept: None,
                row: later[row],
                samples,
                histograms,
                exemplars,
            });
        }
        Ok(())
    }
}
