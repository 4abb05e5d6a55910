//! Which pages of a file of rows come next, column by column, as far as there is room for them.
//!
//! Columns lie apart, and one of them has nearly all of the bytes. So each is fetched in stretches of its own length: small columns of a row
//! group come whole with one request, the large one in a few. Rows that are known to be asked for are fetched at once; behind them,
//! where nobody knows yet, as many as were read without a gap before, so that little is fetched in vain of what is left off soon.

use std::ops::Range;

use super::part_file::PartFile;
use super::read_ahead::{ReadAhead, Wanted};
use super::row_groups::{RowGroup, RowGroups};
use super::{raw_pages, schema};

/// A stretch of a column has so many bytes, unless the row group ends before, or an eighth of what may be held: the next stretch of each
/// column has to fit beside the one at work.
const LEAST_STRETCH_BYTES: u64 = 32 << 10;

/// Where rows are read without gaps, so much of a column comes whether its rows are known to be asked for or not.
const CHEAP_BYTES: u64 = 24 << 10;

/// A column comes in at least so many stretches, together as long as what may be held.
const STRETCHES: u64 = 4;

/// What may follow the rows that are known to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Rows of series that were not looked at.
    Unknown,
    /// None.
    Nothing,
}

/// How far a file is fetched.
#[derive(Debug)]
pub(super) struct RowsAhead {
    columns: &'static [&'static str],
    behind: Behind,
    /// Rows that were asked for without a gap, up to the last known.
    run: Range<u64>,
    /// The row group at work.
    group: usize,
    pages: Vec<NextPage>,
}

/// A column of the row group at work, and its first page that was not looked at.
#[derive(Debug, Clone, Copy)]
struct NextPage {
    leaf: usize,
    page: usize,
}

/// Pages of a column that lie one behind the other and are wanted.
#[derive(Debug)]
struct Stretch {
    column: usize,
    /// First row of the group.
    row: usize,
    next_page: usize,
    bytes: Range<u64>,
    /// The row of the group behind it.
    end: usize,
}

