//! Reading rows of one kind by row number, forward only, with a bounded window of them in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_model::TimeRange;

use super::pages_ahead::PagesAhead;
use super::part_file::{GroupRows, PartFile};
use super::row_groups::{RowGroup, RowGroups, bytes_of};
use super::row_kind::{RowKind, RowPage};
use super::rows_ahead::{Behind, RowsAhead};
use super::schema;
use crate::ArchiveError;

/// Compressed bytes that a window may hold for each of its rows; a sparse selection touches many pages for few rows.
const WINDOW_BYTES_PER_ROW: u64 = 8;

/// From so many rows on a window belongs to one of few cursors, which may hold more bytes: each fetch costs, wherever the store is.
const LARGE_WINDOW_ROWS: usize = 16 << 10;

/// Compressed bytes that such a window may hold.
const LARGE_WINDOW_BYTES: u64 = 1 << 20;

/// Bytes of decoded rows that a window may hold for each row that was asked for; a float takes half of it at most.
const DECODED_BYTES_PER_ROW: u64 = 64;

/// So many rows may be fetched for one that may be decoded: as they lie in the file they are smaller.
const PACKED_ROWS: usize = 4;

/// A page of no more rows is opened whatever the window: packed as it is, it takes no more than the window would.
const MOST_PAGE_ROWS: usize = 64 << 10;

/// A window never has to be smaller than this.
const LEAST_DECODED_BYTES: u64 = 128 << 10;

/// A file of rows that is open.
#[derive(Debug)]
pub(super) struct RowFile {
    pub(super) file: PartFile,
    pub(super) groups: Arc<RowGroups>,
}

impl RowFile {
    pub(super) fn new<K: RowKind>(file: PartFile) -> Result<Self, ArchiveError> {
        let groups = Arc::new(RowGroups::new(&file, K::COLUMNS)?);
        Ok(Self { file, groups })
    }

    /// The same for one window, which reads up to so many bytes ahead.
    pub(super) fn with_ahead(&self, most_bytes: u64) -> Self {
        Self {
            file: self.file.with_ahead(most_bytes),
            groups: Arc::clone(&self.groups),
        }
    }
}

/// A cursor over the rows of a kind. Rows that were passed cannot be read again.
///
/// Pages of our own writers are fetched many at a time and unpacked as far as rows are taken. Of all others a window is decoded at once and
/// kept as plain columns: a decoder of the parquet crate holds a compression context and a page for each column, which is several times what
/// its rows take, and many parts are open at the same time.
#[derive(Debug)]
pub(super) struct RowWindow<K: RowKind> {
    window_rows: usize,
    /// Bytes of decoded rows, about: one batch more than this at most.
    window_bytes: u64,
    /// Rows of the file that `decoded` holds from `at` on, in order.
    selected: VecDeque<Range<u64>>,
    decoded: K,
    at: usize,
    /// Row that may be read next.
    position: u64,
    reading: Reading,
    /// Whether pages are unpacked row by row; not any more when there was one of which that cannot be done.
    taking: Taking,
    /// Pages that were fetched, one of which is open.
    ahead: Option<PagesAhead>,
    page: K::Page,
    /// Rows of the file that the open page still has.
    page_rows: Range<u64>,
    /// What of a file that is read ahead is fetched.
    plan: RowsAhead,
}

/// How rows come out of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    RowByRow,
    InBatches,
}

/// Which rows will be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Those that the caller says.
    Chosen,
    /// All of them.
    Every,
}

impl<K: RowKind> RowWindow<K> {
    pub(super) fn new(window_rows: usize) -> Self {
        let window_rows = window_rows.max(K::LEAST_ROWS);
        Self {
            window_rows,
            window_bytes: (window_rows as u64)
                .saturating_mul(DECODED_BYTES_PER_ROW)
                .max(LEAST_DECODED_BYTES),
            selected: VecDeque::new(),
            decoded: K::default(),
            at: 0,
            position: 0,
            reading: Reading::Chosen,
            taking: Taking::RowByRow,
            ahead: None,
            page: K::Page::default(),
            page_rows: 0..0,
            plan: RowsAhead::new(K::COLUMNS),
        }
    }

    /// Begins to fetch rows that will be asked for, of a file that is read ahead.
    pub(super) fn prepare(&mut self, of: &RowFile, rows: impl Iterator<Item = Range<u64>>, behind: Behind) {
        self.plan.expect(behind);
        let position = self
            .selected
            .back()
            .map_or(self.position, |last| last.end.max(self.position));
        let rows = rows.map(|rows| rows.start.max(position)..rows.end);
        self.plan
            .plan(&of.file, &of.groups, rows.filter(|rows| !rows.is_empty()));
    }

