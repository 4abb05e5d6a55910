//! Rows of `series` while they are written: one page of every column is open, and the pages of one row group are kept.

use std::ops::Range;

use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;

use emberkeep_model::Labels;

use super::TimeSpan;
use super::bounds::Bounds;
use super::chunk::{ChunkWriter, DataPage, Packer};
use super::chunk_file::Chunks;
use super::digest_pages::DigestPages;
use super::label_pages::LabelPages;
use super::run_column::RunColumn;
use super::{delta, schema};

/// A page ends before its time when its labels are so many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// Columns of times and of row numbers.
const NUMBERS: usize = 8;

/// The columns of a row group.
pub(super) struct SeriesColumns {
    packer: Packer,
    page_rows: usize,
    /// None when all rows are of one tenant.
    tenants: Option<RunColumn>,
    parts: RunColumn,
    series_ids: ChunkWriter,
    metric_names: RunColumn,
    labels: LabelPages,
    numbers: [ChunkWriter; NUMBERS],
    /// None for a flush.
    digests: Option<DigestPages>,
    group_rows: usize,
    page: OpenPage,
}

#[derive(Default)]
struct OpenPage {
    series_ids: Vec<i64>,
    numbers: [Vec<i64>; NUMBERS],
    content: Vec<u8>,
}

/// Where the rows of a series lie in each file; without any, where they would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowsByKind {
    pub(super) samples: Range<u64>,
    pub(super) histograms: Range<u64>,
    pub(super) exemplars: Range<u64>,
}

impl SeriesColumns {
    /// `columns` are those of the file.
    pub(super) fn new(columns: &SchemaDescriptor, page_rows: usize, zstd_level: i32) -> Result<Self, ParquetError> {
        // What is a few bytes for each page gains nothing, and costs a reader a context for each column and open part.
        // Without a column of tenants, all others stand one further to the left.
        let has_tenants = columns.column(0).name() == schema::TENANT;
        let column = |i: usize| columns.column(i - usize::from(!has_tenants));
        let unpacked = |i| ChunkWriter::unpacked(column(i));
        let packed = |i| ChunkWriter::new(column(i));
        let digests = 6 + NUMBERS;
        let has_digests = columns.num_columns() > digests;
        Ok(Self {
            packer: Packer::new(zstd_level)?,
            page_rows,
            tenants: has_tenants.then(|| RunColumn::new(column(0), unpacked(0))),
            parts: RunColumn::new(column(1), unpacked(1)),
            // Hashes cannot be compressed.
            series_ids: unpacked(2),
            metric_names: RunColumn::new(column(3), packed(3)),
            labels: LabelPages::new(packed(4), packed(5)),
            numbers: std::array::from_fn(|i| if i < 2 { packed(6 + i) } else { unpacked(6 + i) }),
            digests: has_digests.then(|| DigestPages::new(std::array::from_fn(|i| packed(digests + i)))),
            group_rows: 0,
            page: OpenPage::default(),
        })
    }

    /// Rows of the row group.
    pub(super) fn rows(&self) -> usize {
        self.group_rows + self.page.series_ids.len()
    }

    /// Bytes of the pages of the row group that have ended.
    pub(super) fn bytes(&self) -> usize {
        let runs = [&self.parts, &self.metric_names];
        let tenants = self.tenants.as_ref().map_or(0, RunColumn::bytes);
        let digests = self.digests.as_ref().map_or(0, DigestPages::bytes);
        let numbers = self.numbers.iter().map(ChunkWriter::bytes).sum::<usize>();
        runs.map(RunColumn::bytes).iter().sum::<usize>()
            + self.series_ids.bytes()
            + self.labels.bytes()
            + numbers
            + tenants
            + digests
    }

    /// Adds the digests of the next series, as bytes, none of a kind that it does not have; before the series itself.
    pub(super) fn push_digests(&mut self, digests: [&[u8]; 4]) {
        if let Some(pages) = &mut self.digests {
            pages.push(digests);
        }
    }

    /// Adds a series with its oldest and newest time, and ends the page when it is full; true then.
    pub(super) fn push(
        &mut self,
        tenant: &[u8],
        part: i64,
        series_id: i64,
        labels: &Labels,
        times: TimeSpan,
        rows: &RowsByKind,
    ) -> Result<bool, ParquetError> {
        if let Some(tenants) = &mut self.tenants {
            tenants.push_text(tenant, 1);
        }
        self.parts.push_number(part, 1);
        self.page.series_ids.push(series_id);
        self.metric_names.push_text(metric_name(labels), 1);
        self.labels.push(labels.as_bytes());
        let signed = |n: u64| n.cast_signed();
        let start_and_count = |rows: &Range<u64>| [signed(rows.start), signed(rows.end - rows.start)];
        let [[a, b], [c, d], [e, f]] = [&rows.samples, &rows.histograms, &rows.exemplars].map(start_and_count);
        let numbers = [times.min_time, times.max_time, a, b, c, d, e, f];
        for (column, number) in self.page.numbers.iter_mut().zip(numbers) {
            column.push(number);
        }
        let is_full = self.page.series_ids.len() >= self.page_rows || self.labels.page_bytes() >= PAGE_BYTES;
        if is_full {
            self.end_page()?;
        }
        Ok(is_full)
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let (page, packer) = (&mut self.page, &mut self.packer);
        let rows = u32::try_from(page.series_ids.len()).expect("a page has fewer than 2^32 rows");
        if rows == 0 {
            return Ok(());
        }
        if let Some(tenants) = &mut self.tenants {
            tenants.end_page(packer)?;
        }
        if let Some(digests) = &mut self.digests {
            digests.end_page(packer)?;
        }
        self.parts.end_page(packer)?;
        self.metric_names.end_page(packer)?;
        self.labels.end_page(packer)?;
        page.content.clear();
        page.content
            .extend(page.series_ids.iter().flat_map(|id| id.to_le_bytes()));
        let bounds = Bounds::of_numbers(&page.series_ids);
        let ids = DataPage::required(rows, Encoding::PLAIN, &page.content, bounds);
        self.series_ids.push(ids, packer)?;
        self.group_rows += page.series_ids.len();
        page.series_ids.clear();
        for (column, numbers) in self.numbers.iter_mut().zip(&mut page.numbers) {
            page.content.clear();
            delta::put(&mut page.content, numbers);
            let bounds = Bounds::of_numbers(numbers);
            let data = DataPage::required(rows, Encoding::DELTA_BINARY_PACKED, &page.content, bounds);
            column.push(data, packer)?;
            numbers.clear();
        }
        Ok(())
    }

    /// Ends the row group; no rows are left.
    pub(super) fn take_group(&mut self) -> Result<Chunks, ParquetError> {
        self.end_page()?;
        self.group_rows = 0;
        let packer = &mut self.packer;
        let mut chunks = Chunks::new();
        if let Some(tenants) = &mut self.tenants {
            chunks.push(tenants.close(packer)?);
        }
        chunks.extend([
            self.parts.close(packer)?,
            self.series_ids.close(None, packer)?,
            self.metric_names.close(packer)?,
        ]);
        self.labels.close(packer, &mut chunks)?;
        for column in &mut self.numbers {
            chunks.push(column.close(None, packer)?);
        }
        if let Some(digests) = &mut self.digests {
            digests.close(packer, &mut chunks)?;
        }
        Ok(chunks)
    }
}

fn metric_name(labels: &Labels) -> &[u8] {
    let name = Labels::METRIC_NAME.as_bytes();
    emberkeep_model::canonical_value_of(labels.as_bytes(), name).unwrap_or_default()
}
