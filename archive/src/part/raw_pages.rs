//! Pages of our own writers, taken out of a file without the readers of the parquet crate: where they lie, and what is in them.
//!
//! A merge reads every page of its inputs, and what it reads is nearly always what this program wrote: pages that begin with the same rows
//! in every column, in few encodings. Those are read here. Whatever is different, or damaged, gives `None`: then the parquet crate reads
//! it, and says what is wrong with it. Nothing here may give other values than the crate would.

use std::cell::RefCell;
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Compression;
use zstd::bulk::Decompressor;

use super::page_header::{PageEncoding, WrittenPage};
use super::part_file::{Pages, PartFile};
use crate::ArchiveError;

/// Values of a page that are decoded here, at most; what claims more is left to the crate.
const MOST_VALUES: usize = 1 << 20;

/// A buffer that is larger is given back.
const KEPT_BYTES: usize = 2 << 20;

thread_local! {
    static UNPACKER: RefCell<Unpacker> = RefCell::default();
}

/// What decompressing takes, once for each thread: a context is larger than the rows of many parts.
#[derive(Default)]
pub(super) struct Unpacker {
    zstd: Option<Decompressor<'static>>,
    content: Vec<u8>,
}

/// A page, decompressed.
pub(super) struct RawPage<'a> {
    pub(super) encoding: PageEncoding,
    /// Values and nulls.
    pub(super) values: usize,
    /// Levels and values.
    pub(super) content: &'a [u8],
}

/// Does something with the context of this thread.
pub(super) fn with_unpacker<T>(work: impl FnOnce(&mut Unpacker) -> T) -> T {
    UNPACKER.with(|unpacker| {
        let mut unpacker = unpacker.borrow_mut();
        let done = work(&mut unpacker);
        if unpacker.content.capacity() > KEPT_BYTES {
            unpacker.content = Vec::new();
        }
        done
    })
}

impl Unpacker {
    fn open<'a>(&'a mut self, bytes: &'a [u8], is_packed: bool, is_dictionary: bool) -> Option<RawPage<'a>> {
        let page = WrittenPage::read(bytes)?;
        (page.is_dictionary == is_dictionary && page.values <= MOST_VALUES).then_some(())?;
        let content = if is_packed {
            self.content.clear();
            self.content.reserve(page.decompressed_bytes);
            if self.zstd.is_none() {
                self.zstd = Some(Decompressor::new().ok()?);
            }
            let zstd = self.zstd.as_mut()?;
            let length = zstd.decompress_to_buffer(page.content, &mut self.content).ok()?;
            (length == page.decompressed_bytes).then_some(())?;
            self.content.as_slice()
        } else {
            (page.content.len() == page.decompressed_bytes).then_some(())?;
            page.content
        };
        Some(RawPage {
            encoding: page.encoding,
            values: page.values,
            content,
        })
    }
}

/// A column of one row group, and its pages that were fetched.
pub(super) struct RawColumn<'a> {
    file: &'a PartFile,
    row_group: usize,
    leaf: usize,
    is_packed: bool,
    pages: &'a Pages,
}

impl<'a> RawColumn<'a> {
    pub(super) fn new(file: &'a PartFile, row_group: usize, leaf: usize, pages: &'a Pages) -> Option<Self> {
        let is_packed = match file.metadata().row_group(row_group).column(leaf).compression() {
            Compression::ZSTD(_) => true,
            Compression::UNCOMPRESSED => false,
            _ => return None,
        };
        Some(Self {
            file,
            row_group,
            leaf,
            is_packed,
            pages,
        })
    }

    /// Bytes of the page that has exactly these rows.
    pub(super) fn page_bytes(&self, rows: &Range<usize>) -> Option<Bytes> {
        self.pages
            .slice(&page_place(self.file, self.row_group, self.leaf, rows)?)
    }

    /// Bytes of its dictionary.
    pub(super) fn dictionary_bytes(&self) -> Option<Bytes> {
        self.pages
            .slice(&dictionary_place(self.file, self.row_group, self.leaf)?)
    }

    /// Takes a page apart.
    pub(super) fn page<'u>(&self, unpacker: &'u mut Unpacker, bytes: &'u [u8]) -> Option<RawPage<'u>> {
        unpacker.open(bytes, self.is_packed, false)
    }