    /// For somebody who reads all rows: pages are fetched ahead whatever is said of upcoming rows.
    pub(super) fn of_all_rows(window_rows: usize) -> Self {
        Self {
            reading: Reading::Every,
            ..Self::new(window_rows)
        }
    }

    /// Appends those of `rows` that lie in the time range. The rows are of one series, so their times do not fall.
    /// `upcoming` are the rows that will probably be asked for next, in order.
    pub(super) async fn read(
        &mut self,
        of: &RowFile,
        rows: Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>> + Clone,
        range: TimeRange,
        out: &mut K,
    ) -> Result<(), ArchiveError> {
        if rows.start < self.position {
            let reason = format!(
                "rows {rows:?} lie before row {}, rows are read forward only",
                self.position
            );
            return Err(ArchiveError::Invalid(reason));
        }
        let mut next = rows.start;
        while next < rows.end {
            if let Some(end) = self.take_of_page(next..rows.end, range, out) {
                next = end;
                continue;
            }
            if self.taking == Taking::RowByRow && self.open_page(of, next..rows.end, upcoming.clone()).await? {
                continue;
            }
            self.skip_to(next);
            if self.selected.front().is_none_or(|front| front.start != next) {
                self.open(of, next..rows.end, upcoming.clone()).await?;
            }
            let Some(front) = self.selected.front() else {
                return Err(of.file.corrupt("rows are missing"));
            };
            let end = front.end.min(rows.end);
            let taken = self.take(end - next);
            out.append_range(&self.decoded, taken, range);
            next = end;
        }
        self.position = self.position.max(rows.end);
        Ok(())
    }

    /// As [`Self::read`] of all times, when the window holds all of these rows and the next ones are these; false otherwise.
    pub(super) fn take_held(&mut self, rows: &Range<u64>, out: &mut K) -> bool {
        if self.page_rows.start == rows.start && rows.end <= self.page_rows.end && rows.start >= self.position {
            let is_taken = self.take_of_page(rows.clone(), TimeRange::ALL, out).is_some();
            if is_taken {
                self.position = rows.end;
            }
            return is_taken;
        }
        let is_held = |front: &&Range<u64>| front.start == rows.start && rows.end <= front.end;
        if rows.start < self.position || self.selected.front().filter(is_held).is_none() {
            return false;
        }
        let taken = self.take(rows.end - rows.start);
        out.append_range(&self.decoded, taken, TimeRange::ALL);
        self.position = rows.end;
        true
    }

