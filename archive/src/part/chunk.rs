//! One column of a row group while it is written: its pages as they will lie in the file, and what footer and page index say of them.
//!
//! The parquet crate's own writer looks every value up in a hash table, even where a run of a thousand rows has one value. Here a page
//! comes encoded from somebody who knows its runs; headers, footer and indexes are still the crate's.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::bounds::Bounds;

/// Compresses pages; one for all columns of a file, because its tables are larger than a page.
pub(super) struct Packer {
    level: ZstdLevel,
    compressor: Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    /// With a ZSTD level.
    pub(super) fn new(level: i32) -> Result<Self, ParquetError> {
        Ok(Self {
            level: ZstdLevel::try_new(level)?,
            compressor: Compressor::new(level)?,
            packed: Vec::new(),
        })
    }

    /// The frame says how long the content is, by which a reader checks the page header.
    fn pack(&mut self, content: &[u8]) -> Result<&[u8], ParquetError> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(content.len()));
        self.compressor.compress_to_buffer(content, &mut self.packed)?;
        Ok(&self.packed)
    }
}

/// A page before compression, in the first version of data pages.
pub(super) struct DataPage<'a> {
    /// Rows that begin in it, which is all of them.
    pub(super) rows: u32,
    /// Values and nulls; empty lists count as one.
    pub(super) values: u32,
    pub(super) nulls: u32,
    pub(super) encoding: Encoding,
    /// Levels and values.
    pub(super) content: &'a [u8],
    pub(super) bounds: Bounds,
}

impl<'a> DataPage<'a> {
    /// A page of a column that has one value in each row.
    pub(super) fn required(rows: u32, encoding: Encoding, content: &'a [u8], bounds: Bounds) -> Self {
        Self {
            rows,
            values: rows,
            nulls: 0,
            encoding,
            content,
            bounds,
        }
    }
}

/// All values that the pages refer to by number.
pub(super) struct DictionaryPage<'a> {
    pub(super) values: u32,
    /// PLAIN.
    pub(super) content: &'a [u8],
}

/// The pages of a column chunk.
pub(super) struct ChunkWriter {
    column: ColumnDescPtr,
    is_packed: bool,
    has_statistics: bool,
    data: TrackedWrite<Vec<u8>>,
    pages: Vec<PageEntry>,
    content_bytes: u64,
}

struct PageEntry {
    offset: u64,
    bytes: usize,
    rows: u32,
    values: u32,
    nulls: u32,
    encoding: Encoding,
    bounds: Bounds,
}

impl ChunkWriter {
    pub(super) fn new(column: ColumnDescPtr) -> Self {
        Self {
            column,
            is_packed: true,
            has_statistics: true,
            data: TrackedWrite::new(Vec::new()),
            pages: Vec::new(),
            content_bytes: 0,
        }
    }

    /// Without compression: what is a few bytes for each page gains nothing.
    pub(super) fn unpacked(column: ColumnDescPtr) -> Self {
        Self {
            is_packed: false,
            ..Self::new(column)
        }
    }

    pub(super) fn without_statistics(self) -> Self {
        Self {
            has_statistics: false,
            ..self
        }
    }

    /// Bytes of the pages so far.
    pub(super) fn bytes(&self) -> usize {
        self.data.bytes_written()
    }

