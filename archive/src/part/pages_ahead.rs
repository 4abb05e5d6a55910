//! Pages of `samples` that are fetched together, as they lie in the file, and opened one after another.
//!
//! Many of them come with one request, and of them one is open at a time, so that what is held of many parts is little more than the bytes
//! of the file.

use std::ops::Range;

use super::part_file::{Pages, PartFile};
use super::raw_pages::{self, RawColumn};
use super::row_groups::RowGroup;
use super::sample_page;
use crate::ArchiveError;

/// Pages of a row group.
#[derive(Debug)]
pub(super) struct PagesAhead {
    row_group: usize,
    /// Rows of the group that they have, in order; no two touch.
    stretches: Vec<Range<usize>>,
    leaves: Vec<usize>,
    pages: Pages,
}

impl PagesAhead {
    /// Fetches pages by their numbers in the group, which rise. `None` when they are none that are taken apart here.
    pub(super) async fn fetch(
        file: &PartFile,
        row_group: usize,
        group: &RowGroup,
        pages: &[Range<usize>],
    ) -> Result<Option<Self>, ArchiveError> {
        let rows_of = |pages: &Range<usize>| {
            let pages = group.pages.get(pages.clone())?;
            Some(pages.first()?.0.start..pages.last()?.0.end)
        };
        let stretches: Option<Vec<_>> = pages.iter().map(rows_of).collect();
        let (Some(leaves), Some(stretches)) = (sample_page::leaves(file, group), stretches) else {
            return Ok(None);
        };
        let pages = raw_pages::fetch(file, row_group, &stretches, &leaves).await?;
        Ok(pages.map(|pages| Self {
            row_group,
            stretches,
            leaves,
            pages,
        }))
    }

    /// Whether a page is one of them.
    pub(super) fn holds(&self, row_group: usize, page: &Range<usize>) -> bool {
        let has = |rows: &Range<usize>| rows.start <= page.start && page.end <= rows.end;
        self.row_group == row_group && self.stretches.iter().any(has)
    }

    /// Whether there are pages behind this one.
    pub(super) fn goes_on_behind(&self, page: &Range<usize>) -> bool {
        self.stretches.last().is_some_and(|rows| page.end < rows.end)
    }

    /// Whether a column is read, by its number.
    pub(super) fn has_column(&self, number: usize) -> bool {
        number < self.leaves.len()
    }

    /// A column that is read, with its pages.
    pub(super) fn column<'a>(&'a self, file: &'a PartFile, number: usize) -> Option<RawColumn<'a>> {
        RawColumn::new(file, self.row_group, *self.leaves.get(number)?, &self.pages)
    }
}
