//! Some rows of the series table, decoded: column by column, labels as canonical bytes.
//!
//! Pages of our own writers are taken apart here; any other, and what is encrypted, comes through the parquet crate as a batch. Both give
//! the same, and one that cannot be decoded here is never refused here.

mod same_numbers;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use emberkeep_model::TenantId;

use super::delta;
use super::hybrid::{Bits, index_runs, take_indices};
use super::label_texts::{self, LabelSets, Texts};
use super::needles::{Filtering, Needles};
use super::page_filter::PageFilters;
use super::page_header::{PageEncoding, WrittenPage};
use super::part_file::{Pages, PartFile};
use super::raw_pages::{RawColumn, Unpacker, with_unpacker};
use super::schema::{self, Form};
use super::series_batch::SeriesBatch;
use crate::ArchiveError;
use crate::digest::Digests;

/// Columns of times and of row numbers, in their order.
pub(super) const NUMBERS: [&str; 8] = [
    schema::MIN_TIME,
    schema::MAX_TIME,
    schema::SAMPLES_ROW_START,
    schema::SAMPLES_ROW_COUNT,
    schema::HISTOGRAMS_ROW_START,
    schema::HISTOGRAMS_ROW_COUNT,
    schema::EXEMPLARS_ROW_START,
    schema::EXEMPLARS_ROW_COUNT,
];

/// When canonical bytes of labels are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Labelling {
    /// Those of all rows at once, each from the one before it.
    #[default]
    Eager,
    /// Those of a row when somebody asks for them.
    Lazy,
}

/// Decoded rows.
#[derive(Debug, Default)]
pub(super) struct SeriesSlice {
    labelling: Labelling,
    /// Empty when labels are put together on demand.
    labels: LabelSets,
    /// Of those, whether each row comes after the one before it.
    rises: Vec<bool>,
    /// The row whose labels were put together last, and they.
    shown: (Option<usize>, Vec<u8>),
    /// Empty for kinds that the version did not have.
    numbers: [Vec<i64>; 8],
    /// Rows of the tenant that was asked for, in order.
    of_tenant: Vec<Range<usize>>,
    /// Empty when they were not asked for, or are not there.
    digests: [Column; 4],
    names: Vec<u32>,
    values: Vec<u32>,
    starts: Vec<u32>,
    bits: Bits,
}

/// A column of bytes, which may be null; null and no bytes mean the same.
#[derive(Debug, Default)]
struct Column {
    bytes: Vec<u8>,
    places: Vec<Range<u32>>,
}

/// Dictionaries that are kept from page to page, and behind them the texts of a page that are not in them.
#[derive(Debug, Default)]
pub(super) struct Dictionaries {
    /// No other dictionaries of this process have the same; 0 when there are none yet.
    number: u64,
    names: Dictionary,
    values: Dictionary,
}

#[derive(Debug, Default)]
struct Dictionary {
    row_group: Option<usize>,
    /// Texts without those of a page.
    count: usize,
    texts: Texts,
}

/// Number of the next dictionaries.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Dictionaries {
    /// By which they are told from all others.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Names and values without those of a page.
    pub(super) fn counts(&self) -> [usize; 2] {
        [self.names.count, self.values.count]
    }

    /// Texts of names and values, those of a page included.
    pub(super) fn texts(&self) -> [&Texts; 2] {
        [&self.names.texts, &self.values.texts]
    }

    /// Whether the page at work has no texts of its own.
    pub(super) fn is_whole(&self) -> bool {
        self.names.texts.len() == self.names.count && self.values.texts.len() == self.values.count
    }

    /// Whether both have the same texts by the same numbers, those of pages aside.
    pub(super) fn are_as(&self, other: &Self) -> bool {
        let is_same = |own: &Dictionary, other: &Dictionary| {
            own.count == other.count && own.texts.first(own.count) == other.texts.first(other.count)
        };
        is_same(&self.names, &other.names) && is_same(&self.values, &other.values)
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.names.texts.heap_bytes() + self.values.texts.heap_bytes()
    }
}