    /// Adds the next page.
    pub(super) fn push(&mut self, page: DataPage<'_>, packer: &mut Packer) -> Result<(), ParquetError> {
        let buf = Bytes::copy_from_slice(if self.is_packed {
            packer.pack(page.content)?
        } else {
            page.content
        });
        let data = Page::DataPage {
            buf,
            num_values: page.values,
            encoding: page.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = put(&mut self.data, data, page.content.len())?;
        self.content_bytes += written.1;
        self.pages.push(PageEntry {
            offset: self.data.bytes_written() as u64 - written.0,
            bytes: usize::try_from(written.0).expect("it is in memory"),
            rows: page.rows,
            values: page.values,
            nulls: page.nulls,
            encoding: page.encoding,
            bounds: page.bounds,
        });
        Ok(())
    }

    /// All bytes of the chunk, the dictionary first, and what is said of it. No pages are left.
    pub(super) fn close(
        &mut self,
        dictionary: Option<DictionaryPage<'_>>,
        packer: &mut Packer,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let pages = std::mem::take(&mut self.pages);
        let data = std::mem::replace(&mut self.data, TrackedWrite::new(Vec::new())).into_inner()?;
        let mut content_bytes = std::mem::take(&mut self.content_bytes);
        let mut bytes = TrackedWrite::new(Vec::with_capacity(data.len()));
        let mut encodings = Vec::new();
        let mut used = vec![Encoding::RLE];
        if let Some(dictionary) = &dictionary {
            let content = dictionary.content;
            let page = Page::DictionaryPage {
                buf: Bytes::copy_from_slice(if self.is_packed { packer.pack(content)? } else { content }),
                num_values: dictionary.values,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            content_bytes += put(&mut bytes, page, content.len())?.1;
            encodings.push(encoding_of(PageType::DICTIONARY_PAGE, Encoding::PLAIN));
            used.push(Encoding::PLAIN);
        }
        let data_offset = bytes.bytes_written() as u64;
        let mut bytes = bytes.into_inner()?;
        bytes.extend_from_slice(&data);

        let physical = self.column.physical_type();
        let (mut offsets, mut index) = (OffsetIndexBuilder::new(), ColumnIndexBuilder::new(physical));
        let (mut rows, mut values, mut nulls, mut all) = (0_u64, 0_u64, 0_u64, Bounds::default());
        let (mut rises, mut falls, mut last) = (true, true, Bounds::default());
        for page in &pages {
            let offset = i64::try_from(data_offset + page.offset).expect("it is in memory");
            offsets.append_offset_and_size(
                offset,
                i32::try_from(page.bytes).map_err(|e| ParquetError::External(e.into()))?,
            );
            offsets.append_row_count(i64::from(page.rows));
            rows += u64::from(page.rows);
            values += u64::from(page.values);
            nulls += u64::from(page.nulls);
            match encodings.last_mut() {
                Some(same) if same.page_type == PageType::DATA_PAGE && same.encoding == page.encoding => {
                    same.count += 1
                }
                _ => encodings.push(encoding_of(PageType::DATA_PAGE, page.encoding)),
            }
            if !used.contains(&page.encoding) {
                used.push(page.encoding);
            }
            if self.has_statistics {
                let (least, greatest) = page.bounds.to_bytes(physical);
                index.append(
                    page.bounds == Bounds::Nothing,
                    least,
                    greatest,
                    i64::from(page.nulls),
                    None,
                );
                all.join(&page.bounds);
                rises &= last.does_not_fall_to(&page.bounds);
                falls &= page.bounds.does_not_fall_to(&last);
                if page.bounds != Bounds::Nothing {
                    last = page.bounds.clone();
                }
            }
        }
        index.set_boundary_order(match (rises, falls) {
            (true, _) => BoundaryOrder::ASCENDING,
            (_, true) => BoundaryOrder::DESCENDING,
            _ => BoundaryOrder::UNORDERED,
        });
        let compression = match self.is_packed {
            true => Compression::ZSTD(packer.level),
            false => Compression::UNCOMPRESSED,
        };
        let signed = |number: u64| i64::try_from(number).expect("it is in memory");
        let mut metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(compression)
            .set_encodings(used)
            .set_page_encoding_stats(encodings)
            .set_total_compressed_size(signed(bytes.len() as u64))
            .set_total_uncompressed_size(signed(content_bytes))
            .set_num_values(signed(values))
            .set_data_page_offset(signed(data_offset))
            .set_dictionary_page_offset(dictionary.map(|_| 0));
        if self.has_statistics {
            metadata = metadata.set_statistics(all.statistics(physical, nulls));
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: self.has_statistics.then(|| index.build()).transpose()?,
            offset_index: Some(offsets.build()),
        };
        Ok((bytes.into(), close))
    }
}

fn encoding_of(page_type: PageType, encoding: Encoding) -> PageEncodingStats {
    PageEncodingStats {
        page_type,
        encoding,
        count: 1,
    }
}

/// Writes a page with its header; bytes of both, as they lie there and before compression.
fn put(out: &mut TrackedWrite<Vec<u8>>, page: Page, content_bytes: usize) -> Result<(u64, u64), ParquetError> {
    let spec = SerializedPageWriter::new(out).write_page(CompressedPage::new(page, content_bytes))?;
    Ok((spec.bytes_written, spec.uncompressed_size as u64))
}
