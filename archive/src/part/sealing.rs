//! Turning a clear Parquet file into an encrypted one while it is written: pages, page indexes and footer become modules.
//!
//! It reads what the writer says of its own file, so it works for every writer and encoding. Nothing but modules, their lengths, the magic
//! and the crypto metadata (algorithm, file identity, key id and salt) is ever put out.

mod modules;
mod thrift;

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;
use parquet::DecodeResult;
use parquet::errors::ParquetError;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataPushDecoder,
    ParquetMetaDataWriter, RowGroupMetaData,
};

use super::file_sink::unexpected;
use super::page_header::PageHead;
use crate::keys::{DerivedKey, KeyStamp};
use modules::{Module, ModuleWriter};

const CLEAR_MAGIC: &[u8; 4] = b"PAR1";
pub(super) const SEALED_MAGIC: &[u8; 4] = b"PARE";

/// A file between its clear and its encrypted form.
pub(super) struct Sealing {
    stamp: KeyStamp,
    modules: ModuleWriter,
    /// Clear bytes that are not put out yet, and where in the clear file they begin.
    clear: Vec<u8>,
    clear_from: u64,
    /// Bytes put out.
    written: u64,
    groups: Vec<Vec<SealedChunk>>,
}

/// A column chunk that was put out.
struct SealedChunk {
    dictionary: Option<u64>,
    data: u64,
    bytes: u64,
    pages: Vec<SealedPage>,
}

/// A data page that was put out: where, and how long with its header.
struct SealedPage {
    offset: u64,
    bytes: u64,
}

impl Sealing {
    pub(super) fn new(stamp: KeyStamp, key: DerivedKey) -> Result<Self, crate::ArchiveError> {
        Ok(Self {
            modules: ModuleWriter::new(key).map_err(crate::ArchiveError::key("a new file"))?,
            stamp,
            clear: Vec::new(),
            clear_from: 0,
            written: 0,
            groups: Vec::new(),
        })
    }

