//! One page of `samples`, unpacked row by row into the run where its rows are used.
//!
//! The hot loop of every read: columns are decompressed once for the page and decoded as far as somebody takes rows, so no row is held, or
//! copied, between the page and the run of its series. A scale is looked at once for each run of it, and values without a decimal where
//! there are some. Must give what [`sample_batch`](super::sample_batch) gives of the same rows; what it does not know is left to that.

use std::ops::Range;

use emberkeep_model::{Run, TimeRange, UNSET_START_TIMESTAMP};

use super::delta_values::DeltaValues;
use super::hybrid::{Bits, index_runs, take_indices};
use super::page_header::PageEncoding;
use super::pages_ahead::PagesAhead;
use super::part_file::PartFile;
use super::raw_pages::{RawColumn, RawPage, Unpacker, with_unpacker};
use super::row_groups::RowGroup;
use super::row_kind::RowPage;
use super::scaled_floats::append_floats;
use super::{decimal, schema};

/// The columns of a page, and how far each is read.
#[derive(Debug, Default)]
pub(super) struct SamplePage {
    times: Numbers,
    unscaled: Numbers,
    /// Which rows have an unscaled value.
    has_unscaled: Bits,
    /// Which have one as it is: the others.
    has_raw: Bits,
    raw: Vec<f64>,
    raw_taken: usize,
    /// Runs of rows with the same divisor.
    scales: Vec<Scale>,
    scales_taken: usize,
    /// Of all rows; nothing when none is set.
    starts: Vec<i64>,
    /// Rows whose values are behind, as are their times but inside of a call.
    row: usize,
}

#[derive(Debug, Clone, Copy)]
struct Scale {
    power: f64,
    /// Row behind the last one.
    end: usize,
}

/// Delta-encoded numbers, decompressed.
#[derive(Debug, Default)]
struct Numbers {
    content: Vec<u8>,
    values: DeltaValues,
}

impl Numbers {
    fn start(&mut self, content: &[u8], count: usize) -> Option<()> {
        self.content.clear();
        self.content.extend_from_slice(content);
        self.values.start(&self.content, count)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.values.skip(&self.content, count)
    }
}

/// Positions of the columns that are read; none when some are not there.
pub(super) fn leaves(file: &PartFile, group: &RowGroup) -> Option<Vec<usize>> {
    let starts = group.has_start_timestamps.then_some(schema::START_TIMESTAMP);
    let names = [schema::TIMESTAMP, schema::UNSCALED, schema::SCALE, schema::RAW_VALUE];
    let names = names.into_iter().chain(starts);
    names.map(|name| file.leaves_of(name).next()).collect()
}

impl RowPage for SamplePage {
    type Rows = Run;

    fn open(&mut self, file: &PartFile, ahead: &PagesAhead, rows: &Range<usize>) -> Option<()> {
        with_unpacker(|unpacker| {
            let column = |i: usize| ahead.column(file, i);
            let count = rows.len();
            self.row = 0;
            let times = column(0)?;
            let bytes = times.page_bytes(rows)?;
            let page = page_of(&times, unpacker, &bytes, PageEncoding::Delta, count)?;
            self.times.start(page.content, count)?;

            let unscaled = column(1)?;
            let bytes = unscaled.page_bytes(rows)?;
            let page = page_of(&unscaled, unpacker, &bytes, PageEncoding::Delta, count)?;
            let mut content = page.content;
            self.has_unscaled.take(&mut content, count)?;
            self.unscaled.start(content, self.has_unscaled.ones())?;

            let raw_values = column(3)?;
            let bytes = raw_values.page_bytes(rows)?;
            let page = page_of(&raw_values, unpacker, &bytes, PageEncoding::Plain, count)?;
            let mut content = page.content;
            self.has_raw.take(&mut content, count)?;
            self.has_raw.is_opposite_of(&self.has_unscaled).then_some(())?;
            (content.len() == 8 * self.has_raw.ones()).then_some(())?;
            let words = content.as_chunks::<8>().0.iter();
            self.raw.clear();
            self.raw.extend(words.map(|word| f64::from_le_bytes(*word)));
            self.raw_taken = 0;

            self.open_scales(&column(2)?, unpacker, rows)?;
            self.starts.clear();
            match ahead.has_column(4) {
                true => self.open_starts(&column(4)?, unpacker, rows),
                false => Some(()),
            }
        })
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.times.skip(count)?;
        self.skip_values(count)
    }

    fn take(&mut self, count: usize, range: TimeRange, out: &mut Run) -> Option<()> {
        let before = out.len();
        let taken = self.append(count, range, out);
        if taken.is_none() {
            out.timestamps.truncate(before);
            out.values.truncate(before);
            out.start_timestamps.truncate(before);
        }
        taken
    }
}