    /// Takes a dictionary apart.
    pub(super) fn dictionary<'u>(&self, unpacker: &'u mut Unpacker, bytes: &'u [u8]) -> Option<RawPage<'u>> {
        let page = unpacker.open(bytes, self.is_packed, true)?;
        (page.encoding == PageEncoding::Plain).then_some(page)
    }

    /// Its dictionary of integers of 8 bytes, or of 4.
    pub(super) fn numbers_of_dictionary(&self, unpacker: &mut Unpacker) -> Option<Vec<i64>> {
        let bytes = self.dictionary_bytes()?;
        let page = self.dictionary(unpacker, &bytes)?;
        let (eights, fours) = (page.content.as_chunks::<8>(), page.content.as_chunks::<4>());
        if page.content.len() == 8 * page.values {
            Some(eights.0.iter().map(|word| i64::from_le_bytes(*word)).collect())
        } else if page.content.len() == 4 * page.values {
            Some(
                fours
                    .0
                    .iter()
                    .map(|word| i64::from(i32::from_le_bytes(*word)))
                    .collect(),
            )
        } else {
            None
        }
    }
}

/// Fetches the pages of some columns that have rows of a row group, with their dictionaries. `None` when they are not cut as our writers
/// cut them, or encrypted. Each stretch of rows begins with a page and ends with one; no two touch.
pub(super) async fn fetch(
    file: &PartFile,
    row_group: usize,
    stretches: &[Range<usize>],
    leaves: &[usize],
) -> Result<Option<Pages>, ArchiveError> {
    let mut ranges: Vec<Range<u64>> = Vec::with_capacity(leaves.len() * stretches.len());
    for &leaf in leaves {
        for (number, rows) in stretches.iter().enumerate() {
            let Some((dictionary, pages)) = places(file, row_group, leaf, rows).filter(|_| !file.is_sealed()) else {
                return Ok(None);
            };
            // The dictionary is fetched with the first pages, or before them.
            match dictionary {
                Some(dictionary) if number == 0 && dictionary.end == pages.start => {
                    ranges.push(dictionary.start..pages.end)
                }
                Some(dictionary) if number == 0 => ranges.extend([dictionary, pages]),
                _ => ranges.push(pages),
            }
        }
    }
    let bytes = file.fetch(&ranges).await?;
    Ok(Some(Pages::new(&ranges, bytes)))
}

/// The dictionary and the pages of these rows.
fn places(
    file: &PartFile,
    row_group: usize,
    leaf: usize,
    rows: &Range<usize>,
) -> Option<(Option<Range<u64>>, Range<u64>)> {
    let index = file.metadata().page_index_for_row_group(row_group);
    let locations = index.page_locations(leaf)?;
    let first = locations.partition_point(|page| page.first_row_index < rows.start as i64);
    let end = locations.partition_point(|page| page.first_row_index < rows.end as i64);
    (first < end && locations[first].first_row_index == rows.start as i64).then_some(())?;
    let (first, last) = (&locations[first], &locations[end - 1]);
    let start = u64::try_from(first.offset).ok()?;
    let stop = u64::try_from(last.offset)
        .ok()?
        .checked_add(u64::try_from(last.compressed_page_size).ok()?)?;
    (start < stop).then_some(())?;
    Some((dictionary_place(file, row_group, leaf), start..stop))
}

fn page_place(file: &PartFile, row_group: usize, leaf: usize, rows: &Range<usize>) -> Option<Range<u64>> {
    let index = file.metadata().page_index_for_row_group(row_group);
    let locations = index.page_locations(leaf)?;
    let page = locations.partition_point(|page| page.first_row_index < rows.start as i64);
    let place = locations.get(page)?;
    let end = match locations.get(page + 1) {
        Some(next) => next.first_row_index,
        None => file.metadata().row_group(row_group).num_rows(),
    };
    (place.first_row_index == rows.start as i64 && end == rows.end as i64).then_some(())?;
    let start = u64::try_from(place.offset).ok()?;
    Some(start..start.checked_add(u64::try_from(place.compressed_page_size).ok()?)?)
}

/// Where the dictionary of a column lies.
pub(super) fn dictionary_place(file: &PartFile, row_group: usize, leaf: usize) -> Option<Range<u64>> {
    let column = file.metadata().row_group(row_group).column(leaf);
    let start = u64::try_from(column.dictionary_page_offset()?).ok()?;
    let index = file.metadata().page_index_for_row_group(row_group);
    let end = u64::try_from(index.page_locations(leaf)?.first()?.offset).ok()?;
    (start < end).then_some(start..end)
}
