//! Pages of `samples` into a run: what a merge spends most of its time on where series are long.
//!
//! A scale is looked at once for each run of it, and values without a decimal where there are some. Must give what
//! [`sample_batch`](super::sample_batch) gives of the same rows; what it does not know is left to that.

use std::cell::RefCell;
use std::ops::Range;

use emberkeep_model::{Run, TimeRange, UNSET_START_TIMESTAMP};

use super::hybrid::{Bits, index_runs, take_indices};
use super::page_header::PageEncoding;
use super::part_file::{GroupRows, Pages, PartFile};
use super::raw_pages::{self, RawColumn, Unpacker, with_unpacker};
use super::row_groups::RowGroup;
use super::row_kind::RowKind;
use super::{decimal, delta, schema};
use crate::ArchiveError;

/// Buffers for more numbers are given back.
const KEPT_NUMBERS: usize = 256 << 10;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Appends the rows of a selection; false when its pages are none that can be read here. What was appended then means nothing.
pub(super) async fn read(
    file: &PartFile,
    group: &RowGroup,
    rows: &GroupRows,
    out: &mut Run,
) -> Result<bool, ArchiveError> {
    let (Some(first), Some(last)) = (rows.rows.first(), rows.rows.last()) else {
        return Ok(false);
    };
    let (from, to) = (group.page_at(first.start), group.page_at(last.end.saturating_sub(1)));
    let Some(of_pages) = group.pages.get(from..=to).filter(|pages| !pages.is_empty()) else {
        return Ok(false);
    };
    let Some(leaves) = leaves(file, group) else {
        return Ok(false);
    };
    let stretch = of_pages[0].0.start..of_pages[of_pages.len() - 1].0.end;
    let Some(pages) = raw_pages::fetch(file, rows.row_group, &[stretch], &leaves).await? else {
        return Ok(false);
    };
    let decoded = with_unpacker_and_buffers(|unpacker, buffers| {
        let mut columns = Columns::new(file, rows.row_group, &leaves, &pages, unpacker, buffers)?;
        let mut whole = Run::default();
        let mut wanted = rows.rows.iter().cloned().peekable();
        for (page, _) in of_pages {
            let end = wanted.peek().map_or(0, |rows| rows.end);
            if wanted.peek().is_some_and(|rows| rows.start <= page.start) && end >= page.end {
                columns.decode(page, unpacker, out)?;
                wanted.next_if(|rows| rows.end == page.end);
                continue;
            }
            whole.clear();
            let mut is_read = false;
            while let Some(rows) = wanted.peek().filter(|rows| rows.start < page.end) {
                if !is_read {
                    columns.decode(page, unpacker, &mut whole)?;
                    is_read = true;
                }
                let (start, end) = (rows.start.max(page.start), rows.end.min(page.end));
                let is_cut = end < rows.end;
                out.append_range(&whole, start - page.start..end - page.start, TimeRange::ALL);
                if is_cut {
                    break;
                }
                wanted.next();
            }
        }
        Some(())
    });
    Ok(decoded.is_some())
}

/// Positions of the columns that are read; none when some are not there.
pub(super) fn leaves(file: &PartFile, group: &RowGroup) -> Option<Vec<usize>> {
    let starts = group.has_start_timestamps.then_some(schema::START_TIMESTAMP);
    let names = [schema::TIMESTAMP, schema::UNSCALED, schema::SCALE, schema::RAW_VALUE];
    let names = names.into_iter().chain(starts);
    names.map(|name| file.leaves_of(name).next()).collect()
}

/// Appends all rows of one page. `None` when it is none that can be read here. What was appended then means nothing.
pub(super) fn decode_page(
    file: &PartFile,
    row_group: usize,
    leaves: &[usize],
    pages: &Pages,
    rows: &Range<usize>,
    out: &mut Run,
) -> Option<()> {
    with_unpacker_and_buffers(|unpacker, buffers| {
        Columns::new(file, row_group, leaves, pages, unpacker, buffers)?.decode(rows, unpacker, out)
    })
}

fn with_unpacker_and_buffers<T>(work: impl FnOnce(&mut Unpacker, &mut Buffers) -> T) -> T {
    BUFFERS.with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        let done = with_unpacker(|unpacker| work(unpacker, &mut buffers));
        if buffers.integers.capacity() + buffers.raw.capacity() > KEPT_NUMBERS {
            *buffers = Buffers::default();
        }
        done
    })
}

/// What decoding a page takes, once for each thread: it is larger than what most parts are read for.
#[derive(Default)]
struct Buffers {
    has_unscaled: Bits,
    is_there: Bits,
    integers: Vec<i64>,
    raw: Vec<f64>,
    indices: Vec<u32>,
}

/// The columns of a row group, and what decoding a page takes.
struct Columns<'a> {
    timestamps: RawColumn<'a>,
    unscaled: RawColumn<'a>,
    scales: RawColumn<'a>,
    scale_dictionary: Vec<i64>,
    raw_values: RawColumn<'a>,
    starts: Option<RawColumn<'a>>,
    buffers: &'a mut Buffers,
}

