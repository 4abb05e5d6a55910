//! Where the rows of a file lie: row groups and pages, and what reading them costs.

use std::ops::Range;

use parquet::basic::Type;

use super::part_file::PartFile;
use super::{schema, series_pages};
use crate::ArchiveError;

/// Where the row groups and pages of a file begin, by its column `timestamp`.
#[derive(Debug)]
pub(super) struct RowGroups {
    groups: Vec<RowGroup>,
}

#[derive(Debug)]
pub(super) struct RowGroup {
    pub(super) start: u64,
    pub(super) rows: usize,
    /// Rows, and bytes of all columns that are read, of each page.
    pub(super) pages: Vec<(Range<usize>, u64)>,
    pub(super) has_start_timestamps: bool,
    /// Bytes of a decoded row, on average; of its texts, on the page that has the longest.
    pub(super) row_bytes: u64,
}

impl RowGroups {
    /// Of a file whose `columns` are read together with times.
    pub(super) fn new(file: &PartFile, columns: &[&str]) -> Result<Self, ArchiveError> {
        let timestamp = file.leaf(schema::TIMESTAMP)?;
        let start_timestamp = file.find_leaf(schema::START_TIMESTAMP);
        let mut read = vec![timestamp];
        for column in columns {
            read.extend(file.leaves_of(column));
        }
        let mut start = 0_u64;
        let mut groups = Vec::new();
        for (i, group) in file.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(group.num_rows()).map_err(|error| file.corrupt(error))?;
            let mut pages = series_pages::pages(file, i, timestamp, rows)?;
            // Other columns are cut at about the same rows, so the share of a page is near enough to what is fetched for it.
            let bytes_of = |leaf: usize| u64::try_from(group.column(leaf).compressed_size()).unwrap_or(0);
            let all = read.iter().fold(0_u64, |sum, &leaf| sum.saturating_add(bytes_of(leaf)));
            let own = bytes_of(timestamp).max(1);
            for (_, bytes) in &mut pages {
                *bytes = u64::try_from(u128::from(*bytes) * u128::from(all) / u128::from(own)).unwrap_or(u64::MAX);
            }
            let nulls = start_timestamp.and_then(|leaf| group.column(leaf).statistics()?.null_count_opt());
            let values = read.iter().fold(0_u64, |sum, &leaf| {
                sum.saturating_add(u64::try_from(group.column(leaf).num_values()).unwrap_or(0))
            });
            let texts = read.iter().map(|&leaf| text_bytes(file, i, leaf, rows));
            let texts = texts.fold(0, u64::saturating_add);
            groups.push(RowGroup {
                start,
                rows,
                pages,
                has_start_timestamps: start_timestamp.is_some() && nulls != Some(rows as u64),
                row_bytes: (values.saturating_mul(8) / (rows as u64).max(1)).saturating_add(texts),
            });
            start = start.saturating_add(rows as u64);
        }
        Ok(Self { groups })
    }

    pub(super) fn get(&self, group: usize) -> Option<&RowGroup> {
        self.groups.get(group)
    }

    /// Rows of the file.
    pub(super) fn rows(&self) -> u64 {
        let last = self.groups.last();
        last.map_or(0, |last| last.start.saturating_add(last.rows as u64))
    }

    pub(super) fn group_at(&self, row: u64) -> Option<(usize, &RowGroup)> {
        let after = self.groups.partition_point(|group| group.start <= row);
        let i = after.checked_sub(1)?;
        let group = self.groups.get(i)?;
        (row - group.start < group.rows as u64).then_some((i, group))
    }
}

impl RowGroup {
    pub(super) fn page_at(&self, row: usize) -> usize {
        self.pages
            .partition_point(|(rows, _)| rows.start <= row)
            .saturating_sub(1)
    }
}

/// Bytes of texts of a row, on the page of the column that has most: a window is filled before it is known how large its rows are, and an
/// average over many small ones and some large ones says nothing of the large ones.
fn text_bytes(file: &PartFile, row_group: usize, leaf: usize, rows: usize) -> u64 {
    let column = file.metadata().row_group(row_group).column(leaf);
    if column.column_type() != Type::BYTE_ARRAY {
        return 0;
    }
    let index = file.metadata().page_index_for_row_group(row_group);
    let of_pages = index.offset_index(leaf).and_then(|index| {
        let locations = index.page_locations();
        let starts = locations.iter().map(|page| page.first_row_index);
        let ends = starts.clone().skip(1).chain([rows as i64]);
        let bytes = index.unencoded_byte_array_data_bytes()?.iter();
        let pages = starts.zip(ends).zip(bytes);
        pages
            .map(|((start, end), &bytes)| {
                u64::try_from(bytes).unwrap_or(0) / u64::try_from(end.saturating_sub(start)).unwrap_or(0).max(1)
            })
            .max()
    });
    // Who does not say it has no dictionary to speak of, or short texts.
    let on_average = || u64::try_from(column.uncompressed_size()).unwrap_or(0) / (rows as u64).max(1);
    of_pages.unwrap_or_else(on_average)
}

/// The sizes come from the file and may be anything.
pub(super) fn bytes_of<'a>(pages: impl Iterator<Item = &'a (Range<usize>, u64)>) -> u64 {
    pages.fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
}
