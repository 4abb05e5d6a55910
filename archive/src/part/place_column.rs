//! Names or values of labels while they are written: a dictionary, in which each is looked for where the series before has its own.
//!
//! Series come sorted, so most labels of one are those of the one before in the same place.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;

use super::bounds::Bounds;
use super::chunk::{ChunkWriter, DataPage, DictionaryPage, Packer};
use super::hybrid::{put_packed, width_of};
use super::run_column::{DICTIONARY_BYTES, put_text};

/// A column chunk, of which one page is open.
pub(super) struct PlaceColumn {
    chunk: ChunkWriter,
    /// All texts, PLAIN, and where each begins.
    dictionary: Vec<u8>,
    starts: Vec<usize>,
    numbers: HashMap<Box<[u8]>, u32>,
    /// Pages are PLAIN from here on.
    is_given_up: bool,
    /// Numbers of the texts that came last, by place.
    last: Vec<u32>,
    page: Vec<u32>,
    plain: Vec<u8>,
    content: Vec<u8>,
}

impl PlaceColumn {
    pub(super) fn new(chunk: ChunkWriter) -> Self {
        Self {
            chunk: chunk.without_statistics(),
            dictionary: Vec::new(),
            starts: Vec::new(),
            numbers: HashMap::new(),
            is_given_up: false,
            last: Vec::new(),
            page: Vec::new(),
            plain: Vec::new(),
            content: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.dictionary.len()
    }

    /// Adds the text of a label, which is the one in this place of its series.
    pub(super) fn push(&mut self, text: &[u8], place: usize) {
        if self.is_given_up {
            return put_text(&mut self.plain, text);
        }
        let number = match self.last.get(place) {
            Some(&last) if self.text(last) == text => last,
            last => {
                let is_new_place = last.is_none();
                let number = self.number(text);
                if is_new_place {
                    self.last.resize(place + 1, number);
                }
                self.last[place] = number;
                number
            }
        };
        self.page.push(number);
    }

    /// Whether texts that came before have numbers: then [`Self::push_last`] can be called.
    pub(super) fn has_numbers(&self) -> bool {
        !self.is_given_up
    }

    /// Adds the texts that came last in these places.
    pub(super) fn push_last(&mut self, places: Range<usize>) {
        self.page.extend_from_slice(&self.last[places]);
    }

    fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let end = self.starts.get(number + 1).copied().unwrap_or(self.dictionary.len());
        &self.dictionary[self.starts[number] + 4..end]
    }

    fn number(&mut self, text: &[u8]) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = u32::try_from(self.starts.len()).expect("the dictionary is small");
        self.starts.push(self.dictionary.len());
        put_text(&mut self.dictionary, text);
        self.numbers.insert(text.into(), number);
        number
    }

    /// Ends the page, whose levels are given.
    pub(super) fn end_page(
        &mut self,
        rows: u32,
        levels: &[u8],
        [values, nulls]: [u32; 2],
        packer: &mut Packer,
    ) -> Result<(), ParquetError> {
        self.content.clear();
        self.content.extend_from_slice(levels);
        // A page without a text must not refer to a dictionary, for there may be none.
        let encoding = if self.is_given_up || self.page.is_empty() {
            self.content.extend_from_slice(&self.plain);
            Encoding::PLAIN
        } else {
            let width = width_of(self.page.iter().copied().max().unwrap_or(0));
            self.content.push(width);
            put_packed(&mut self.content, &self.page, width);
            Encoding::RLE_DICTIONARY
        };
        let page = DataPage {
            values,
            nulls,
            ..DataPage::required(rows, encoding, &self.content, Bounds::Nothing)
        };
        self.chunk.push(page, packer)?;
        self.page.clear();
        self.plain.clear();
        self.is_given_up |= self.dictionary.len() > DICTIONARY_BYTES;
        Ok(())
    }

    /// All bytes of the chunk; none are left, and the next chunk begins with a dictionary again.
    pub(super) fn close(&mut self, packer: &mut Packer) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let dictionary = DictionaryPage {
            values: u32::try_from(self.starts.len()).expect("the dictionary is small"),
            content: &self.dictionary,
        };
        let closed = self
            .chunk
            .close((!self.starts.is_empty()).then_some(dictionary), packer)?;
        self.dictionary.clear();
        self.starts.clear();
        self.numbers.clear();
        self.last.clear();
        self.is_given_up = false;
        Ok(closed)
    }
}