impl Dictionary {
    /// Makes it that of a row group, when the page refers to it: then `number` is a new one. Texts of the last page go.
    fn open(
        &mut self,
        (column, row_group): (&RawColumn<'_>, usize),
        page: &[u8],
        unpacker: &mut Unpacker,
        number: &mut u64,
    ) -> Option<()> {
        self.texts.truncate(self.count);
        let encoding = WrittenPage::read(page)?.encoding;
        if self.row_group == Some(row_group) || encoding != PageEncoding::Indices {
            return Some(());
        }
        *self = Self::default();
        *number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let bytes = column.dictionary_bytes()?;
        let page = column.dictionary(unpacker, &bytes)?;
        self.texts.add(page.content, page.values)?;
        self.row_group = Some(row_group);
        self.count = self.texts.len();
        Some(())
    }
}

/// Which rows of a page are wanted.
#[derive(Debug)]
pub(super) struct Sought<'a> {
    pub(super) tenant: &'a TenantId,
    /// When their labels are put together; at once where values are looked for.
    pub(super) labelling: Labelling,
    /// Values that each of them has.
    pub(super) needles: &'a mut Needles,
    /// Where it is remembered what a page has.
    pub(super) filters: Option<&'a PageFilters>,
}

/// Positions of the columns that are read, in a file.
#[derive(Debug, Clone)]
pub(super) struct SeriesLeaves {
    /// None in a file of one tenant.
    tenant: Option<usize>,
    labels: [usize; 2],
    numbers: Vec<usize>,
    /// None when they are not asked for, or not there.
    digests: Option<[usize; 4]>,
}

impl SeriesLeaves {
    /// `None` when the file does not have what it should.
    pub(super) fn new(file: &PartFile, digests: Digesting) -> Option<Self> {
        let numbers = NUMBERS.iter().filter_map(|name| file.leaves_of(name).next());
        let mut labels = file.leaves_of(schema::LABELS);
        let of_digest = |name| file.leaves_of(name).next();
        let [a, b, c, d] = schema::DIGESTS.map(of_digest);
        Some(Self {
            tenant: file.leaves_of(schema::TENANT).next(),
            labels: [labels.next()?, labels.next()?],
            numbers: numbers.collect(),
            digests: match digests {
                Digesting::Asked => (|| Some([a?, b?, c?, d?]))(),
                Digesting::Unasked => None,
            },
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<usize> {
        let digests = self.digests.iter().flatten();
        let mut all: Vec<usize> = self
            .tenant
            .iter()
            .chain(&self.labels)
            .chain(&self.numbers)
            .chain(digests)
            .copied()
            .collect();
        all.sort_unstable();
        all
    }
}

/// Whether digests are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digesting {
    Asked,
    Unasked,
}

impl SeriesSlice {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        match self.labelling {
            Labelling::Eager => self.labels.len(),
            Labelling::Lazy => self.rises.len(),
        }
    }

    /// Canonical bytes of the labels of a row, in the buffer unless they lie somewhere.
    pub(super) fn labels<'a>(&'a self, row: usize, of: &Dictionaries, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        match self.labelling {
            Labelling::Eager => self.labels.set(row),
            Labelling::Lazy => {
                buffer.clear();
                label_texts::put(of.texts(), self.numbers_of_labels(row), buffer);
                buffer
            }
        }
    }

    /// As [`Self::labels`], kept for [`Self::shown_labels`].
    pub(super) fn show_labels(&mut self, row: usize, of: &Dictionaries) -> &[u8] {
        if self.labelling == Labelling::Lazy && self.shown.0 != Some(row) {
            let (mut buffer, shown) = (std::mem::take(&mut self.shown.1), Some(row));
            self.labels(row, of, &mut buffer);
            self.shown = (shown, buffer);
        }
        self.shown_labels(row).unwrap_or_default()
    }

    /// The labels of a row that were put together last; none when they are those of another.
    pub(super) fn shown_labels(&self, row: usize) -> Option<&[u8]> {
        match self.labelling {
            Labelling::Eager => Some(self.labels.set(row)),
            Labelling::Lazy => (self.shown.0 == Some(row)).then_some(&self.shown.1),
        }
    }

    /// Numbers of the names and values of a row; none where labels were put together at once.
    pub(super) fn label_numbers(&self, row: usize) -> Option<[&[u32]; 2]> {
        (self.labelling == Labelling::Lazy).then(|| self.numbers_of_labels(row))
    }