    /// Bytes of the rows that the window holds.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.decoded.held_bytes()
    }

    /// Whether all pages so far were unpacked row by row.
    #[cfg(test)]
    pub(super) fn is_row_by_row(&self) -> bool {
        self.taking == Taking::RowByRow && self.decoded.count() == 0
    }

    /// Takes the first of some rows, as many as the open page has; the row behind them. `None` when it has none, or cannot be unpacked.
    fn take_of_page(&mut self, rows: Range<u64>, range: TimeRange, out: &mut K) -> Option<u64> {
        if !self.page_rows.contains(&rows.start) {
            return None;
        }
        let end = rows.end.min(self.page_rows.end);
        let [skipped, taken] = [rows.start - self.page_rows.start, end - rows.start];
        let [skipped, taken] = [skipped, taken].map(|count| usize::try_from(count).expect("a page fits into memory"));
        let page = &mut self.page;
        if page.skip(skipped).and_then(|()| page.take(taken, range, out)).is_none() {
            self.give_up_pages();
            return None;
        }
        self.page_rows.start = end;
        Some(end)
    }

    /// Leaves pages to who can read them, or say what is the matter with them.
    fn give_up_pages(&mut self) {
        self.taking = Taking::InBatches;
        self.ahead = None;
        self.page = K::Page::default();
        self.page_rows = 0..0;
    }

    /// Passes over selected rows before `row`.
    fn skip_to(&mut self, row: u64) {
        while let Some(front) = self.selected.front().filter(|front| front.start < row) {
            let count = front.end.min(row) - front.start;
            self.take(count);
        }
    }

    /// Takes the next `count` rows, which are rows of the first range; where they lie in `decoded`.
    fn take(&mut self, count: u64) -> Range<usize> {
        if let Some(front) = self.selected.front_mut() {
            front.start += count;
            if front.is_empty() {
                self.selected.pop_front();
            }
        }
        let start = self.at;
        self.at += usize::try_from(count).expect("a window fits into memory");
        start..self.at
    }

    /// Fetches the pages of `rows` as far as the window goes, and of upcoming rows as far as there is room.
    async fn open(
        &mut self,
        of: &RowFile,
        rows: Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>> + Clone,
    ) -> Result<(), ArchiveError> {
        self.fetch_ahead(of, &rows, upcoming.clone());
        self.selected.clear();
        self.decoded.forget();
        if self.decoded.held_bytes() as u64 > 2 * self.window_bytes {
            self.decoded = K::default();
        }
        self.at = 0;
        let file = &of.file;
        let Some((number, group)) = of.groups.group_at(rows.start) else {
            return Err(file.corrupt(format!("it has no row {}", rows.start)));
        };
        let fitting = self.window_bytes / 2 / group.row_bytes.max(1);
        let most_rows = self.most_rows(group);
        let mut rows = GroupRows {
            row_group: number,
            row_count: group.rows,
            rows: self.choose(group, &rows, upcoming, most_rows),
        };
        let mut columns = vec![schema::TIMESTAMP];
        columns.extend_from_slice(K::COLUMNS);
        if group.has_start_timestamps {
            columns.push(schema::START_TIMESTAMP);
        }
        let projection = file.projection(&columns);
        // Rows of one size fit by now. Where they are not, an eighth of the window is decoded at a time, and what does not fit is left out.
        let batch_rows = usize::try_from(fitting / 4)
            .unwrap_or(usize::MAX)
            .clamp(1, self.window_rows);
        let mut decoder = file.read(&rows, &projection, batch_rows).await?;
        let mut bytes = 0_u64;
        while bytes <= self.window_bytes
            && let Some(batch) = file.next_batch(&mut decoder)?
        {
            let before = self.decoded.count();
            let number = |row: usize| group.start + nth(&rows.rows, before + row) as u64;
            self.decoded.decode(file, &batch, &number)?;
            bytes += self.decoded.bytes_from(before) as u64;
        }
        let (decoded, chosen) = (self.decoded.count(), rows.rows.iter().map(ExactSizeIterator::len).sum());
        if decoded > chosen || (decoded < chosen && bytes <= self.window_bytes) {
            return Err(file.corrupt("it does not have the rows that it says"));
        }
        let global = |row: usize| group.start + row as u64;
        let held = rows.take(self.decoded.count()).rows.into_iter();
        self.selected = held.map(|rows| global(rows.start)..global(rows.end)).collect();
        Ok(())
    }

    /// Opens the page that has the first of some rows, fetched before or now with others. False when it is too large to be held as a whole,
    /// or none that can be opened so.
    async fn open_page(
        &mut self,
        of: &RowFile,
        rows: Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>> + Clone,
    ) -> Result<bool, ArchiveError> {
        let (file, first) = (&of.file, rows.start);
        let Some((number, group)) = of.groups.group_at(first) else {
            return Ok(false);
        };
        let page = group.page_at(usize::try_from(first - group.start).unwrap_or(usize::MAX));
        let most_rows = self.most_rows(group);
        let is_small = |rows: &Range<usize>| rows.len() <= MOST_PAGE_ROWS.max(2 * most_rows);
        let Some((in_page, _)) = group.pages.get(page).filter(|(rows, _)| is_small(rows)) else {
            return Ok(false);
        };
        if self.ahead.as_ref().is_none_or(|ahead| !ahead.holds(number, in_page)) {
            // Before the next ones come, so that never both are held.
            self.ahead = None;
            self.fetch_ahead(of, &rows, upcoming.clone());
            let pages = match self.reading {
                Reading::Every => self.following(group, page),
                // Of what is fetched ahead the next pages may not be there yet, and are not waited for.
                Reading::Chosen if file.ahead().is_some() => std::iter::once(page..page + 1).collect(),
                Reading::Chosen => pages_of(
                    group,
                    &self.choose(group, &rows, upcoming, most_rows.saturating_mul(PACKED_ROWS)),
                ),
            };
            self.ahead = K::fetch_pages(file, number, group, &pages).await?;
        }
        let open = |ahead: &PagesAhead| self.page.open(file, ahead, in_page);
        if self.ahead.as_ref().and_then(open).is_none() {
            self.give_up_pages();
            return Ok(false);
        }
        self.ahead = self.ahead.take().filter(|ahead| ahead.goes_on_behind(in_page));
        self.page_rows = group.start + in_page.start as u64..group.start + in_page.end as u64;
        Ok(self.page_rows.contains(&first))
    }

    /// Begins to fetch these rows and upcoming ones, of a file that is read ahead.
    fn fetch_ahead(&mut self, of: &RowFile, rows: &Range<u64>, upcoming: impl Iterator<Item = Range<u64>>) {
        if of.file.ahead().is_some() {
            let known = std::iter::once(rows.clone()).chain(upcoming);
            self.plan.plan(&of.file, &of.groups, known);
        }
    }

    /// Rows of a group that a window may have.
    fn most_rows(&self, group: &RowGroup) -> usize {
        let fitting = self.window_bytes / 2 / group.row_bytes.max(1);
        usize::try_from(fitting)
            .unwrap_or(usize::MAX)
            .clamp(1, self.window_rows)
    }

    /// Compressed bytes that may be held.
    fn most_bytes(&self) -> u64 {
        if self.window_rows >= LARGE_WINDOW_ROWS {
            return LARGE_WINDOW_BYTES;
        }
        (self.window_rows as u64).saturating_mul(WINDOW_BYTES_PER_ROW)
    }

    /// Pages from one on, as many as fit and at least one.
    fn following(&self, group: &RowGroup, page: usize) -> Vec<Range<usize>> {
        let most_bytes = self.most_bytes();
        let mut bytes = 0_u64;
        let fitting = group.pages[page..].iter().take_while(|(_, more)| {
            bytes = bytes.saturating_add(*more);
            bytes <= most_bytes
        });
        let stretch = page..page + fitting.count().max(1);
        vec![stretch]
    }

    /// Rows of the group for one window: the first ones of `rows`, and upcoming ones as far as there is room.
    fn choose(
        &self,
        group: &RowGroup,
        rows: &Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>>,
        most_rows: usize,
    ) -> Vec<Range<usize>> {
        let local = |row: u64| {
            usize::try_from(row.saturating_sub(group.start))
                .unwrap_or(usize::MAX)
                .min(group.rows)
        };
        let first = local(rows.start)..local(rows.end);
        let mut count = first.len();
        let mut chosen = Vec::from([first]);
        if count > most_rows {
            // Up to the end of a page where that is near: what is left of one has to be fetched and decoded again.
            let least = chosen[0].start + most_rows;
            let page_end = group.pages[group.page_at(least - 1)].0.end;
            let end = if page_end - chosen[0].start <= 2 * most_rows {
                page_end
            } else {
                least
            };
            chosen[0].end = chosen[0].end.min(end);
            return chosen;
        }
        let mut page = group.page_at(chosen[0].end.saturating_sub(1));
        let first = group.page_at(chosen[0].start);
        let mut bytes = bytes_of(group.pages[first..=page].iter());
        let most_bytes = self.most_bytes();
        for next in upcoming {
            let next = local(next.start)..local(next.end);
            let Some(last) = chosen
                .last_mut()
                .filter(|last| next.start >= last.end && !next.is_empty())
            else {
                break;
            };
            let last_page = group.page_at(next.end - 1);
            let first_new = group.page_at(next.start).max(page + 1);
            let more = bytes_of(group.pages.get(first_new..=last_page).into_iter().flatten());
            count += next.len();
            bytes = bytes.saturating_add(more);
            if count > most_rows || (more > 0 && bytes > most_bytes) {
                break;
            }
            page = last_page;
            if next.start == last.end {
                last.end = next.end;
            } else {
                chosen.push(next);
            }
        }
        if K::WHOLE_PAGES
            && let Some(last) = chosen.last_mut()
        {
            let held: usize = most_rows.saturating_sub(count.min(most_rows));
            let page_end = group.pages[page].0.end;
            last.end = page_end.min(last.end.saturating_add(held)).max(last.end);
        }
        chosen
    }
}

/// Numbers of the pages that have some of these rows, which lie in order; no two stretches touch.
fn pages_of(group: &RowGroup, rows: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut pages: Vec<Range<usize>> = Vec::new();
    for rows in rows {
        let (first, last) = (group.page_at(rows.start), group.page_at(rows.end.saturating_sub(1)));
        match pages.last_mut().filter(|before| first <= before.end) {
            Some(before) => before.end = before.end.max(last + 1),
            None => pages.push(first..last + 1),
        }
    }
    pages
}

/// The row at a position of all rows of the ranges; for a position behind them, the one that would follow.
fn nth(rows: &[Range<usize>], mut position: usize) -> usize {
    for range in rows {
        if position < range.len() {
            return range.start + position;
        }
        position -= range.len();
    }
    rows.last().map_or(0, |last| last.end)
}
