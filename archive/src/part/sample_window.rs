//! Reading runs of samples by row number, forward only, with a bounded window of rows in memory.

use std::collections::VecDeque;
use std::ops::Range;

use emberkeep_model::{Run, TimeRange, UNSET_START_TIMESTAMP};

use super::metadata::{GroupRows, PartFile};
use super::sample_groups::{SampleGroups, bytes_of};
use super::{sample_batch, schema};
use crate::ArchiveError;

/// Rows of a window, at least: opening one costs as much as decoding about so many rows.
const LEAST_ROWS: usize = 256;

/// Compressed bytes that a window may hold for each of its rows; a sparse selection touches many pages for few rows.
const WINDOW_BYTES_PER_ROW: u64 = 8;

/// A cursor over `samples`. Rows that were passed cannot be read again.
///
/// A window is decoded at once and kept as plain columns: a decoder holds a compression context and a page for each column, which
/// is several times what its rows take, and many parts are open at the same time.
#[derive(Debug)]
pub(super) struct SampleWindow {
    window_rows: usize,
    /// Rows of the file that `decoded` holds from `at` on, in order.
    selected: VecDeque<Range<u64>>,
    decoded: Run,
    at: usize,
    /// Row that may be read next.
    position: u64,
}

impl SampleWindow {
    pub(super) fn new(window_rows: usize) -> Self {
        Self {
            window_rows: window_rows.max(LEAST_ROWS),
            selected: VecDeque::new(),
            decoded: Run::default(),
            at: 0,
            position: 0,
        }
    }

    /// Appends the samples of `rows` that lie in the time range. The rows are of one series, so their times rise.
    /// `upcoming` are the rows that will probably be asked for next, in order.
    pub(super) async fn read(
        &mut self,
        file: &PartFile,
        groups: &SampleGroups,
        rows: Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>> + Clone,
        range: TimeRange,
        out: &mut Run,
    ) -> Result<(), ArchiveError> {
        if rows.start < self.position {
            let reason = format!(
                "rows {rows:?} lie before row {}, samples are read forward only",
                self.position
            );
            return Err(ArchiveError::Invalid(reason));
        }
        let mut next = rows.start;
        while next < rows.end {
            self.skip_to(next);
            if self.selected.front().is_none_or(|front| front.start != next) {
                self.open(file, groups, next..rows.end, upcoming.clone()).await?;
            }
            let Some(front) = self.selected.front() else {
                return Err(file.corrupt("rows are missing"));
            };
            let end = front.end.min(rows.end);
            let taken = self.take(end - next);
            append(&self.decoded, taken, range, out);
            next = end;
        }
        self.position = self.position.max(rows.end);
        Ok(())
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
        file: &PartFile,
        groups: &SampleGroups,
        rows: Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>>,
    ) -> Result<(), ArchiveError> {
        self.selected.clear();
        self.decoded.clear();
        self.at = 0;
        let Some((number, group)) = groups.group_at(rows.start) else {
            return Err(file.corrupt(format!("it has no row {}", rows.start)));
        };
        let local = |row: u64| {
            usize::try_from(row.saturating_sub(group.start))
                .unwrap_or(usize::MAX)
                .min(group.rows)
        };
        let first = local(rows.start)..local(rows.end);
        let mut chosen = Vec::from([first]);
        let mut count = chosen[0].len();
        let mut page = group.page_at(chosen[0].end.saturating_sub(1));
        if count > self.window_rows {
            // Up to the end of a page where that is near: what is left of one has to be fetched and decoded again.
            let least = chosen[0].start + self.window_rows;
            let page_end = group.pages[group.page_at(least - 1)].0.end;
            let end = if page_end - chosen[0].start <= 2 * self.window_rows {
                page_end
            } else {
                least
            };
            chosen[0].end = chosen[0].end.min(end);
        } else {
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
                if count > self.window_rows || (more > 0 && bytes > most_bytes) {
                    break;
                }
                page = last_page;
                if next.start == last.end {
                    last.end = next.end;
                } else {
                    chosen.push(next);
                }
            }
        }
        let mut columns = vec![schema::TIMESTAMP, schema::UNSCALED, schema::SCALE, schema::RAW_VALUE];
        if group.has_start_timestamps {
            columns.push(schema::START_TIMESTAMP);
        }
        let rows = GroupRows {
            row_group: number,
            row_count: group.rows,
            rows: chosen,
        };
        let projection = file.projection(&columns);
        let mut decoder = file.read(&rows, &projection, self.window_rows).await?;
        while let Some(batch) = file.next_batch(&mut decoder)? {
            sample_batch::decode(file, &batch, &mut self.decoded)?;
        }
        let chosen = rows.rows;
        if self.decoded.len() != chosen.iter().map(ExactSizeIterator::len).sum::<usize>() {
            return Err(file.corrupt("it does not have the rows that it says"));
        }
        let global = |row: usize| group.start + row as u64;
        self.selected = chosen
            .into_iter()
            .map(|rows| global(rows.start)..global(rows.end))
            .collect();
        Ok(())
    }
}

/// Appends those of the rows that lie in the time range. Their times rise.
fn append(decoded: &Run, rows: Range<usize>, range: TimeRange, out: &mut Run) {
    let times = &decoded.timestamps[rows.clone()];
    let first = times.partition_point(|&time| time < range.start);
    let count = times[first..].partition_point(|&time| time < range.end);
    let rows = rows.start + first..rows.start + first + count;
    let before = out.len();
    out.timestamps.extend_from_slice(&decoded.timestamps[rows.clone()]);
    out.values.extend_from_slice(&decoded.values[rows.clone()]);
    let starts = decoded.start_timestamps.get(rows).unwrap_or_default();
    if starts.iter().any(|&start| start != UNSET_START_TIMESTAMP) {
        out.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
        out.start_timestamps.extend_from_slice(starts);
    } else if !out.start_timestamps.is_empty() {
        out.start_timestamps.resize(out.len(), UNSET_START_TIMESTAMP);
    }
}