    fn numbers_of_labels(&self, row: usize) -> [&[u32]; 2] {
        let start = self.starts[row] as usize;
        let end = self.starts.get(row + 1).map_or(self.names.len(), |&end| end as usize);
        [&self.names[start..end], &self.values[start..end]]
    }

    /// Whether a row is known to come after the one before it.
    pub(super) fn rises(&self, row: usize) -> bool {
        match self.labelling {
            Labelling::Eager => self.labels.rises(row),
            Labelling::Lazy => self.rises[row],
        }
    }

    /// Rows of the tenant, in order.
    pub(super) fn of_tenant(&self) -> &[Range<usize>] {
        &self.of_tenant
    }

    /// Oldest and newest time of a row.
    pub(super) fn times(&self, row: usize) -> (i64, i64) {
        (self.numbers[0][row], self.numbers[1][row])
    }

    /// Rows of a kind, in the order of samples, histograms, exemplars: none that cannot be, no rows for a kind that is not there.
    pub(super) fn rows_of(&self, kind: usize, row: usize) -> Option<Range<u64>> {
        let [starts, counts] = [2 + 2 * kind, 3 + 2 * kind].map(|column| self.numbers[column].get(row));
        let (Some(&start), Some(&count)) = (starts, counts) else {
            return Some(0..0);
        };
        let (start, count) = (u64::try_from(start).ok()?, u64::try_from(count).ok()?);
        Some(start..start.checked_add(count)?)
    }

    /// The stored digests of a row; none when they cannot be.
    pub(super) fn digests(&self, row: usize, day: Option<i32>) -> Option<Digests> {
        let mut digests = Digests::default();
        for (sums, column) in digests.by_kind_mut().into_iter().zip(&self.digests) {
            let place = column.places.get(row).filter(|place| !place.is_empty());
            if let Some(place) = place {
                sums.read(day?, &column.bytes[place.start as usize..place.end as usize])?;
            }
        }
        Some(digests)
    }

    /// Forgets all, keeps the memory.
    fn clear(&mut self) {
        self.labelling = Labelling::Eager;
        self.labels.clear();
        self.rises.clear();
        self.shown.0 = None;
        self.numbers.iter_mut().for_each(Vec::clear);
        self.of_tenant.clear();
        for column in &mut self.digests {
            column.bytes.clear();
            column.places.clear();
        }
    }

    /// Decodes the page that has exactly these rows. `None` when it is none that can be read here; what is in the slice then means
    /// nothing. No rows are decoded when none of them has what is looked for.
    pub(super) fn read_page(
        &mut self,
        (file, row_group): (&PartFile, usize),
        rows: &Range<usize>,
        leaves: &SeriesLeaves,
        pages: &Pages,
        dictionaries: &mut Dictionaries,
        sought: &mut Sought<'_>,
    ) -> Option<()> {
        self.clear();
        self.labelling = sought.labelling;
        let tenant = sought.tenant;
        let column = |leaf| RawColumn::new(file, row_group, leaf, pages);
        with_unpacker(|unpacker| {
            if !sought.needles.is_empty() {
                let of_values = column(leaves.labels[1])?;
                if !self.may_match(&of_values, rows, row_group, dictionaries, sought, unpacker)? {
                    return Some(());
                }
            }
            match leaves.tenant {
                Some(leaf) => self.read_tenants(&column(leaf)?, rows, tenant, unpacker)?,
                None if file.may_hold(tenant) => self.of_tenant.push(0..rows.len()),
                None => {}
            }
            let of_labels = [column(leaves.labels[0])?, column(leaves.labels[1])?];
            let places = (!sought.needles.is_empty()).then(|| sought.needles.places());
            self.read_labels(&of_labels, (rows, places), row_group, dictionaries, unpacker)?;
            for (numbers, &leaf) in self.numbers.iter_mut().zip(&leaves.numbers) {
                let column = column(leaf)?;
                let bytes = column.page_bytes(rows)?;
                let page = column.page(unpacker, &bytes)?;
                (page.values == rows.len() && page.encoding == PageEncoding::Delta).then_some(())?;
                delta::take(page.content, rows.len(), numbers)?;
            }
            for (digests, &leaf) in self.digests.iter_mut().zip(leaves.digests.iter().flatten()) {
                let column = column(leaf)?;
                let bytes = column.page_bytes(rows)?;
                let page = column.page(unpacker, &bytes)?;
                (page.values == rows.len() && page.encoding == PageEncoding::Plain).then_some(())?;
                let mut content = page.content;
                self.bits.take(&mut content, rows.len())?;
                digests.read(content, &self.bits, rows.len())?;
            }
            Some(())
        })
    }

