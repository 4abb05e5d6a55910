//! Where the rows of `samples` lie: row groups and pages, and what reading a page costs.

use std::ops::Range;

use super::metadata::PartFile;
use super::{schema, series_pages};
use crate::ArchiveError;

/// Where the row groups and pages of `samples` begin.
#[derive(Debug)]
pub(super) struct SampleGroups {
    groups: Vec<SampleGroup>,
}

#[derive(Debug)]
pub(super) struct SampleGroup {
    pub(super) start: u64,
    pub(super) rows: usize,
    /// Rows, and bytes of all columns that are read, of each page.
    pub(super) pages: Vec<(Range<usize>, u64)>,
    pub(super) has_start_timestamps: bool,
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

    pub(super) fn group_at(&self, row: u64) -> Option<(usize, &SampleGroup)> {
        let after = self.groups.partition_point(|group| group.start <= row);
        let i = after.checked_sub(1)?;
        let group = self.groups.get(i)?;
        (row - group.start < group.rows as u64).then_some((i, group))
    }
}

impl SampleGroup {
    pub(super) fn page_at(&self, row: usize) -> usize {
        self.pages
            .partition_point(|(rows, _)| rows.start <= row)
            .saturating_sub(1)
    }
}

/// The sizes come from the file and may be anything.
pub(super) fn bytes_of<'a>(pages: impl Iterator<Item = &'a (Range<usize>, u64)>) -> u64 {
    pages.fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
}
