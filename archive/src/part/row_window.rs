//! Reading rows of one kind by row number, forward only, with a bounded window of them in memory.

use std::collections::VecDeque;
use std::ops::Range;

use emberkeep_model::TimeRange;

use super::pages_ahead::PagesAhead;
use super::part_file::{GroupRows, PartFile};
use super::row_groups::{RowGroup, RowGroups, bytes_of};
use super::row_kind::RowKind;
use super::schema;
use crate::ArchiveError;

/// Compressed bytes that a window may hold for each of its rows; a sparse selection touches many pages for few rows.
const WINDOW_BYTES_PER_ROW: u64 = 8;

/// Bytes of decoded rows that a window may hold for each row that was asked for; a float takes half of it at most.
const DECODED_BYTES_PER_ROW: u64 = 64;

/// A window never has to be smaller than this.
const LEAST_DECODED_BYTES: u64 = 128 << 10;

/// A file of rows that is open.
#[derive(Debug)]
pub(super) struct RowFile {
    pub(super) file: PartFile,
    pub(super) groups: RowGroups,
}

impl RowFile {
    pub(super) fn new<K: RowKind>(file: PartFile) -> Result<Self, ArchiveError> {
        let groups = RowGroups::new(&file, K::COLUMNS)?;
        Ok(Self { file, groups })
    }
}

/// A cursor over the rows of a kind. Rows that were passed cannot be read again.
///
/// A window is decoded at once and kept as plain columns: a decoder holds a compression context and a page for each column, which
/// is several times what its rows take, and many parts are open at the same time.
#[derive(Debug)]
pub(super) struct RowWindow<K> {
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
    /// Pages that are not decoded yet.
    ahead: Option<PagesAhead>,
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
            ahead: None,
        }
    }

    /// For somebody who reads all rows: pages are fetched ahead, and decoded one at a time.
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
        upcoming: impl Iterator<Item = Range<u64>>,
    ) -> Result<(), ArchiveError> {
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
        let most_rows = usize::try_from(fitting)
            .unwrap_or(usize::MAX)
            .clamp(1, self.window_rows);
        if self.reading == Reading::Every {
            if self.open_page(file, number, group, rows.start, most_rows).await? {
                return Ok(());
            }
            self.decoded.forget();
        }
        let mut rows = GroupRows {
            row_group: number,
            row_count: group.rows,
            rows: self.choose(group, &rows, upcoming, most_rows),
        };
        let held = |rows: GroupRows| -> VecDeque<Range<u64>> {
            let global = |row: usize| group.start + row as u64;
            let ranges = rows.rows.into_iter();
            ranges.map(|rows| global(rows.start)..global(rows.end)).collect()
        };
        if K::read_pages(file, group, &rows, &mut self.decoded).await? {
            self.selected = held(rows);
            return Ok(());
        }
        self.decoded.forget();
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
        self.selected = held(rows.take(self.decoded.count()));
        Ok(())
    }

    /// Decodes the page that has a row, fetched before or now with those behind it. False when it is too large to be held as a whole, or
    /// none that can be decoded so.
    async fn open_page(
        &mut self,
        file: &PartFile,
        number: usize,
        group: &RowGroup,
        row: u64,
        most_rows: usize,
    ) -> Result<bool, ArchiveError> {
        let local = usize::try_from(row - group.start).unwrap_or(usize::MAX);
        let page = group.page_at(local);
        let Some((rows, _)) = group.pages.get(page).filter(|(rows, _)| rows.len() <= 2 * most_rows) else {
            return Ok(false);
        };
        if self.ahead.as_ref().is_none_or(|ahead| !ahead.holds(number, rows)) {
            self.ahead = None;
            let most_bytes = (self.window_rows as u64).saturating_mul(WINDOW_BYTES_PER_ROW);
            self.ahead = K::fetch_ahead(file, number, group, page, most_bytes).await?;
        }
        let decode = |ahead: &PagesAhead| K::decode_page(file, ahead, rows, &mut self.decoded);
        let is_decoded = self.ahead.as_ref().and_then(decode).is_some();
        if !is_decoded || self.decoded.count() != rows.len() || local >= rows.end {
            // Whatever is the matter with this page: the others are left to who can read it.
            self.reading = Reading::Chosen;
            self.ahead = None;
            return Ok(false);
        }
        self.at = local - rows.start;
        self.selected.push_back(row..group.start + rows.end as u64);
        Ok(true)
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
        let most_bytes = (self.window_rows as u64).saturating_mul(WINDOW_BYTES_PER_ROW);
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