    /// Whether some row of a page may have all values that are looked for.
    fn may_match(
        &mut self,
        of_values: &RawColumn<'_>,
        rows: &Range<usize>,
        row_group: usize,
        dictionaries: &mut Dictionaries,
        sought: &mut Sought<'_>,
        unpacker: &mut Unpacker,
    ) -> Option<bool> {
        let bytes = of_values.page_bytes(rows)?;
        let (number, values) = (&mut dictionaries.number, &mut dictionaries.values);
        values.open((of_values, row_group), &bytes, unpacker, number)?;
        let page = of_values.page(unpacker, &bytes)?;
        let mut content = page.content;
        self.bits.take(&mut content, page.values)?;
        self.bits.take(&mut content, page.values)?;
        // A series without labels is rare enough.
        self.bits.is_full().then_some(())?;
        let place = (row_group, rows.start);
        let filtering = match sought.filters {
            Some(filters) if filters.wants(place) => Filtering::Wanted,
            _ => Filtering::Unwanted,
        };
        let page = (page.encoding, content, page.values);
        let dictionary = (&dictionaries.values.texts, row_group);
        let seen = sought.needles.look(page, dictionary, rows.len(), filtering)?;
        if let (Some(filters), Some(filter)) = (sought.filters, seen.filter) {
            filters.keep(place, filter);
        }
        Some(seen.may_match)
    }

    fn read_tenants(
        &mut self,
        column: &RawColumn<'_>,
        rows: &Range<usize>,
        tenant: &TenantId,
        unpacker: &mut Unpacker,
    ) -> Option<()> {
        let mut dictionary = Vec::new();
        let bytes = column.dictionary_bytes()?;
        let page = column.dictionary(unpacker, &bytes)?;
        let mut content = page.content;
        while !content.is_empty() {
            let (length, rest) = content.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            dictionary.push(text == tenant.as_str().as_bytes());
            content = rest;
        }
        let bytes = column.page_bytes(rows)?;
        let page = column.page(unpacker, &bytes)?;
        (page.values == rows.len() && page.encoding == PageEncoding::Indices).then_some(())?;
        let mut row = 0;
        index_runs(page.content, rows.len(), |index, count| {
            if *dictionary.get(usize::try_from(index).ok()?)? {
                self.of_tenant.push(row..row + count);
            }
            row += count;
            Some(())
        })
    }