impl RowsAhead {
    /// Of rows that have times and these columns.
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self {
            columns,
            behind: Behind::Unknown,
            run: 0..0,
            group: 0,
            pages: Vec::new(),
        }
    }

    /// What may follow the rows that are known.
    pub(super) fn expect(&mut self, behind: Behind) {
        self.behind = behind;
    }

    /// Begins to fetch rows that will be asked for, in order, as far as there is room.
    pub(super) fn plan(&mut self, file: &PartFile, groups: &RowGroups, rows: impl Iterator<Item = Range<u64>>) {
        let Some(ahead) = file.ahead() else {
            return;
        };
        let wanted = self.wanted(rows, groups.rows());
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return;
        };
        ahead.pass(first.start);
        let mut room = ahead.room();
        // Many small steps would be many small requests.
        if room < ahead.most_bytes() / STRETCHES {
            return;
        }
        let mut batch = Vec::new();
        let Some((at, _)) = groups.group_at(first.start) else {
            return;
        };
        if self.pages.is_empty() || at > self.group {
            self.enter(file, groups, at, &mut batch);
        }
        'groups: while let Some(group) = groups.get(self.group) {
            let wanted = local(&wanted, group);
            while let Some(stretch) = self.next_stretch(file, group, &wanted, ahead) {
                match room.checked_sub(stretch.bytes.end - stretch.bytes.start) {
                    Some(left) => room = left,
                    None => break 'groups,
                }
                self.pages[stretch.column].page = stretch.next_page;
                batch.push(Wanted {
                    bytes: stretch.bytes,
                    until: group.start + stretch.end as u64,
                });
            }
            if last.end <= group.start + group.rows as u64 || groups.get(self.group + 1).is_none() {
                break;
            }
            self.enter(file, groups, self.group + 1, &mut batch);
        }
        ahead.begin(batch);
    }

    /// Goes to a row group. Dictionaries are needed for each of its pages.
    fn enter(&mut self, file: &PartFile, groups: &RowGroups, group: usize, batch: &mut Vec<Wanted>) {
        self.group = group;
        self.pages.clear();
        let Some(of) = groups.get(group) else {
            return;
        };
        let starts = of.has_start_timestamps.then_some(schema::START_TIMESTAMP);
        let names = [schema::TIMESTAMP].iter().chain(self.columns).copied().chain(starts);
        for leaf in names.flat_map(|name| file.leaves_of(name)) {
            self.pages.push(NextPage { leaf, page: 0 });
            batch.extend(raw_pages::dictionary_place(file, group, leaf).map(|bytes| Wanted {
                bytes,
                until: of.start + of.rows as u64,
            }));
        }
        batch.retain(|wanted| wanted.bytes.end <= file.bytes());
    }

    /// Of all columns, the stretch that begins with the least row.
    fn next_stretch(
        &mut self,
        file: &PartFile,
        group: &RowGroup,
        wanted: &[Range<usize>],
        ahead: &ReadAhead,
    ) -> Option<Stretch> {
        let number = self.group;
        let parquet = file.metadata().row_group(number);
        let bytes_of = |leaf: usize| u64::try_from(parquet.column(leaf).compressed_size()).unwrap_or(0);
        let all = self
            .pages
            .iter()
            .fold(1, |sum: u64, column| sum.saturating_add(bytes_of(column.leaf)));
        let index = file.metadata().page_index_for_row_group(number);
        let end = wanted.last().map_or(0, |last| last.end);
        let mut least: Option<Stretch> = None;
        for (column, next) in self.pages.iter_mut().enumerate() {
            let Some(locations) = index.page_locations(next.leaf) else {
                continue;
            };
            let rows = |page: usize| -> Range<usize> {
                let start = |page: usize| match locations.get(page) {
                    Some(page) => usize::try_from(page.first_row_index).unwrap_or(usize::MAX),
                    None => group.rows,
                };
                start(page)..start(page + 1)
            };
            let bytes = |page: usize| -> Option<Range<u64>> {
                let place = locations.get(page)?;
                let start = u64::try_from(place.offset).ok()?;
                let end = start.checked_add(u64::try_from(place.compressed_page_size).ok()?)?;
                (start < end && end <= file.bytes()).then_some(start..end)
            };
            // Pages behind all that is known now may be wanted later.
            while next.page < locations.len() && rows(next.page).end <= end && !has_any(wanted, &rows(next.page)) {
                next.page += 1;
            }
            let first = next.page;
            if !has_any(wanted, &rows(first)) {
                continue;
            }
            let Some(mut stretch) = bytes(first) else {
                continue;
            };
            if least.as_ref().is_some_and(|least| least.row <= rows(first).start) {
                continue;
            }
            let share = u128::from(ahead.most_bytes() / STRETCHES) * u128::from(bytes_of(next.leaf)) / u128::from(all);
            let least_bytes = LEAST_STRETCH_BYTES.min(ahead.most_bytes() / 8);
            let enough = u64::try_from(share).unwrap_or(u64::MAX).max(least_bytes);
            let mut next_page = first + 1;
            let cheap = match self.behind {
                Behind::Unknown if wanted.len() == 1 => CHEAP_BYTES,
                Behind::Unknown | Behind::Nothing => 0,
            };
            while stretch.end - stretch.start < enough
                && (has_any(wanted, &rows(next_page)) || stretch.end - stretch.start < cheap)
                && let Some(more) = bytes(next_page).filter(|more| more.start == stretch.end)
            {
                stretch.end = more.end;
                next_page += 1;
            }
            least = Some(Stretch {
                column,
                row: rows(first).start,
                next_page,
                bytes: stretch,
                end: rows(next_page).start,
            });
        }
        least
    }

    /// The rows that are worth fetching, joined.
    fn wanted(&mut self, rows: impl Iterator<Item = Range<u64>>, rows_of_file: u64) -> Vec<Range<u64>> {
        let mut wanted: Vec<Range<u64>> = Vec::new();
        for rows in rows {
            match wanted.last_mut() {
                Some(last) if rows.start == last.end => last.end = rows.end,
                Some(last) if rows.start < last.end => break,
                _ => wanted.push(rows),
            }
        }
        let (Some(first), Some(last)) = (wanted.first().cloned(), wanted.last_mut()) else {
            return wanted;
        };
        let goes_on = self.run.start <= first.start && first.start <= self.run.end;
        self.run = match goes_on && first == *last {
            true => self.run.start..last.end,
            false => last.clone(),
        };
        if self.behind == Behind::Unknown {
            let passed = first.start.saturating_sub(self.run.start);
            last.end = last.end.saturating_add(passed).min(rows_of_file).max(last.end);
        }
        wanted
    }
}

/// The rows of a group, counted from its start.
fn local(rows: &[Range<u64>], group: &RowGroup) -> Vec<Range<usize>> {
    let place = |row: u64| {
        usize::try_from(row.saturating_sub(group.start))
            .unwrap_or(usize::MAX)
            .min(group.rows)
    };
    let of_group = rows.iter().map(|rows| place(rows.start)..place(rows.end));
    of_group.filter(|rows| !rows.is_empty()).collect()
}

/// Whether some of the rows are among those that are wanted, which rise.
fn has_any(wanted: &[Range<usize>], rows: &Range<usize>) -> bool {
    let behind = wanted.partition_point(|wanted| wanted.end <= rows.start);
    wanted
        .get(behind)
        .is_some_and(|wanted| wanted.start < rows.end && !rows.is_empty())
}
