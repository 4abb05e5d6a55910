//! Reading runs of samples by row number, forward only, with a bounded window of rows in memory.

use std::collections::VecDeque;
use std::ops::Range;

use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};

use emberkeep_model::{Run, TimeRange};

use super::metadata::PartFile;
use super::sample_batch::SampleBatch;
use super::sample_groups::{SampleGroups, bytes_of};
use super::schema;
use crate::ArchiveError;

/// Compressed bytes that a window may hold for each of its rows; a sparse selection touches many pages for few rows.
const WINDOW_BYTES_PER_ROW: u64 = 8;

/// A cursor over `samples`. Rows that were passed cannot be read again.
#[derive(Debug)]
pub(super) struct SampleWindow {
    window_rows: usize,
    /// Rows of the file that are still to come out of `decoder` and `batch`, in order.
    selected: VecDeque<Range<u64>>,
    decoder: Option<ParquetRecordBatchReader>,
    batch: Option<SampleBatch>,
    /// Row that may be read next.
    position: u64,
}

impl SampleWindow {
    pub(super) fn new(window_rows: usize) -> Self {
        Self {
            window_rows: window_rows.max(1),
            selected: VecDeque::new(),
            decoder: None,
            batch: None,
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
            self.skip_to(file, next)?;
            if self.selected.front().is_none_or(|front| front.start != next) {
                self.open(file, groups, next..rows.end, upcoming.clone()).await?;
            }
            let Some(front) = self.selected.front().cloned() else {
                return Err(file.corrupt("rows are missing"));
            };
            let end = front.end.min(rows.end);
            self.take(file, end - next, Some((range, &mut *out)))?;
            next = end;
        }
        self.position = self.position.max(rows.end);
        Ok(())
    }

    /// Passes over selected rows before `row`.
    fn skip_to(&mut self, file: &PartFile, row: u64) -> Result<(), ArchiveError> {
        if self.selected.back().is_none_or(|last| last.end <= row) {
            self.selected.clear();
            self.decoder = None;
            self.batch = None;
            return Ok(());
        }
        while let Some(front) = self.selected.front().cloned().filter(|front| front.start < row) {
            self.take(file, front.end.min(row) - front.start, None)?;
        }
        Ok(())
    }

    /// Takes the next `count` selected rows, which are rows of the first range.
    fn take(
        &mut self,
        file: &PartFile,
        mut count: u64,
        mut into: Option<(TimeRange, &mut Run)>,
    ) -> Result<(), ArchiveError> {
        if let Some(front) = self.selected.front_mut() {
            front.start += count;
            if front.is_empty() {
                self.selected.pop_front();
            }
        }
        while count > 0 {
            if self.batch.as_ref().is_none_or(|batch| batch.at == batch.rows()) {
                let decoded = match &mut self.decoder {
                    Some(decoder) => file.next_batch(decoder)?,
                    None => None,
                };
                let decoded = decoded.ok_or_else(|| file.corrupt("it has fewer rows than it says"))?;
                self.batch = Some(SampleBatch::new(file, &decoded)?);
            }
            let Some(batch) = &mut self.batch else { continue };
            let here = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(batch.rows() - batch.at);
            if let Some((range, out)) = &mut into {
                batch.append(file, batch.at..batch.at + here, *range, out)?;
            }
            batch.at += here;
            count -= here as u64;
        }
        Ok(())
    }

    /// Fetches the pages of `rows` as far as the window goes, and of upcoming rows as far as there is room.
    async fn open(
        &mut self,
        file: &PartFile,
        groups: &SampleGroups,
        rows: Range<u64>,
        upcoming: impl Iterator<Item = Range<u64>>,
    ) -> Result<(), ArchiveError> {
        // Free what is left of the window before the next one is fetched.
        self.selected.clear();
        self.decoder = None;
        self.batch = None;
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
            // Whole pages: what is left of one would have to be fetched and decoded again.
            page = group.page_at(chosen[0].start + self.window_rows - 1);
            chosen[0].end = chosen[0].end.min(group.pages[page].0.end);
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
        let selection = RowSelection::from_consecutive_ranges(chosen.iter().cloned(), group.rows);
        let projection = file.projection(&columns);
        self.decoder = Some(file.read(number, selection, projection, self.window_rows).await?);
        let global = |row: usize| group.start + row as u64;
        self.selected = chosen
            .into_iter()
            .map(|rows| global(rows.start)..global(rows.end))
            .collect();
        Ok(())
    }
}
