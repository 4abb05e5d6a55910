//! One file of histograms, exemplars or metadata while it is written. It comes into being with its first row, so a kind that nobody sent costs nothing.

use std::io::Write;

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use super::file_sink::FileSink;
use super::footer::KEY;
use super::schema::{self, Form};
use super::{FileSummary, PartSettings, encoding};
use crate::{ArchiveError, FileKind};

/// Makes the empty file of a kind.
pub(super) type Open<'a, W> = dyn FnMut(FileKind) -> Result<W, ArchiveError> + Send + 'a;

/// A file that may not be there yet.
pub(super) struct FileWriter<W: Write + Send> {
    kind: FileKind,
    form: Form,
    writer: Option<ArrowWriter<FileSink<W>>>,
    rows: u64,
    /// Bytes of the open row group before encoding.
    group_bytes: usize,
}

impl<W: Write + Send> FileWriter<W> {
    pub(super) fn new(kind: FileKind, form: Form) -> Self {
        Self {
            kind,
            form,
            writer: None,
            rows: 0,
            group_bytes: 0,
        }
    }

    /// Makes the file unless it is there.
    pub(super) fn open(
        &mut self,
        open: &mut Open<'_, W>,
        settings: &PartSettings,
    ) -> Result<&mut ArrowWriter<FileSink<W>>, ArchiveError> {
        if self.writer.is_none() {
            // The Arrow schema in the footer would only tell Arrow what the Parquet schema says already.
            let options = ArrowWriterOptions::new()
                .with_properties(encoding::properties(self.kind, settings)?)
                .with_skip_arrow_metadata(true);
            let schema = schema::of(self.kind, self.form).clone();
            let file = FileSink::new(open(self.kind)?, &settings.keys)?;
            self.writer = Some(ArrowWriter::try_new_with_options(file, schema, options).map_err(write_error)?);
        }
        Ok(self.writer.as_mut().expect("it was made above"))
    }

    /// Bytes so far: written, and encoded of the open row group.
    pub(super) fn bytes(&self) -> u64 {
        let writer = self.writer.as_ref();
        writer.map_or(0, |writer| (writer.bytes_written() + writer.in_progress_size()) as u64)
    }

    /// Adds rows. A row group ends between batches, never inside one.
    pub(super) fn write(
        &mut self,
        open: &mut Open<'_, W>,
        settings: &PartSettings,
        batch: Result<RecordBatch, ParquetError>,
    ) -> Result<(), ArchiveError> {
        let batch = batch.map_err(write_error)?;
        // Rows of any size: encoding can make thousands of buckets so small that a reader could not hold what comes out of a page.
        let bytes = batch.get_array_memory_size();
        let group_bytes = self.group_bytes + bytes;
        let writer = self.open(open, settings)?;
        let is_full = writer.in_progress_rows() + batch.num_rows() > settings.sample_group_rows
            || writer.in_progress_size() > settings.group_bytes
            || group_bytes > settings.group_bytes;
        if is_full && writer.in_progress_rows() > 0 {
            writer.flush().map_err(write_error)?;
            self.group_bytes = bytes;
        } else {
            self.group_bytes = group_bytes;
        }
        let writer = self.open(open, settings)?;
        writer.write(&batch).map_err(write_error)?;
        if writer.inner().lacks(writer.flushed_row_groups().len()) {
            let groups = writer.flushed_row_groups().to_vec();
            writer.inner_mut().groups_ended(&groups)?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes the footer and gives the file back, flushed but not synced; `None` when there was never one.
    pub(super) fn close(
        self,
        footer: impl FnOnce(FileKind) -> String,
    ) -> Result<Option<(FileSummary, W)>, ArchiveError> {
        let Some(mut writer) = self.writer else {
            return Ok(None);
        };
        writer.append_key_value_metadata(KeyValue::new(KEY.to_owned(), footer(self.kind)));
        let file = writer.into_inner().map_err(write_error)?.close()?;
        let summary = FileSummary {
            kind: self.kind,
            rows: self.rows,
            bytes: file.bytes(),
            crc32c: file.crc32c(),
        };
        Ok(Some((summary, file.into_inner())))
    }
}

/// Of what the encoder can complain about while writing, only the file below it is not our own mistake.
pub(super) fn write_error(error: ParquetError) -> ArchiveError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(io) => ArchiveError::Write(*io),
            Err(other) => ArchiveError::Invalid(format!("write part: {other}")),
        },
        other => ArchiveError::Invalid(format!("write part: {other}")),
    }
}