impl<'a> Columns<'a> {
    fn new(
        file: &'a PartFile,
        row_group: usize,
        leaves: &[usize],
        pages: &'a Pages,
        unpacker: &mut Unpacker,
        buffers: &'a mut Buffers,
    ) -> Option<Self> {
        let column = |i: usize| RawColumn::new(file, row_group, *leaves.get(i)?, pages);
        let scales = column(2)?;
        Some(Self {
            timestamps: column(0)?,
            unscaled: column(1)?,
            scale_dictionary: scales.numbers_of_dictionary(unpacker)?,
            scales,
            raw_values: column(3)?,
            starts: match leaves.get(4) {
                Some(_) => Some(column(4)?),
                None => None,
            },
            buffers,
        })
    }

    /// Appends all rows of a page.
    fn decode(&mut self, rows: &Range<usize>, unpacker: &mut Unpacker, out: &mut Run) -> Option<()> {
        let (count, before) = (rows.len(), out.len());
        let Buffers {
            has_unscaled,
            is_there,
            integers,
            raw,
            ..
        } = &mut *self.buffers;
        let bytes = self.timestamps.page_bytes(rows)?;
        let page = self.timestamps.page(unpacker, &bytes)?;
        (page.values == count && page.encoding == PageEncoding::Delta).then_some(())?;
        delta::take(page.content, count, &mut out.timestamps)?;

        let bytes = self.unscaled.page_bytes(rows)?;
        let page = self.unscaled.page(unpacker, &bytes)?;
        (page.values == count && page.encoding == PageEncoding::Delta).then_some(())?;
        let mut content = page.content;
        has_unscaled.take(&mut content, count)?;
        integers.clear();
        delta::take(content, has_unscaled.ones(), integers)?;

        // Read before the scales, because both cannot lie in one buffer; there are few or none.
        let bytes = self.raw_values.page_bytes(rows)?;
        let page = self.raw_values.page(unpacker, &bytes)?;
        (page.values == count && page.encoding == PageEncoding::Plain).then_some(())?;
        let mut content = page.content;
        is_there.take(&mut content, count)?;
        is_there.is_opposite_of(has_unscaled).then_some(())?;
        (content.len() == 8 * is_there.ones()).then_some(())?;
        let words = content.as_chunks::<8>().0.iter();
        raw.clear();
        raw.extend(words.map(|word| f64::from_le_bytes(*word)));

        let bytes = self.scales.page_bytes(rows)?;
        let page = self.scales.page(unpacker, &bytes)?;
        (page.values == count && page.encoding == PageEncoding::Indices).then_some(())?;
        let (mut row, mut integers, mut raw) = (0, integers.as_slice(), raw.as_slice());
        let dictionary = &self.scale_dictionary;
        out.values.reserve(count);
        index_runs(page.content, count, |index, count| {
            let scale = *dictionary.get(usize::try_from(index).ok()?)?;
            let power = decimal::power(i8::try_from(scale).ok()?)?;
            let end = row + count;
            while row < end {
                let (has_integers, same) = has_unscaled.stretch(row, end - row);
                row += same;
                if has_integers {
                    let (of_stretch, rest) = integers.split_at_checked(same)?;
                    integers = rest;
                    if scale == 0 {
                        out.values.extend(of_stretch.iter().map(|&integer| integer as f64));
                    } else {
                        out.values
                            .extend(of_stretch.iter().map(|&integer| integer as f64 / power));
                    }
                } else {
                    let (of_stretch, rest) = raw.split_at_checked(same)?;
                    raw = rest;
                    out.values.extend_from_slice(of_stretch);
                }
            }
            Some(())
        })?;
        (out.values.len() == out.timestamps.len()).then_some(())?;
        self.decode_starts(rows, before, unpacker, out)
    }

    /// Start timestamps of a page whose other columns are appended behind `before` rows.
    fn decode_starts(
        &mut self,
        rows: &Range<usize>,
        before: usize,
        unpacker: &mut Unpacker,
        out: &mut Run,
    ) -> Option<()> {
        let count = rows.len();
        let Buffers {
            is_there,
            integers,
            indices,
            ..
        } = &mut *self.buffers;
        let Some(starts) = &self.starts else {
            if !out.start_timestamps.is_empty() {
                out.start_timestamps.resize(before + count, UNSET_START_TIMESTAMP);
            }
            return Some(());
        };
        let dictionary = starts.numbers_of_dictionary(unpacker);
        let bytes = starts.page_bytes(rows)?;
        let page = starts.page(unpacker, &bytes)?;
        (page.values == count).then_some(())?;
        let mut content = page.content;
        is_there.take(&mut content, count)?;
        let ones = is_there.ones();
        if ones == 0 {
            if !out.start_timestamps.is_empty() {
                out.start_timestamps.resize(before + count, UNSET_START_TIMESTAMP);
            }
            return Some(());
        }
        integers.clear();
        match page.encoding {
            PageEncoding::Indices => {
                let dictionary = dictionary?;
                indices.clear();
                take_indices(content, ones, indices)?;
                for &index in &*indices {
                    integers.push(*dictionary.get(usize::try_from(index).ok()?)?);
                }
            }
            PageEncoding::Plain => {
                (content.len() == 8 * ones).then_some(())?;
                let words = content.as_chunks::<8>().0.iter();
                integers.extend(words.map(|word| i64::from_le_bytes(*word)));
            }
            PageEncoding::Delta => return None,
        }
        out.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
        let mut integers = integers.iter();
        for row in 0..count {
            out.start_timestamps.push(match is_there.is_one(row) {
                true => *integers.next()?,
                false => UNSET_START_TIMESTAMP,
            });
        }
        Some(())
    }
}
