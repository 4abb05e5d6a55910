//! Reading runs of samples by row number, forward only, with a bounded window of rows in memory.
//!
//! The hot loop of every read: whole runs at a time over typed slices, no access by row.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{Array, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int8Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};

use emberkeep_model::{Run, TimeRange, UNSET_START_TIMESTAMP};

use super::metadata::PartFile;
use super::{decimal, schema, series_pages};
use crate::ArchiveError;

/// Compressed bytes that a window may hold for each of its rows; a sparse selection touches many pages for few rows.
const WINDOW_BYTES_PER_ROW: u64 = 8;

/// Where the row groups and pages of `samples` begin.
#[derive(Debug)]
pub(super) struct SampleGroups {
    groups: Vec<SampleGroup>,
}

#[derive(Debug)]
struct SampleGroup {
    start: u64,
    rows: usize,
    /// Rows, and bytes of all columns that are read, of each page.
    pages: Vec<(Range<usize>, u64)>,
    has_start_timestamps: bool,
}

impl SampleGroups {
    pub(super) fn new(file: &PartFile) -> Result<Self, ArchiveError> {
        let timestamp = file.leaf(schema::TIMESTAMP)?;
        let start_timestamp = file.leaf(schema::START_TIMESTAMP)?;
        let read = [schema::UNSCALED, schema::SCALE, schema::RAW_VALUE].map(|name| file.leaf(name));
        let mut start = 0_u64;
        let mut groups = Vec::new();
        for (i, group) in file.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(group.num_rows()).map_err(|error| file.corrupt(error))?;
            let mut pages = series_pages::pages(file, i, timestamp, rows)?;
            // Other columns are cut at the same rows, so the share of a page is near enough to what is fetched for it.
            let bytes_of = |leaf: usize| u64::try_from(group.column(leaf).compressed_size()).unwrap_or(0);
            let mut all = bytes_of(timestamp);
            for leaf in &read {
                all = all.saturating_add(leaf.as_ref().map_or(0, |&leaf| bytes_of(leaf)));
            }
            let own = bytes_of(timestamp).max(1);
            for (_, bytes) in &mut pages {
                *bytes = u64::try_from(u128::from(*bytes) * u128::from(all) / u128::from(own)).unwrap_or(u64::MAX);
            }
            let nulls = group
                .column(start_timestamp)
                .statistics()
                .and_then(|statistics| statistics.null_count_opt());
            groups.push(SampleGroup {
                start,
                rows,
                pages,
                has_start_timestamps: nulls != Some(rows as u64),
            });
            start = start.saturating_add(rows as u64);
        }
        Ok(Self { groups })
    }

    /// Number of rows of the file.
    pub(super) fn rows(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.start + group.rows as u64)
    }

    fn group_at(&self, row: u64) -> Option<(usize, &SampleGroup)> {
        let after = self.groups.partition_point(|group| group.start <= row);
        let i = after.checked_sub(1)?;
        let group = self.groups.get(i)?;
        (row - group.start < group.rows as u64).then_some((i, group))
    }
}

impl SampleGroup {
    fn page_at(&self, row: usize) -> usize {
        self.pages
            .partition_point(|(rows, _)| rows.start <= row)
            .saturating_sub(1)
    }
}

