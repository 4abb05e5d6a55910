//! Writing a level-0 part: series by series in row order, in one pass, with memory bounded by two row groups.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Write;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use emberkeep_model::{Labels, Run, TenantId, fingerprint, series_id};

use super::footer::{Footer, KEY};
use super::sample_columns::SampleColumns;
use super::series_columns::SeriesColumns;
use super::{FileSummary, PartFiles, PartInfo, PartSettings, PartSummary, TenantSummary, decimal, part_number, schema};
use crate::{ArchiveError, Checksummed, FileKind};

/// Rows of `samples` that go to the encoder at once, and so by how much a page may be larger than asked.
const SAMPLE_BATCH_ROWS: usize = 4096;

/// Rows of `series` that go to the encoder at once.
const SERIES_BATCH_ROWS: usize = 256;

/// Writes one part. Nothing is valid before [`PartWriter::finish`]; a part that was begun can simply be dropped.
pub struct PartWriter<W: Write + Send> {
    info: PartInfo,
    settings: PartSettings,
    part: i64,
    samples: ArrowWriter<Checksummed<W>>,
    series: ArrowWriter<Checksummed<W>>,
    sample_columns: SampleColumns,
    series_columns: SeriesColumns,
    /// The last series pushed; rows must come in order.
    last: Option<(TenantId, Labels)>,
    /// Ids given in this part, so that no two series share one.
    ids: HashSet<i64>,
    id_of: fn(&TenantId, &Labels) -> i64,
    rows: u64,
    tenants: BTreeMap<String, TenantSummary>,
}

impl<W: Write + Send> fmt::Debug for PartWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("info", &self.info)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<W: Write + Send> PartWriter<W> {
    /// Begins a part in two empty files.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] for settings that cannot be, [`ArchiveError::Write`] when writing fails.
    pub fn create(files: PartFiles<W>, info: PartInfo, settings: PartSettings) -> Result<Self, ArchiveError> {
        if settings.sample_page_rows < SAMPLE_BATCH_ROWS || settings.series_page_rows < SERIES_BATCH_ROWS {
            let reason = format!("pages need at least {SAMPLE_BATCH_ROWS} sample and {SERIES_BATCH_ROWS} series rows");
            return Err(ArchiveError::Invalid(reason));
        }
        Ok(Self {
            part: part_number(info.ulid),
            samples: open(files.samples, &schema::SAMPLES, schema::samples_properties(&settings)?)?,
            series: open(files.series, &schema::SERIES, schema::series_properties(&settings)?)?,
            info,
            settings,
            sample_columns: SampleColumns::default(),
            series_columns: SeriesColumns::default(),
            last: None,
            ids: HashSet::new(),
            id_of: |tenant, labels| series_id(fingerprint(tenant, labels)),
            rows: 0,
            tenants: BTreeMap::new(),
        })
    }

    /// Replaces the hash behind series ids, so that a test can make them collide.
    #[cfg(test)]
    pub(super) fn with_ids(mut self, id_of: fn(&TenantId, &Labels) -> i64) -> Self {
        self.id_of = id_of;
        self
    }

    /// Adds one series with all its samples in this part.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] when the run is empty or not settled, or when the series does not come after the last one in the
    /// order of tenant and labels. [`ArchiveError::Write`] when writing fails; the part is lost then.
    pub fn push(&mut self, tenant: &TenantId, labels: &Labels, run: &Run) -> Result<(), ArchiveError> {
        let (Some(&min_time), Some(&max_time)) = (run.timestamps.first(), run.timestamps.last()) else {
            return Err(ArchiveError::Invalid(format!("series {labels} has an empty run")));
        };
        if !run.is_settled() {
            return Err(ArchiveError::Invalid(format!(
                "the run of series {labels} is not settled"
            )));
        }
        self.advance(tenant, labels)?;

        let mut id = (self.id_of)(tenant, labels);
        while !self.ids.insert(id) {
            id = id.wrapping_add(1) & i64::MAX;
        }
        self.series_columns.push(id, labels, run, self.rows);
        if self.series_columns.len() >= SERIES_BATCH_ROWS {
            self.write_series()?;
        }
        let scale = decimal::scale_of(&run.values);
        // A batch never ends inside a series that fits into one, so that pages end with series.
        if self.sample_columns.len() + run.len() > SAMPLE_BATCH_ROWS {
            self.write_samples()?;
        }
        for start in (0..run.len()).step_by(SAMPLE_BATCH_ROWS) {
            let end = run.len().min(start + SAMPLE_BATCH_ROWS);
            self.sample_columns.push(id, scale, run, start..end);
            if self.sample_columns.len() >= SAMPLE_BATCH_ROWS {
                self.write_samples()?;
            }
        }

        let samples = run.len() as u64;
        self.rows += samples;
        let summary = self.tenants.entry(tenant.as_str().to_owned());
        let summary = summary.or_insert(TenantSummary {
            min_time,
            max_time,
            series: 0,
            samples: 0,
        });
        summary.min_time = summary.min_time.min(min_time);
        summary.max_time = summary.max_time.max(max_time);
        summary.series += 1;
        summary.samples += samples;
        Ok(())
    }