    fn read_labels(
        &mut self,
        [of_names, of_values]: &[RawColumn<'_>; 2],
        (rows, places): (&Range<usize>, Option<&[u32]>),
        row_group: usize,
        dictionaries: &mut Dictionaries,
        unpacker: &mut Unpacker,
    ) -> Option<()> {
        let bytes = of_names.page_bytes(rows)?;
        let (number, names) = (&mut dictionaries.number, &mut dictionaries.names);
        names.open((of_names, row_group), &bytes, unpacker, number)?;
        let page = of_names.page(unpacker, &bytes)?;
        let (count, mut content) = (page.values, page.content);
        self.bits.take(&mut content, count)?;
        self.starts.clear();
        self.bits.zeros(&mut self.starts);
        (self.starts.len() == rows.len() && self.starts.first() == Some(&0)).then_some(())?;
        self.bits.take(&mut content, count)?;
        // A series without labels is rare enough.
        self.bits.is_full().then_some(())?;
        take_texts(
            page.encoding,
            content,
            count,
            &mut dictionaries.names.texts,
            &mut self.names,
        )?;
        let starts_of_values = self.starts.len();
        let bytes = of_values.page_bytes(rows)?;
        let (number, values) = (&mut dictionaries.number, &mut dictionaries.values);
        values.open((of_values, row_group), &bytes, unpacker, number)?;
        let page = of_values.page(unpacker, &bytes)?;
        let mut content = page.content;
        (page.values == count).then_some(())?;
        self.bits.take(&mut content, count)?;
        self.bits.zeros(&mut self.starts);
        let (of_names, of_values) = self.starts.split_at(starts_of_values);
        (of_names == of_values).then_some(())?;
        self.bits.take(&mut content, count)?;
        self.bits.is_full().then_some(())?;
        take_texts(
            page.encoding,
            content,
            count,
            &mut dictionaries.values.texts,
            &mut self.values,
        )?;
        let (texts, numbers) = (dictionaries.texts(), [self.names.as_slice(), self.values.as_slice()]);
        match (places, self.labelling) {
            (None, Labelling::Eager) => self.labels.add(texts, numbers, of_names)?,
            (None, Labelling::Lazy) => label_texts::check(texts, numbers, of_names, &mut self.rises)?,
            (Some(places), _) => {
                // Of all others the labels are of no interest.
                let mut wanted: Vec<usize> = places
                    .iter()
                    .map(|place| of_names.partition_point(|start| start <= place).saturating_sub(1))
                    .collect();
                wanted.dedup();
                let mut next = wanted.iter().copied().peekable();
                for row in 0..rows.len() {
                    if next.next_if_eq(&row).is_none() {
                        self.labels.push(&[])?;
                        continue;
                    }
                    let end = of_names.get(row + 1).map_or(count, |&end| end as usize);
                    let of_row = of_names[row] as usize..end;
                    let of_row = [numbers[0].get(of_row.clone())?, numbers[1].get(of_row)?];
                    self.labels.add(texts, of_row, &[0])?;
                }
                let of_tenant = std::mem::take(&mut self.of_tenant);
                let is_of_tenant = |row: &usize| of_tenant.iter().any(|rows| rows.contains(row));
                self.of_tenant = wanted
                    .into_iter()
                    .filter(is_of_tenant)
                    .map(|row| row..row + 1)
                    .collect();
            }
        }
        self.starts.truncate(starts_of_values);
        Some(())
    }

    /// Takes over a batch of the parquet crate.
    pub(super) fn read_batch(
        &mut self,
        file: &PartFile,
        batch: &RecordBatch,
        tenant: &TenantId,
    ) -> Result<(), ArchiveError> {
        self.clear();
        let form: Form = file.form();
        let table = SeriesBatch::new(batch, form);
        let table = table.ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
        for row in 0..batch.num_rows() {
            if table.is_of(row, tenant) && file.may_hold(tenant) {
                self.of_tenant.push(row..row + 1);
                let labels = table.labels.labels(row).map_err(|error| file.corrupt(error))?;
                self.labels.push(labels.as_bytes())
            } else {
                self.labels.push(&[])
            }
            .ok_or_else(|| file.corrupt("a page has more labels than a page can hold"))?;
        }
        let columns = table.numbers();
        for (numbers, column) in self.numbers.iter_mut().zip(columns) {
            numbers.extend_from_slice(column.unwrap_or_default());
        }
        for (digests, column) in self.digests.iter_mut().zip(table.digest_columns()) {
            let Some(column) = column else { continue };
            for value in column {
                let value = value.unwrap_or_default();
                let pushed = digests.push(value);
                pushed.ok_or_else(|| file.corrupt("a page has more digests than a page can hold"))?;
            }
        }
        Ok(())
    }
}

impl Column {
    fn push(&mut self, value: &[u8]) -> Option<()> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        self.bytes.extend_from_slice(value);
        self.places.push(start..u32::try_from(self.bytes.len()).ok()?);
        Some(())
    }

    fn read(&mut self, mut plain: &[u8], is_there: &Bits, rows: usize) -> Option<()> {
        for row in 0..rows {
            if !is_there.is_one(row) {
                self.places.push(0..0);
                continue;
            }
            let (length, rest) = plain.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            self.push(value)?;
            plain = rest;
        }
        plain.is_empty().then_some(())
    }
}

/// Numbers of the texts of a page; those that the dictionary does not have are added to it.
fn take_texts(
    encoding: PageEncoding,
    content: &[u8],
    count: usize,
    texts: &mut Texts,
    out: &mut Vec<u32>,
) -> Option<()> {
    out.clear();
    match encoding {
        PageEncoding::Indices => take_indices(content, count, out),
        PageEncoding::Plain => {
            let first = u32::try_from(texts.len()).ok()?;
            texts.add(content, count)?;
            out.extend(first..u32::try_from(texts.len()).ok()?);
            Some(())
        }
        PageEncoding::Delta => None,
    }
}
