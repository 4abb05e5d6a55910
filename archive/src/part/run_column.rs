//! A column whose values come in runs, such as the id of a series: a dictionary, and one RLE run for each of them.

use std::collections::HashMap;

use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use super::bounds::Bounds;
use super::chunk::{ChunkWriter, DataPage, DictionaryPage, Packer};
use super::hybrid::{Levels, put_run, width_of};

/// Larger dictionaries are given up, because a reader holds a whole one for each open part.
pub(super) const DICTIONARY_BYTES: usize = 128 << 10;

/// A column chunk, of which one page is open.
pub(super) struct RunColumn {
    chunk: ChunkWriter,
    physical: Type,
    /// Definition levels; none for a column that is never null.
    levels: Option<Levels>,
    dictionary: Vec<u8>,
    numbers: HashMap<Box<[u8]>, u32>,
    count: u32,
    most_bytes: usize,
    /// Pages are PLAIN from here on.
    is_given_up: bool,
    /// The value that came last, encoded PLAIN, and its number.
    last: (Vec<u8>, Option<u32>),
    /// Number of a value, and how often it comes.
    runs: Vec<(u32, u32)>,
    plain: Vec<u8>,
    rows: u32,
    bounds: Bounds,
    content: Vec<u8>,
}

impl RunColumn {
    pub(super) fn new(column: ColumnDescPtr, chunk: ChunkWriter) -> Self {
        Self {
            physical: column.physical_type(),
            levels: (column.max_def_level() > 0).then(Levels::default),
            chunk,
            dictionary: Vec::new(),
            numbers: HashMap::new(),
            count: 0,
            most_bytes: DICTIONARY_BYTES,
            is_given_up: false,
            last: (Vec::new(), None),
            runs: Vec::new(),
            plain: Vec::new(),
            rows: 0,
            bounds: Bounds::default(),
            content: Vec::new(),
        }
    }

    /// With another bound for the dictionary.
    pub(super) fn with_dictionary_bytes(self, most_bytes: usize) -> Self {
        Self { most_bytes, ..self }
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.dictionary.len()
    }

    /// Adds an integer, `count` times.
    pub(super) fn push_number(&mut self, number: i64, count: u32) {
        self.bounds.add_number(number);
        match self.physical {
            Type::INT32 => self.push(&(number as i32).to_le_bytes(), count, true),
            _ => self.push(&number.to_le_bytes(), count, true),
        }
    }

    /// Adds an integer that did not come before, `count` times.
    pub(super) fn push_new_number(&mut self, number: i64, count: u32) {
        self.bounds.add_number(number);
        self.push(&number.to_le_bytes(), count, false);
    }

    /// Adds a text, `count` times.
    pub(super) fn push_text(&mut self, text: &[u8], count: u32) {
        let (last, number) = &self.last;
        if number.is_some() && last.get(4..) == Some(text) && self.bounds != Bounds::Nothing {
            return self.push_last(count);
        }
        self.bounds.add_text(text);
        let mut plain = Vec::with_capacity(4 + text.len());
        put_text(&mut plain, text);
        self.push(&plain, count, true);
    }

    /// Adds nulls.
    pub(super) fn push_nulls(&mut self, count: u32) {
        if let Some(levels) = &mut self.levels {
            levels.push_many(false, count);
        }
        self.rows += count;
    }

    fn push(&mut self, plain: &[u8], count: u32, may_be_known: bool) {
        if self.last.1.is_none() || self.last.0 != plain {
            let known = if may_be_known {
                self.numbers.get(plain).copied()
            } else {
                None
            };
            let number = match known {
                Some(number) => number,
                None if self.is_given_up => 0,
                None => {
                    let number = self.count;
                    self.dictionary.extend_from_slice(plain);
                    self.count += 1;
                    if may_be_known {
                        self.numbers.insert(plain.into(), number);
                    }
                    number
                }
            };
            self.last.0.clear();
            self.last.0.extend_from_slice(plain);
            self.last.1 = Some(number);
        }
        self.push_last(count);
    }

    /// Adds the last value once more.
    fn push_last(&mut self, count: u32) {
        let number = self.last.1.unwrap_or_default();
        if let Some(levels) = &mut self.levels {
            levels.push_many(true, count);
        }
        self.rows += count;
        if self.is_given_up {
            for _ in 0..count {
                self.plain.extend_from_slice(&self.last.0);
            }
            return;
        }
        match self.runs.last_mut() {
            Some((same, so_far)) if *same == number => *so_far += count,
            _ => self.runs.push((number, count)),
        }
    }

    /// Ends the page.
    pub(super) fn end_page(&mut self, packer: &mut Packer) -> Result<(), ParquetError> {
        self.content.clear();
        let mut nulls = 0;
        if let Some(levels) = &mut self.levels {
            levels.put(&mut self.content);
            nulls = levels.zeros();
            levels.clear();
        }
        // A page of nulls must not refer to a dictionary, for there may be none.
        let encoding = match self.is_given_up || self.runs.is_empty() {
            true => {
                self.content.extend_from_slice(&self.plain);
                Encoding::PLAIN
            }
            false => {
                let width = width_of(self.runs.iter().map(|(number, _)| *number).max().unwrap_or(0));
                self.content.push(width);
                for &(number, count) in &self.runs {
                    put_run(&mut self.content, number, count, width);
                }
                Encoding::RLE_DICTIONARY
            }
        };
        let bounds = std::mem::take(&mut self.bounds);
        let page = DataPage {
            rows: self.rows,
            values: self.rows,
            nulls,
            encoding,
            content: &self.content,
            bounds,
        };
        self.chunk.push(page, packer)?;
        self.runs.clear();
        self.plain.clear();
        self.rows = 0;
        self.is_given_up |= self.dictionary.len() > self.most_bytes;
        Ok(())
    }

    /// All bytes of the chunk; none are left, and the next chunk begins with a dictionary again.
    pub(super) fn close(&mut self, packer: &mut Packer) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let dictionary = DictionaryPage {
            values: self.count,
            content: &self.dictionary,
        };
        let closed = self.chunk.close((self.count > 0).then_some(dictionary), packer)?;
        self.dictionary.clear();
        self.numbers.clear();
        self.count = 0;
        self.is_given_up = false;
        self.last.1 = None;
        Ok(closed)
    }
}

/// Appends a text as PLAIN has it.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).expect("a label or a name has less than 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text);
}