    /// Number of samples pushed so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes the footers and gives the files back, flushed but not synced.
    ///
    /// # Errors
    /// [`ArchiveError::Write`] when writing fails.
    pub fn finish(mut self) -> Result<(PartSummary, PartFiles<W>), ArchiveError> {
        self.write_samples()?;
        self.write_series()?;
        let min_time = self
            .tenants
            .values()
            .map(|tenant| tenant.min_time)
            .min()
            .unwrap_or(i64::MAX);
        let max_time = self
            .tenants
            .values()
            .map(|tenant| tenant.max_time)
            .max()
            .unwrap_or(i64::MIN);
        let series_rows = self.tenants.values().map(|tenant| tenant.series).sum();
        let footer = |kind| Footer::new(&self.info, kind, min_time, max_time).to_json();
        let (samples, samples_file) = close(self.samples, FileKind::Samples, self.rows, footer(FileKind::Samples))?;
        let (series, series_file) = close(self.series, FileKind::Series, series_rows, footer(FileKind::Series))?;
        let summary = PartSummary {
            rows: self.rows,
            series: series_rows,
            min_time,
            max_time,
            tenants: self.tenants,
            files: vec![samples, series],
        };
        Ok((
            summary,
            PartFiles {
                samples: samples_file,
                series: series_file,
            },
        ))
    }

    /// Checks the order of series; batches hold one tenant, so a new one ends them.
    fn advance(&mut self, tenant: &TenantId, labels: &Labels) -> Result<(), ArchiveError> {
        match &mut self.last {
            Some((last_tenant, last_labels)) if last_tenant == tenant => {
                if *last_labels >= *labels {
                    return Err(ArchiveError::Invalid(format!(
                        "series {labels} comes after {last_labels}"
                    )));
                }
                last_labels.clone_from(labels);
                return Ok(());
            }
            Some((last_tenant, _)) if *last_tenant > *tenant => {
                return Err(ArchiveError::Invalid(format!(
                    "tenant `{tenant}` comes after `{last_tenant}`"
                )));
            }
            Some(_) => {
                self.write_samples()?;
                self.write_series()?;
            }
            None => {}
        }
        self.last = Some((tenant.clone(), labels.clone()));
        Ok(())
    }

    fn write_samples(&mut self) -> Result<(), ArchiveError> {
        let rows = self.sample_columns.len();
        let (Some((tenant, _)), true) = (&self.last, rows > 0) else {
            return Ok(());
        };
        let batch = self
            .sample_columns
            .take_batch(tenant.as_str(), self.part)
            .map_err(write_error)?;
        // A row group ends between batches, never inside one.
        if self.samples.in_progress_rows() + rows > self.settings.sample_group_rows
            || self.samples.in_progress_size() > self.settings.group_bytes
        {
            self.samples.flush().map_err(write_error)?;
        }
        self.samples.write(&batch).map_err(write_error)
    }

    fn write_series(&mut self) -> Result<(), ArchiveError> {
        let rows = self.series_columns.len();
        let (Some((tenant, _)), true) = (&self.last, rows > 0) else {
            return Ok(());
        };
        let batch = self
            .series_columns
            .take_batch(tenant.as_str(), self.part)
            .map_err(write_error)?;
        if self.series.in_progress_rows() + rows > self.settings.series_group_rows
            || self.series.in_progress_size() > self.settings.group_bytes
        {
            self.series.flush().map_err(write_error)?;
        }
        self.series.write(&batch).map_err(write_error)
    }
}

fn open<W: Write + Send>(
    file: W,
    schema: &arrow::datatypes::SchemaRef,
    properties: WriterProperties,
) -> Result<ArrowWriter<Checksummed<W>>, ArchiveError> {
    // The Arrow schema in the footer would only tell Arrow what the Parquet schema says already.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(Checksummed::new(file), schema.clone(), options).map_err(write_error)
}

fn close<W: Write + Send>(
    mut writer: ArrowWriter<Checksummed<W>>,
    kind: FileKind,
    rows: u64,
    footer: String,
) -> Result<(FileSummary, W), ArchiveError> {
    writer.append_key_value_metadata(KeyValue::new(KEY.to_owned(), footer));
    let mut file = writer.into_inner().map_err(write_error)?;
    file.flush().map_err(ArchiveError::Write)?;
    let summary = FileSummary {
        kind,
        rows,
        bytes: file.bytes(),
        crc32c: file.crc32c(),
    };
    Ok((summary, file.into_inner()))
}

/// Of what the encoder can complain about while writing, only the file below it is not our own mistake.
fn write_error(error: ParquetError) -> ArchiveError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(io) => ArchiveError::Write(*io),
            Err(other) => ArchiveError::Invalid(format!("write part: {other}")),
        },
        other => ArchiveError::Invalid(format!("write part: {other}")),
    }
}
