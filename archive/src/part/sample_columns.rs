//! Rows of `samples` while they are written: one page of every column is open, and the pages of one row group are kept.

use std::ops::Range;

use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;

use emberkeep_model::UNSET_START_TIMESTAMP;

use super::bounds::Bounds;
use super::chunk::{ChunkWriter, DataPage, Packer};
use super::chunk_file::Chunks;
use super::encoding::ID_DICTIONARY_BYTES;
use super::hybrid::Levels;
use super::run_column::RunColumn;
use super::scaling::Scaling;
use super::{RunSlice, delta, schema};

/// A series with at most so many rows is never cut by the end of a page.
const WHOLE_ROWS: usize = 4096;

/// The columns of a row group.
pub(super) struct SampleColumns {
    packer: Packer,
    page_rows: usize,
    /// None when all rows are of one tenant.
    tenants: Option<RunColumn>,
    parts: RunColumn,
    series_ids: RunColumn,
    timestamps: ChunkWriter,
    unscaled: ChunkWriter,
    scales: RunColumn,
    raw_values: ChunkWriter,
    start_timestamps: RunColumn,
    group_rows: usize,
    page: OpenPage,
}

/// What of the open page is not in a run.
#[derive(Default)]
struct OpenPage {
    timestamps: Vec<i64>,
    /// Of those rows that have one.
    unscaled: Vec<i64>,
    has_unscaled: Levels,
    /// Of the others, PLAIN.
    raw: Vec<u8>,
    content: Vec<u8>,
}

impl SampleColumns {
    /// `columns` are those of the file; a page has `page_rows` rows or somewhat more.
    pub(super) fn new(columns: &SchemaDescriptor, page_rows: usize, zstd_level: i32) -> Result<Self, ParquetError> {
        // Without a column of tenants, all others stand one further to the left.
        let has_tenants = columns.column(0).name() == schema::TENANT;
        let column = |i: usize| columns.column(i - usize::from(!has_tenants));
        let chunk = |i| ChunkWriter::new(column(i));
        let runs = |i| RunColumn::new(column(i), chunk(i));
        Ok(Self {
            packer: Packer::new(zstd_level)?,
            page_rows,
            tenants: has_tenants.then(|| runs(0)),
            parts: runs(1),
            series_ids: runs(2).with_dictionary_bytes(ID_DICTIONARY_BYTES),
            timestamps: chunk(3),
            unscaled: chunk(4),
            scales: runs(5),
            // Engines disagree on what a minimum is when there are NaN.
            raw_values: chunk(6).without_statistics(),
            start_timestamps: runs(7),
            group_rows: 0,
            page: OpenPage::default(),
        })
    }

    /// Rows of the row group.
    pub(super) fn rows(&self) -> usize {
        self.group_rows + self.page.timestamps.len()
    }

    /// Bytes of the pages of the row group that have ended.
    pub(super) fn bytes(&self) -> usize {
        let runs = [&self.parts, &self.series_ids, &self.scales, &self.start_timestamps];
        let chunks = [&self.timestamps, &self.unscaled, &self.raw_values];
        let tenants = self.tenants.as_ref().map_or(0, RunColumn::bytes);
        tenants
            + runs.map(RunColumn::bytes).iter().sum::<usize>()
            + chunks.map(ChunkWriter::bytes).iter().sum::<usize>()
    }

    /// The first of a run's rows from `from` on that go into the open page. A page never ends inside a series that is short enough.
    pub(super) fn fitting(&self, run: RunSlice<'_>, from: usize) -> Range<usize> {
        if run.len() <= WHOLE_ROWS {
            return from..run.len();
        }
        from..run.len().min(from + self.page_rows - self.page.timestamps.len())
    }

    /// Adds rows of a run that was looked at, and ends the page when it is full; true then.
    pub(super) fn push(
        &mut self,
        tenant: &[u8],
        part: i64,
        series_id: i64,
        scaling: &Scaling,
        run: RunSlice<'_>,
        rows: Range<usize>,
    ) -> Result<bool, ParquetError> {
        let count = u32::try_from(rows.len()).expect("a page has fewer than 2^32 rows");
        if let Some(tenants) = &mut self.tenants {
            tenants.push_text(tenant, count);
        }
        self.parts.push_number(part, count);
        self.series_ids.push_new_number(series_id, count);
        self.scales.push_number(i64::from(scaling.scale()), count);
        self.push_starts(run.start_timestamps, &rows);
        let page = &mut self.page;
        page.timestamps.extend_from_slice(&run.timestamps[rows.clone()]);
        scaling.split(run.values, rows, &mut page.unscaled, |exact, raw| {
            page.has_unscaled.push_many(true, exact);
            page.has_unscaled.push_many(false, raw.len() as u32);
            page.raw.reserve(8 * raw.len());
            for raw in raw {
                page.raw.extend_from_slice(&raw.to_le_bytes());
            }
        });
        let is_full = page.timestamps.len() >= self.page_rows;
        if is_full {
            self.end_page()?;
        }
        Ok(is_full)
    }

    fn push_starts(&mut self, starts: &[i64], rows: &Range<usize>) {
        let column = &mut self.start_timestamps;
        let count = |rows: usize| u32::try_from(rows).expect("a page has fewer than 2^32 rows");
        let Some(starts) = starts.get(rows.clone()).filter(|_| !starts.is_empty()) else {
            return column.push_nulls(count(rows.len()));
        };
        for same in starts.chunk_by(|a, b| a == b) {
            match same[0] {
                UNSET_START_TIMESTAMP => column.push_nulls(count(same.len())),
                start => column.push_number(start, count(same.len())),
            }
        }
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let (page, packer) = (&mut self.page, &mut self.packer);
        let rows = page.has_unscaled.count();
        if rows == 0 {
            return Ok(());
        }
        if let Some(tenants) = &mut self.tenants {
            tenants.end_page(packer)?;
        }
        self.parts.end_page(packer)?;
        self.series_ids.end_page(packer)?;
        self.scales.end_page(packer)?;
        self.start_timestamps.end_page(packer)?;

        page.content.clear();
        delta::put(&mut page.content, &page.timestamps);
        let (encoding, bounds) = (Encoding::DELTA_BINARY_PACKED, Bounds::of_numbers(&page.timestamps));
        let times = DataPage::required(rows, encoding, &page.content, bounds);
        self.timestamps.push(times, packer)?;

        page.content.clear();
        page.has_unscaled.put(&mut page.content);
        delta::put(&mut page.content, &page.unscaled);
        let raw = page.has_unscaled.zeros();
        let unscaled = DataPage {
            nulls: raw,
            ..DataPage::required(rows, encoding, &page.content, Bounds::of_numbers(&page.unscaled))
        };
        self.unscaled.push(unscaled, packer)?;

        page.content.clear();
        page.has_unscaled.put_inverted(&mut page.content);
        page.content.extend_from_slice(&page.raw);
        let raw_values = DataPage {
            nulls: rows - raw,
            ..DataPage::required(rows, Encoding::PLAIN, &page.content, Bounds::Nothing)
        };
        self.raw_values.push(raw_values, packer)?;

        self.group_rows += page.timestamps.len();
        page.timestamps.clear();
        page.unscaled.clear();
        page.has_unscaled.clear();
        page.raw.clear();
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
            self.series_ids.close(packer)?,
            self.timestamps.close(None, packer)?,
            self.unscaled.close(None, packer)?,
            self.scales.close(packer)?,
            self.raw_values.close(None, packer)?,
            self.start_timestamps.close(packer)?,
        ]);
        Ok(chunks)
    }
}