impl SamplePage {
    fn append(&mut self, count: usize, range: TimeRange, out: &mut Run) -> Option<()> {
        let before = out.len();
        out.timestamps.reserve(count);
        let mut left = count;
        while left > 0 {
            let some = self.times.values.next(&self.times.content, left)?;
            out.timestamps.extend_from_slice(some);
            left -= some.len();
        }
        let mut wanted = 0..count;
        if range != TimeRange::ALL {
            let times = &out.timestamps[before..];
            wanted.start = times.partition_point(|&time| time < range.start);
            wanted.end = wanted.start + times[wanted.start..].partition_point(|&time| time < range.end);
            out.timestamps.truncate(before + wanted.end);
            out.timestamps.drain(before..before + wanted.start);
        }
        self.skip_values(wanted.start)?;
        let first = self.row;
        self.take_values(wanted.len(), &mut out.values)?;
        let starts = self.starts.get(first..self.row).unwrap_or_default();
        if starts.iter().any(|&start| start != UNSET_START_TIMESTAMP) {
            out.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
            out.start_timestamps.extend_from_slice(starts);
        } else if !out.start_timestamps.is_empty() {
            out.start_timestamps.resize(out.timestamps.len(), UNSET_START_TIMESTAMP);
        }
        self.skip_values(count - wanted.end)
    }

    fn open_scales(&mut self, column: &RawColumn<'_>, unpacker: &mut Unpacker, rows: &Range<usize>) -> Option<()> {
        let dictionary = column.numbers_of_dictionary(unpacker)?;
        let bytes = column.page_bytes(rows)?;
        let page = page_of(column, unpacker, &bytes, PageEncoding::Indices, rows.len())?;
        let scales = &mut self.scales;
        scales.clear();
        self.scales_taken = 0;
        let mut end = 0;
        index_runs(page.content, rows.len(), |index, count| {
            let scale = *dictionary.get(usize::try_from(index).ok()?)?;
            let power = decimal::power(i8::try_from(scale).ok()?)?;
            end += count;
            match scales.last_mut().filter(|last| last.power == power) {
                Some(last) => last.end = end,
                None => scales.push(Scale { power, end }),
            }
            Some(())
        })
    }

    fn open_starts(&mut self, column: &RawColumn<'_>, unpacker: &mut Unpacker, rows: &Range<usize>) -> Option<()> {
        let count = rows.len();
        let dictionary = column.numbers_of_dictionary(unpacker);
        let bytes = column.page_bytes(rows)?;
        let page = column.page(unpacker, &bytes)?;
        (page.values == count).then_some(())?;
        let (mut content, mut is_set) = (page.content, Bits::default());
        is_set.take(&mut content, count)?;
        let ones = is_set.ones();
        if ones == 0 {
            return Some(());
        }
        let mut set = Vec::with_capacity(ones);
        match page.encoding {
            PageEncoding::Indices => {
                let dictionary = dictionary?;
                let mut indices = Vec::with_capacity(ones);
                take_indices(content, ones, &mut indices)?;
                for index in indices {
                    set.push(*dictionary.get(usize::try_from(index).ok()?)?);
                }
            }
            PageEncoding::Plain => {
                (content.len() == 8 * ones).then_some(())?;
                let words = content.as_chunks::<8>().0.iter();
                set.extend(words.map(|word| i64::from_le_bytes(*word)));
            }
            PageEncoding::Delta => return None,
        }
        let mut set = set.into_iter();
        for row in 0..count {
            self.starts.push(match is_set.is_one(row) {
                true => set.next()?,
                false => UNSET_START_TIMESTAMP,
            });
        }
        Some(())
    }

    /// Passes over rows from the current one on: the divisor of the next of them, whether these have integers, and how many they are.
    fn next_stretch(&mut self, most: usize) -> Option<(f64, bool, usize)> {
        let scale = loop {
            let scale = self.scales.get(self.scales_taken)?;
            if scale.end > self.row {
                break *scale;
            }
            self.scales_taken += 1;
        };
        let (has_integers, same) = self.has_unscaled.stretch(self.row, most.min(scale.end - self.row));
        self.row += same;
        Some((scale.power, has_integers, same))
    }

    fn take_values(&mut self, mut count: usize, out: &mut Vec<f64>) -> Option<()> {
        out.reserve(count);
        while count > 0 {
            let (power, has_integers, same) = self.next_stretch(count)?;
            if has_integers {
                let mut left = same;
                while left > 0 {
                    let some = self.unscaled.values.next(&self.unscaled.content, left)?;
                    append_floats(some, power, out);
                    left -= some.len();
                }
            } else {
                let end = self.raw_taken + same;
                out.extend_from_slice(self.raw.get(self.raw_taken..end)?);
                self.raw_taken = end;
            }
            count -= same;
        }
        Some(())
    }

    fn skip_values(&mut self, mut count: usize) -> Option<()> {
        while count > 0 {
            let (_, has_integers, same) = self.next_stretch(count)?;
            if has_integers {
                self.unscaled.skip(same)?;
            } else {
                self.raw_taken += same;
            }
            count -= same;
        }
        Some(())
    }
}

/// A page that has so many rows in this encoding.
fn page_of<'u>(
    column: &RawColumn<'_>,
    unpacker: &'u mut Unpacker,
    bytes: &'u [u8],
    encoding: PageEncoding,
    rows: usize,
) -> Option<RawPage<'u>> {
    let page = column.page(unpacker, bytes)?;
    (page.values == rows && page.encoding == encoding).then_some(page)
}
