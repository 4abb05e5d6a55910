//! A file of a part that is written page by page: `samples` and `series`, which have nearly all rows. Like the others it comes into being
//! with its first row group.

use std::io::Write;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;

use super::file_sink::FileSink;
use super::file_writer::{Open, write_error};
use super::footer::KEY;
use super::schema::Form;
use super::{FileSummary, PartSettings, encoding};
use crate::{ArchiveError, FileKind};

/// Column chunks, in the order of the columns.
pub(super) type Chunks = Vec<(Bytes, ColumnCloseResult)>;

/// A file that may not be there yet.
pub(super) struct ChunkFile<W: Write + Send> {
    kind: FileKind,
    form: Form,
    writer: Option<SerializedFileWriter<FileSink<W>>>,
    rows: u64,
}

impl<W: Write + Send> ChunkFile<W> {
    pub(super) fn new(kind: FileKind, form: Form) -> Self {
        Self {
            kind,
            form,
            writer: None,
            rows: 0,
        }
    }

    /// Makes the file unless it is there.
    pub(super) fn open(
        &mut self,
        open: &mut Open<'_, W>,
        settings: &PartSettings,
    ) -> Result<&mut SerializedFileWriter<FileSink<W>>, ArchiveError> {
        if self.writer.is_none() {
            let properties = encoding::properties(self.kind, settings)?.into();
            let schema = encoding::columns(self.kind, self.form).root_schema_ptr();
            let file = FileSink::new(open(self.kind)?, &settings.keys)?;
            self.writer = Some(SerializedFileWriter::new(file, schema, properties).map_err(write_error)?);
        }
        Ok(self.writer.as_mut().expect("it was made above"))
    }

    /// Bytes of the row groups so far.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.bytes_written() as u64)
    }

    /// Adds a row group.
    pub(super) fn write(
        &mut self,
        open: &mut Open<'_, W>,
        settings: &PartSettings,
        chunks: Result<Chunks, ParquetError>,
    ) -> Result<(), ArchiveError> {
        let chunks = chunks.map_err(write_error)?;
        self.rows += chunks.first().map_or(0, |(_, close)| close.rows_written);
        let mut group = self.open(open, settings)?.next_row_group().map_err(write_error)?;
        for (bytes, close) in chunks {
            group.append_column(&bytes, close).map_err(write_error)?;
        }
        group.close().map_err(write_error)?;
        let writer = self.open(open, settings)?;
        if writer.inner().lacks(writer.flushed_row_groups().len()) {
            let groups = writer.flushed_row_groups().to_vec();
            writer.inner_mut().groups_ended(&groups)?;
        }
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
