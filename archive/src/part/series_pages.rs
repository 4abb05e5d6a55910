//! Which rows of the series table, or of metadata, a query has to look at, from the statistics of the pages.
//!
//! Statistics may be cut to a prefix, so they are bounds: a page may be read in vain, and is never left out wrongly.

use std::ops::Range;

use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use emberkeep_model::{MatchOp, TenantId};

use super::needles::Needles;
use super::page_filter::PageFilters;
use super::part_file::{GroupRows, PartFile};
use super::scan::{ScanKinds, ScanQuery};
use super::schema;
use crate::ArchiveError;

/// All windows of a query, in row order; pages are joined up to `window_bytes`. What is remembered of pages leaves some of them out.
pub(super) fn windows(
    file: &PartFile,
    query: &ScanQuery,
    window_bytes: u64,
    (needles, filters): (&Needles, Option<&PageFilters>),
) -> Result<Vec<GroupRows>, ArchiveError> {
    let labels = file.leaf(&format!("{}.key_value.value", schema::LABELS))?;
    let filters = filters.filter(|_| !needles.is_empty()).map(PageFilters::read);
    let passes = |row_group: usize, rows: &Range<usize>| {
        let filter = filters
            .as_ref()
            .and_then(|filters| filters.get(&(row_group, rows.start)));
        filter.is_none_or(|filter| needles.pass(filter))
    };
    windows_of(file, labels, window_bytes, |row_group, rows| {
        Ok(passes(row_group, rows) && may_match(file, query, row_group, rows)?)
    })
}

/// All windows of pages that may match, in row order; pages of the column `leaf` are joined up to `window_bytes`.
pub(super) fn windows_of(
    file: &PartFile,
    leaf: usize,
    window_bytes: u64,
    may_match: impl Fn(usize, &Range<usize>) -> Result<bool, ArchiveError>,
) -> Result<Vec<GroupRows>, ArchiveError> {
    let mut windows = Vec::new();
    for row_group in 0..file.metadata().num_row_groups() {
        let row_count = file
            .metadata()
            .row_group_num_rows(row_group)
            .map_err(|error| file.corrupt(error))?;
        let mut open: Option<(GroupRows, u64)> = None;
        for (page, bytes) in pages(file, row_group, leaf, row_count)? {
            if !may_match(row_group, &page)? {
                continue;
            }
            open = match open {
                Some((mut window, so_far)) if so_far.saturating_add(bytes) <= window_bytes => {
                    window.rows.push(page);
                    Some((window, so_far + bytes))
                }
                full => {
                    windows.extend(full.map(|(window, _)| window));
                    Some((
                        GroupRows {
                            row_group,
                            row_count,
                            rows: vec![page],
                        },
                        bytes,
                    ))
                }
            };
        }
        windows.extend(open.map(|(window, _)| window));
    }
    Ok(windows)
}

/// Rows and bytes of each page of a column; without a page index, the whole row group.
pub(super) fn pages(
    file: &PartFile,
    row_group: usize,
    leaf: usize,
    row_count: usize,
) -> Result<Vec<(Range<usize>, u64)>, ArchiveError> {
    let index = file.metadata().page_index_for_row_group(row_group);
    let Some(locations) = index.page_locations(leaf) else {
        let bytes = file.metadata().row_group(row_group).column(leaf).compressed_size();
        return Ok(vec![(0..row_count, u64::try_from(bytes).unwrap_or(0))]);
    };
    let start = |i: usize| match locations.get(i) {
        Some(page) => usize::try_from(page.first_row_index).unwrap_or(usize::MAX),
        None => row_count,
    };
    let pages = locations.iter().enumerate();
    let pages: Vec<_> = pages
        .map(|(i, page)| {
            (
                start(i)..start(i + 1),
                u64::try_from(page.compressed_page_size).unwrap_or(0),
            )
        })
        .collect();
    let in_order = pages
        .iter()
        .all(|(rows, _)| rows.start < rows.end && rows.end <= row_count);
    let covers = pages.first().map_or(row_count == 0, |(rows, _)| rows.start == 0);
    if in_order && covers {
        Ok(pages)
    } else {
        Err(file.corrupt("its page index is out of order"))
    }
}