    /// Row groups put out so far.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Takes bytes of the clear file.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        self.clear.extend_from_slice(bytes);
        bytes.len()
    }

    /// Puts out the row groups that have ended since the last call. The end of the last one may still be in the writer's buffer: that group waits
    /// for the next call.
    pub(super) fn groups_ended(
        &mut self,
        groups: &[RowGroupMetaData],
        out: &mut dyn Write,
    ) -> Result<(), ParquetError> {
        for (ordinal, group) in groups.iter().enumerate().skip(self.groups.len()) {
            let ends = group.columns().iter().map(ColumnChunkMetaData::byte_range);
            let end = ends
                .map(|(start, length)| start + length)
                .max()
                .unwrap_or(self.clear_from);
            if end > self.clear_from + self.clear.len() as u64 {
                return Ok(());
            }
            if self.written == 0 {
                self.put(SEALED_MAGIC, out)?;
            }
            let mut chunks = Vec::with_capacity(group.columns().len());
            for (column, chunk) in group.columns().iter().enumerate() {
                let (start, length) = chunk.byte_range();
                chunks.push(self.put_chunk((ordinal, column), start..start + length, out)?);
            }
            self.groups.push(chunks);
            self.forget(end)?;
        }
        Ok(())
    }

    fn put_chunk(
        &mut self,
        place: (usize, usize),
        range: Range<u64>,
        out: &mut dyn Write,
    ) -> Result<SealedChunk, ParquetError> {
        let start = self.written;
        let mut chunk = SealedChunk {
            dictionary: None,
            data: start,
            bytes: 0,
            pages: Vec::new(),
        };
        let mut rest = self.place(range)?;
        let mut modules = Vec::new();
        while !rest.is_empty() {
            let head = PageHead::read(&self.clear[rest.clone()]).ok_or_else(|| unexpected("a page header"))?;
            let header = rest.start..rest.start + head.bytes;
            let content = header.end..header.end + head.content_bytes;
            if content.end > rest.end {
                return Err(unexpected("a page is longer than its chunk"));
            }
            let (of_header, of_content) = match head.is_dictionary {
                true => (Module::DictionaryPageHeader(place), Module::DictionaryPage(place)),
                false => {
                    let page = chunk.pages.len();
                    (Module::DataPageHeader(place, page), Module::DataPage(place, page))
                }
            };
            modules.clear();
            // The header says how long the page is as it lies in the file.
            let header = head.with_content_bytes(&self.clear[header], ModuleWriter::bytes(head.content_bytes))?;
            self.modules.put(&mut modules, of_header, &header)?;
            self.modules
                .put(&mut modules, of_content, &self.clear[content.clone()])?;
            let page = SealedPage {
                offset: self.written,
                bytes: modules.len() as u64,
            };
            out.write_all(&modules)?;
            self.written += page.bytes;
            match head.is_dictionary {
                true => {
                    chunk.dictionary = Some(page.offset);
                    chunk.data = self.written;
                }
                false => chunk.pages.push(page),
            }
            rest.start = content.end;
        }
        chunk.bytes = self.written - start;
        Ok(chunk)
    }

    /// Puts out everything behind the last row group; the clear file is complete.
    pub(super) fn close(mut self, out: &mut dyn Write) -> Result<(), ParquetError> {
        let (metadata, footer_bytes) = self.footer()?;
        self.groups_ended(metadata.row_groups(), out)?;
        if self.groups.len() != metadata.row_groups().len() {
            return Err(unexpected("a row group is not there"));
        }
        if self.written == 0 {
            self.put(SEALED_MAGIC, out)?;
        }
        let footer_from = self.clear_from + (self.clear.len() - footer_bytes) as u64;
        let mut groups = Vec::with_capacity(self.groups.len());
        let sealed = std::mem::take(&mut self.groups);
        for (ordinal, (group, chunks)) in metadata.row_groups().iter().zip(&sealed).enumerate() {
            let mut columns = Vec::with_capacity(chunks.len());
            for (column, (clear, chunk)) in group.columns().iter().zip(chunks).enumerate() {
                let place = (ordinal, column);
                let indexes = self.put_indexes(&metadata, place, clear, chunk, footer_from, out)?;
                columns.push(moved(clear, chunk, indexes)?);
            }
            let offset = chunks.first().map_or(0, |chunk| chunk.dictionary.unwrap_or(chunk.data));
            let built = group.clone().into_builder().set_column_metadata(columns);
            groups.push(built.set_file_offset(signed(offset)).build()?);
        }
        let moved = ParquetMetaDataBuilder::new(metadata.file_metadata().clone());
        let moved = moved.set_row_groups(groups).build();
        self.put_footer(&moved, out)
    }

    /// The metadata that the writer has written, and the bytes of it with length and magic.
    fn footer(&self) -> Result<(ParquetMetaData, usize), ParquetError> {
        let end = self.clear_from + self.clear.len() as u64;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(end)?
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_column_index_policy(PageIndexPolicy::Skip);
        decoder.push_range(self.clear_from..end, Bytes::copy_from_slice(&self.clear))?;
        let DecodeResult::Data(metadata) = decoder.try_decode()? else {
            return Err(unexpected("the footer is not there"));
        };
        let trailer = self.clear.last_chunk::<8>().ok_or_else(|| unexpected("no footer"))?;
        let (length, magic) = trailer.split_at(4);
        if magic != CLEAR_MAGIC {
            return Err(unexpected("the magic is another"));
        }
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        Ok((metadata, length as usize + trailer.len()))
    }

    /// Column index and offset index of a chunk; where they lie now.
    fn put_indexes(
        &mut self,
        metadata: &ParquetMetaData,
        place: (usize, usize),
        clear: &ColumnChunkMetaData,
        chunk: &SealedChunk,
        footer_from: u64,
        out: &mut dyn Write,
    ) -> Result<Indexes, ParquetError> {
        let mut indexes = Indexes::default();
        if let Some(range) = clear.column_index_range() {
            if range.end > footer_from {
                return Err(unexpected("a column index lies behind the footer"));
            }
            let index = self.clear[self.place(range)?].to_vec();
            indexes.column = Some(self.put_module(Module::ColumnIndex(place), &index, out)?);
        }
        let pages = metadata.page_index();
        if let Some(offsets) = pages.and_then(|pages| pages.offset_index(place.0, place.1)) {
            let locations = offsets.page_locations();
            if locations.len() != chunk.pages.len() {
                return Err(unexpected("the offset index has other pages than the chunk"));
            }
            let pages = locations.iter().zip(&chunk.pages);
            let pages = pages.map(|(clear, page)| (page.offset, page.bytes, clear.first_row_index));
            let index = thrift::offset_index(pages);
            indexes.offset = Some(self.put_module(Module::OffsetIndex(place), &index, out)?);
        }
        Ok(indexes)
    }

    fn put_footer(&mut self, metadata: &ParquetMetaData, out: &mut dyn Write) -> Result<(), ParquetError> {
        let mut clear = Vec::new();
        let writer = ParquetMetaDataWriter::new(&mut clear, metadata).with_preserve_page_index_locations(true);
        writer.finish()?;
        let length = clear.len().checked_sub(8).ok_or_else(|| unexpected("the new footer"))?;
        let key_metadata = self.stamp.to_key_metadata();
        let mut footer = thrift::file_crypto_metadata(self.modules.file_identity(), key_metadata.as_bytes());
        self.modules.put(&mut footer, Module::Footer, &clear[..length])?;
        let length = u32::try_from(footer.len()).map_err(|_| unexpected("the footer is too long"))?;
        footer.extend_from_slice(&length.to_le_bytes());
        footer.extend_from_slice(SEALED_MAGIC);
        self.put(&footer, out)
    }

    fn put_module(&mut self, module: Module, clear: &[u8], out: &mut dyn Write) -> Result<Range<u64>, ParquetError> {
        let mut bytes = Vec::new();
        self.modules.put(&mut bytes, module, clear)?;
        let start = self.written;
        self.put(&bytes, out)?;
        Ok(start..self.written)
    }

    fn put(&mut self, bytes: &[u8], out: &mut dyn Write) -> Result<(), ParquetError> {
        out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Where a range of the clear file lies among what is held of it.
    fn place(&self, range: Range<u64>) -> Result<Range<usize>, ParquetError> {
        let held = |offset: u64| {
            let index = usize::try_from(offset.checked_sub(self.clear_from)?).ok()?;
            (index <= self.clear.len()).then_some(index)
        };
        match (held(range.start), held(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(start..end),
            _ => Err(unexpected("the writer speaks of bytes that are not there")),
        }
    }

    /// Drops the clear bytes before an offset.
    fn forget(&mut self, end: u64) -> Result<(), ParquetError> {
        let end = self.place(self.clear_from..end)?.end;
        self.clear.drain(..end);
        self.clear_from += end as u64;
        Ok(())
    }
}

/// Where the page indexes of a chunk lie.
#[derive(Default)]
struct Indexes {
    column: Option<Range<u64>>,
    offset: Option<Range<u64>>,
}

/// What is said of a chunk, with its places in the encrypted file.
fn moved(clear: &ColumnChunkMetaData, chunk: &SealedChunk, at: Indexes) -> Result<ColumnChunkMetaData, ParquetError> {
    let length = |range: &Range<u64>| i32::try_from(range.end - range.start).ok();
    let place = |range: &Option<Range<u64>>| range.as_ref().map(|range| signed(range.start));
    clear
        .clone()
        .into_builder()
        .set_dictionary_page_offset(chunk.dictionary.map(signed))
        .set_data_page_offset(signed(chunk.data))
        .set_total_compressed_size(signed(chunk.bytes))
        .set_column_index_offset(place(&at.column))
        .set_column_index_length(at.column.as_ref().and_then(length))
        .set_offset_index_offset(place(&at.offset))
        .set_offset_index_length(at.offset.as_ref().and_then(length))
        .set_column_crypto_metadata(Some(ColumnCryptoMetaData::ENCRYPTION_WITH_FOOTER_KEY))
        .build()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("a file has less than 2^63 bytes")
}