/// A cursor over `samples`. Rows that were passed cannot be read again.
#[derive(Debug)]
pub(super) struct SampleWindow {
    window_rows: usize,
    /// Rows of the file that are still to come out of `decoder` and `batch`, in order.
    selected: VecDeque<Range<u64>>,
    decoder: Option<ParquetRecordBatchReader>,
    batch: Option<Columns>,
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
                self.batch = Some(Columns::new(file, &decoded)?);
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
        let mut chosen = vec![local(rows.start)..local(rows.end)];
        let mut count = chosen[0].len();
        let mut page = group.page_at(chosen[0].end.saturating_sub(1));
        if count > self.window_rows {
            // Whole pages: what is left of one would have to be fetched and decoded again.
            page = group.page_at(chosen[0].start + self.window_rows - 1);
            chosen[0].end = chosen[0].end.min(group.pages[page].0.end);
        } else {
            let first = group.page_at(chosen[0].start);
            let mut bytes: u64 = group.pages[first..=page].iter().map(|(_, bytes)| *bytes).sum();
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
                let more: u64 = group
                    .pages
                    .get(first_new..=last_page)
                    .into_iter()
                    .flatten()
                    .map(|(_, b)| *b)
                    .sum();
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

/// One decoded batch.
#[derive(Debug)]
struct Columns {
    timestamps: arrow::array::TimestampMillisecondArray,
    unscaled: Int64Array,
    scales: arrow::array::Int8Array,
    raw: Option<Float64Array>,
    starts: Option<arrow::array::TimestampMillisecondArray>,
    /// Rows taken so far.
    at: usize,
}

impl Columns {
    fn new(file: &PartFile, batch: &RecordBatch) -> Result<Self, ArchiveError> {
        let column = |name: &str| batch.column_by_name(name);
        let missing = || file.corrupt("a column has another type than the footer says");
        let timestamps = column(schema::TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        let unscaled = column(schema::UNSCALED).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let scales = column(schema::SCALE).and_then(|c| c.as_primitive_opt::<Int8Type>());
        let raw = column(schema::RAW_VALUE).and_then(|c| c.as_primitive_opt::<Float64Type>());
        let starts = column(schema::START_TIMESTAMP).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        Ok(Self {
            timestamps: timestamps.cloned().ok_or_else(missing)?,
            unscaled: unscaled.cloned().ok_or_else(missing)?,
            scales: scales.cloned().ok_or_else(missing)?,
            raw: raw.filter(|raw| raw.null_count() < raw.len()).cloned(),
            starts: starts.filter(|starts| starts.null_count() < starts.len()).cloned(),
            at: 0,
        })
    }

    fn rows(&self) -> usize {
        self.timestamps.len()
    }

    /// Appends the rows that lie in the time range.
    fn append(&self, file: &PartFile, rows: Range<usize>, range: TimeRange, out: &mut Run) -> Result<(), ArchiveError> {
        let times = &self.timestamps.values()[rows.clone()];
        let first = times.partition_point(|&time| time < range.start);
        let count = times[first..].partition_point(|&time| time < range.end);
        let rows = rows.start + first..rows.start + first + count;
        if rows.is_empty() {
            return Ok(());
        }
        let before = out.len();
        out.timestamps.extend_from_slice(&times[first..first + count]);
        self.append_values(file, rows.clone(), &mut out.values)?;
        match &self.starts {
            Some(starts) if rows.clone().any(|row| starts.is_valid(row)) => {
                out.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
                let start = |row| {
                    if starts.is_valid(row) {
                        starts.value(row)
                    } else {
                        UNSET_START_TIMESTAMP
                    }
                };
                out.start_timestamps.extend(rows.map(start));
            }
            _ if !out.start_timestamps.is_empty() => out.start_timestamps.resize(out.len(), UNSET_START_TIMESTAMP),
            _ => {}
        }
        Ok(())
    }

    fn append_values(&self, file: &PartFile, rows: Range<usize>, out: &mut Vec<f64>) -> Result<(), ArchiveError> {
        let scales = &self.scales.values()[rows.clone()];
        let unscaled = &self.unscaled.values()[rows.clone()];
        let scale = scales[0];
        let no_scale = || file.corrupt("a sample has a scale outside of 0 to 15");
        if self.raw.is_none() && self.unscaled.null_count() == 0 && scales.iter().all(|other| *other == scale) {
            let power = decimal::power(scale).ok_or_else(no_scale)?;
            out.extend(unscaled.iter().map(|&unscaled| unscaled as f64 / power));
            return Ok(());
        }
        for (i, row) in rows.enumerate() {
            out.push(match &self.raw {
                Some(raw) if raw.is_valid(row) => raw.value(row),
                _ if self.unscaled.is_valid(row) => decimal::decode(unscaled[i], scales[i]).ok_or_else(no_scale)?,
                _ => return Err(file.corrupt("a sample has no value")),
            });
        }
        Ok(())
    }
}