fn may_match(file: &PartFile, query: &ScanQuery, row_group: usize, rows: &Range<usize>) -> Result<bool, ArchiveError> {
    if !may_hold_tenant(file, row_group, rows, &query.tenant)? {
        return Ok(false);
    }
    for matcher in query.matchers.iter().filter(|matcher| matcher.op() == MatchOp::Equal) {
        let name = matcher.value();
        if matcher.name() == "__name__" && !may_hold_text(file, row_group, schema::METRIC_NAME, rows, name)? {
            return Ok(false);
        }
    }
    if query.kinds != ScanKinds::Samples {
        return Ok(true);
    }
    let oldest = least_number(file, row_group, schema::MIN_TIME, rows)?;
    let newest = greatest_number(file, row_group, schema::MAX_TIME, rows)?;
    Ok(query.range.overlaps(oldest, newest))
}

/// Whether some of the rows may be of the tenant.
pub(super) fn may_hold_tenant(
    file: &PartFile,
    row_group: usize,
    rows: &Range<usize>,
    tenant: &TenantId,
) -> Result<bool, ArchiveError> {
    match file.find_leaf(schema::TENANT) {
        Some(_) => may_hold_text(file, row_group, schema::TENANT, rows, tenant.as_str()),
        None => Ok(file.may_hold(tenant)),
    }
}

/// Whether some of the rows may have a number of this range in the column.
pub(super) fn may_hold_number(
    file: &PartFile,
    row_group: usize,
    column: &str,
    rows: &Range<usize>,
    numbers: &Range<i64>,
) -> Result<bool, ArchiveError> {
    let least = least_number(file, row_group, column, rows)?;
    let greatest = greatest_number(file, row_group, column, rows)?;
    Ok(least < numbers.end && numbers.start <= greatest)
}

/// Whether some of the rows may have this text in the column.
pub(super) fn may_hold_text(
    file: &PartFile,
    row_group: usize,
    column: &str,
    rows: &Range<usize>,
    text: &str,
) -> Result<bool, ArchiveError> {
    let text = text.as_bytes();
    let mut found = false;
    let is_indexed = over_pages(file, row_group, column, rows, |index, page| {
        if let ColumnIndexMetaData::BYTE_ARRAY(index) = index {
            let (least, greatest) = (index.min_value(page), index.max_value(page));
            found |= least.is_none_or(|least| least <= text) && greatest.is_none_or(|greatest| text <= greatest);
        } else {
            found = true;
        }
    })?;
    Ok(found || !is_indexed)
}

fn least_number(file: &PartFile, row_group: usize, column: &str, rows: &Range<usize>) -> Result<i64, ArchiveError> {
    let mut least = i64::MAX;
    let is_indexed = over_pages(file, row_group, column, rows, |index, page| {
        let ColumnIndexMetaData::INT64(index) = index else {
            return least = i64::MIN;
        };
        least = least.min(index.min_value(page).copied().unwrap_or(i64::MIN));
    })?;
    Ok(if is_indexed { least } else { i64::MIN })
}

fn greatest_number(file: &PartFile, row_group: usize, column: &str, rows: &Range<usize>) -> Result<i64, ArchiveError> {
    let mut greatest = i64::MIN;
    let is_indexed = over_pages(file, row_group, column, rows, |index, page| {
        let ColumnIndexMetaData::INT64(index) = index else {
            return greatest = i64::MAX;
        };
        greatest = greatest.max(index.max_value(page).copied().unwrap_or(i64::MAX));
    })?;
    Ok(if is_indexed { greatest } else { i64::MAX })
}

/// Calls `see` with the statistics of every page of the column that has some of the rows; false when there are none.
fn over_pages(
    file: &PartFile,
    row_group: usize,
    column: &str,
    rows: &Range<usize>,
    mut see: impl FnMut(&ColumnIndexMetaData, usize),
) -> Result<bool, ArchiveError> {
    let leaf = file.leaf(column)?;
    let group = file.metadata().page_index_for_row_group(row_group);
    let (Some(index), Some(locations)) = (group.column_index(leaf), group.page_locations(leaf)) else {
        return Ok(false);
    };
    if index.num_pages() != locations.len() as u64 {
        return Err(file.corrupt("its column index and offset index differ"));
    }
    let first_row = |page: &PageLocation| usize::try_from(page.first_row_index).unwrap_or(0);
    if !locations.is_sorted_by_key(first_row) {
        return Err(file.corrupt("its page index is out of order"));
    }
    let behind = locations.partition_point(|page| first_row(page) <= rows.start);
    let end = locations.partition_point(|page| first_row(page) < rows.end);
    for page in behind.saturating_sub(1)..end {
        see(index, page);
    }
    Ok(true)
}
