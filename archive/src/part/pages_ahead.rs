//! Pages of `samples` that are fetched together, as they lie in the file, and decoded one after another.
//!
//! Whoever reads all rows of a part needs every page once: many of them come with one request, and one of them is decoded at a time, so that
//! what is held of many parts stays in the caches of a processor. Must give what [`sample_pages::read`] gives of the same rows.

use std::ops::Range;

use emberkeep_model::Run;

use super::part_file::{Pages, PartFile};
use super::row_groups::RowGroup;
use super::{raw_pages, sample_pages};
use crate::ArchiveError;

/// Pages of a row group that follow each other.
#[derive(Debug)]
pub(super) struct PagesAhead {
    row_group: usize,
    /// Rows of the group that they have.
    rows: Range<usize>,
    leaves: Vec<usize>,
    pages: Pages,
}

impl PagesAhead {
    /// Fetches pages from one on, as many as have so many bytes, and at least one. `None` when they are none that are taken apart here.
    pub(super) async fn fetch(
        file: &PartFile,
        row_group: usize,
        group: &RowGroup,
        page: usize,
        most_bytes: u64,
    ) -> Result<Option<Self>, ArchiveError> {
        let (Some(leaves), Some((first, own))) = (sample_pages::leaves(file, group), group.pages.get(page)) else {
            return Ok(None);
        };
        let (mut rows, mut bytes) = (first.clone(), *own);
        for (next, more) in &group.pages[page + 1..] {
            bytes = bytes.saturating_add(*more);
            if bytes > most_bytes {
                break;
            }
            rows.end = next.end;
        }
        let pages = raw_pages::fetch(file, row_group, std::slice::from_ref(&rows), &leaves).await?;
        Ok(pages.map(|pages| Self {
            row_group,
            rows,
            leaves,
            pages,
        }))
    }

    /// Whether a page is one of them.
    pub(super) fn holds(&self, row_group: usize, page: &Range<usize>) -> bool {
        self.row_group == row_group && self.rows.start <= page.start && page.end <= self.rows.end
    }

    /// Appends all rows of a page that is held. `None` when it is none that is taken apart here; what was appended then means nothing.
    pub(super) fn decode(&self, file: &PartFile, page: &Range<usize>, out: &mut Run) -> Option<()> {
        sample_pages::decode_page(file, self.row_group, &self.leaves, &self.pages, page, out)
    }
}
