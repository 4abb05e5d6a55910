//! Writing a part: series by series in row order, in one pass, with memory bounded by a row group of each file and the metadata of
//! one tenant.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use parquet::errors::ParquetError;

use emberkeep_model::{ExemplarRun, HistogramRun, Labels, SeenMetadata, SeriesRuns, TenantId};

use super::chunk_file::ChunkFile;
use super::exemplar_columns::ExemplarColumns;
use super::file_writer::{FileWriter, Open, write_error};
use super::footer::Footer;
use super::histogram_columns::HistogramColumns;
use super::metadata_rows::MetadataRows;
use super::sample_columns::SampleColumns;
use super::scaling::Scaling;
use super::schema::Form;
use super::series_columns::{RowsByKind, SeriesColumns};
use super::series_ids::SeriesIds;
use super::{
    Compaction, PartInfo, PartOrigin, PartSettings, PartSummary, RunSlice, TenantSummary, TimeSpan, encoding,
    part_number,
};
use crate::digest::Digests;
use crate::{ArchiveError, FileKind, FileSummary};

/// Rows of a page of `samples`, at least: a series of so many is never cut, so a page may be larger than asked by as much.
const LEAST_SAMPLE_PAGE_ROWS: usize = 4096;

/// Rows of `histograms`, `exemplars` and `metadata` that go to the encoder at once.
const BATCH_ROWS: usize = 256;

/// Bytes of rows of any size that go to the encoder at once, unless one row is larger.
const BATCH_BYTES: usize = 256 << 10;

/// Writes one part. Nothing is valid before [`PartWriter::finish`]; a part that was begun can simply be dropped.
pub struct PartWriter<'a, W: Write + Send> {
    open: Box<Open<'a, W>>,
    info: PartInfo,
    settings: PartSettings,
    part: i64,
    files: Files<W>,
    samples: SampleColumns,
    scaling: Scaling,
    series: SeriesColumns,
    histograms: HistogramColumns,
    exemplars: ExemplarColumns,
    metadata: MetadataRows,
    /// Rows must come in order.
    last: Option<OpenTenant>,
    ids: SeriesIds,
    /// Of the series at work, as it is stored; only from level 1.
    digests: Digests,
    digest_bytes: [Vec<u8>; 4],
    id_of: Option<fn(&TenantId, &Labels) -> i64>,
    summary: PartSummary,
}

/// The tenant at work, what it has so far, and its last series.
struct OpenTenant {
    tenant: TenantId,
    labels: Option<Labels>,
    summary: TenantSummary,
}

/// All rows of one series.
struct Rows<'a> {
    samples: RunSlice<'a>,
    histograms: &'a HistogramRun,
    exemplars: &'a ExemplarRun,
}

struct Files<W: Write + Send> {
    samples: ChunkFile<W>,
    series: ChunkFile<W>,
    histograms: FileWriter<W>,
    exemplars: FileWriter<W>,
    metadata: FileWriter<W>,
}

impl<W: Write + Send> fmt::Debug for PartWriter<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("info", &self.info)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl<'a, W: Write + Send> PartWriter<'a, W> {
    /// Begins a part. `open` makes the empty file of a kind: of the series table now, of others when they get their first row.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] for settings that cannot be, [`ArchiveError::Write`] when writing fails, and errors of `open`.
    pub fn create(
        open: impl FnMut(FileKind) -> Result<W, ArchiveError> + Send + 'a,
        info: PartInfo,
        settings: PartSettings,
    ) -> Result<Self, ArchiveError> {
        let least = settings
            .series_page_rows
            .min(settings.histogram_page_rows)
            .min(settings.other_page_rows);
        if settings.sample_page_rows < LEAST_SAMPLE_PAGE_ROWS || least < BATCH_ROWS {
            let reason =
                format!("pages need at least {LEAST_SAMPLE_PAGE_ROWS} rows of samples and {BATCH_ROWS} of others");
            return Err(ArchiveError::Invalid(reason));
        }
        let form = match &info.origin {
            PartOrigin::Flush { .. } => Form::Flush,
            PartOrigin::Compacted(_) => Form::Compacted,
        };
        let (columns, level) = (|kind| encoding::columns(kind, form), settings.zstd_level);
        let invalid = |error: ParquetError| ArchiveError::Invalid(error.to_string());
        let samples = SampleColumns::new(&columns(FileKind::Samples), settings.sample_page_rows, level);
        let series = SeriesColumns::new(&columns(FileKind::Series), settings.series_page_rows, level);
        let mut writer = Self {
            open: Box::new(open),
            part: part_number(info.ulid),
            info,
            settings,
            files: Files {
                samples: ChunkFile::new(FileKind::Samples, form),
                series: ChunkFile::new(FileKind::Series, form),
                histograms: FileWriter::new(FileKind::Histograms, form),
                exemplars: FileWriter::new(FileKind::Exemplars, form),
                metadata: FileWriter::new(FileKind::Metadata, form),
            },
            samples: samples.map_err(invalid)?,
            scaling: Scaling::default(),
            series: series.map_err(invalid)?,
            histograms: HistogramColumns::default(),
            exemplars: ExemplarColumns::default(),
            metadata: MetadataRows::default(),
            last: None,
            ids: SeriesIds::new(),
            digests: Digests::default(),
            digest_bytes: [const { Vec::new() }; 4],
            id_of: None,
            summary: PartSummary {
                rows: 0,
                series: 0,
                histograms: 0,
                exemplars: 0,
                metadata: 0,
                min_time: i64::MAX,
                max_time: i64::MIN,
                tenants: BTreeMap::new(),
                files: Vec::new(),
            },
        };
        writer.files.series.open(&mut *writer.open, &writer.settings)?;
        Ok(writer)
    }

    /// Replaces the hash behind series ids, so that a test can make them collide.
    #[cfg(test)]
    pub(super) fn with_ids(mut self, id_of: fn(&TenantId, &Labels) -> i64) -> Self {
        self.id_of = Some(id_of);
        self
    }

    /// Adds one series with all that this part has of it: settled rows, and metadata that was sent for it alone.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] when there is nothing at all, when the rows are not settled, or when the series does not come after the
    /// last one in the order of tenant and labels. [`ArchiveError::Write`] when writing fails; the part is lost then.
    pub fn push(
        &mut self,
        tenant: &TenantId,
        labels: &Labels,
        runs: &SeriesRuns,
        metadata: &[SeenMetadata],
    ) -> Result<(), ArchiveError> {
        // A slice knows nothing of the other kinds; without any, it says the same.
        if !runs.histograms.is_empty() || !runs.exemplars.is_empty() {
            require_settled(labels, runs.is_settled())?;
        }
        let rows = Rows {
            samples: RunSlice::from(&runs.samples),
            histograms: &runs.histograms,
            exemplars: &runs.exemplars,
        };
        self.push_rows(tenant, labels, &rows, metadata)
    }

    /// Adds one series of which this part has floats alone, and perhaps metadata; as [`PartWriter::push`], from wherever they lie.
    ///
    /// # Errors
    /// As [`PartWriter::push`].
    pub fn push_slice(
        &mut self,
        tenant: &TenantId,
        labels: &Labels,
        samples: RunSlice<'_>,
        metadata: &[SeenMetadata],
    ) -> Result<(), ArchiveError> {
        let rows = Rows {
            samples,
            histograms: &HistogramRun::default(),
            exemplars: &ExemplarRun::default(),
        };
        self.push_rows(tenant, labels, &rows, metadata)
    }

    fn push_rows(
        &mut self,
        tenant: &TenantId,
        labels: &Labels,
        rows: &Rows<'_>,
        metadata: &[SeenMetadata],
    ) -> Result<(), ArchiveError> {
        let of_samples = TimeSpan::of_samples(rows.samples.timestamps, rows.histograms);
        let of_exemplars = TimeSpan::of_exemplars(rows.exemplars);
        let Some(times) = of_samples.or(of_exemplars).or_else(|| TimeSpan::of_seen(metadata)) else {
            return Err(ArchiveError::Invalid(format!("series {labels} has nothing")));
        };
        require_settled(labels, rows.samples.is_settled())?;
        self.advance(tenant, Some(labels))?;

        let asked = match self.id_of {
            Some(id_of) => id_of(tenant, labels),
            None => self.ids.asked(tenant, labels),
        };
        let id = self.ids.give(asked);
        let row = self.summary.series;
        self.digest(labels, rows)?;
        let places = self.count(rows, of_samples, of_exemplars);
        if self.series.rows() >= self.settings.series_group_rows {
            self.end_series_group()?;
        }
        self.series
            .push_digests(self.digest_bytes.each_ref().map(Vec::as_slice));
        let pushed = self
            .series
            .push(tenant.as_str().as_bytes(), self.part, id, labels, times, &places);
        if pushed.map_err(write_error)? && self.series.bytes() > self.settings.group_bytes {
            self.end_series_group()?;
        }
        self.push_samples(tenant, id, rows.samples)?;
        self.push_histograms(id, rows.histograms)?;
        self.push_exemplars(id, rows.exemplars)?;
        if !metadata.is_empty() {
            self.metadata.push(labels.metric_name(), Some((row, id)), metadata);
        }
        Ok(())
    }

    /// Adds metadata of a metric family; before, between or after the series of its tenant.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] when the tenant comes before the last one, [`ArchiveError::Write`] when writing fails.
    pub fn push_family(&mut self, tenant: &TenantId, family: &str, seen: &[SeenMetadata]) -> Result<(), ArchiveError> {
        if seen.is_empty() {
            return Ok(());
        }
        self.advance(tenant, None)?;
        self.metadata.push(family, None, seen);
        Ok(())
    }

    /// Bytes of all files so far, without pages that are still open.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Files {
            samples,
            series,
            histograms,
            exemplars,
            metadata,
        } = &self.files;
        let open = (self.samples.bytes() + self.series.bytes()) as u64;
        let of_chunks = samples.bytes() + series.bytes() + open;
        of_chunks + histograms.bytes() + exemplars.bytes() + metadata.bytes()
    }

    /// Says in the footers that the part is one of several into which a merge was split by series; `merge` is the same in all of them.
    /// Nothing for a flush.
    pub fn set_merge(&mut self, merge: &str) {
        if let PartOrigin::Compacted(of) = &mut self.info.origin {
            of.merge = Some(merge.to_owned());
        }
    }

    /// Number of series pushed so far.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.summary.series
    }

    /// Rows of metadata that are held in memory until the tenant ends.
    #[must_use]
    pub fn held_metadata(&self) -> usize {
        self.metadata.len()
    }

    /// Number of float samples pushed so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// Writes the footers and gives the files back, flushed but not synced.
    ///
    /// # Errors
    /// [`ArchiveError::Write`] when writing fails.
    pub fn finish(mut self) -> Result<(PartSummary, Vec<(FileKind, W)>), ArchiveError> {
        self.end_tenant()?;
        self.end_samples_group()?;
        self.end_series_group()?;
        let mut summary = self.summary;
        for tenant in summary.tenants.values() {
            summary.min_time = summary.min_time.min(tenant.min_time);
            summary.max_time = summary.max_time.max(tenant.max_time);
        }
        let footer = |kind| Footer::new(&self.info, kind, &summary).to_json();
        let Files {
            samples,
            series,
            histograms,
            exemplars,
            metadata,
        } = self.files;
        let mut closed: Vec<(FileSummary, W)> = Vec::new();
        for file in [samples, series] {
            closed.extend(file.close(footer)?);
        }
        for file in [histograms, exemplars, metadata] {
            closed.extend(file.close(footer)?);
        }
        let mut files = Vec::new();
        for (file, output) in closed {
            files.push((file.kind, output));
            summary.files.push(file);
        }
        Ok((summary, files))
    }

    /// From level 1 a series is stored with the digests of its rows, which must lie in the part's day.
    fn digest(&mut self, labels: &Labels, rows: &Rows<'_>) -> Result<(), ArchiveError> {
        let PartOrigin::Compacted(Compaction { day, .. }) = self.info.origin else {
            return Ok(());
        };
        self.digests.clear();
        self.digests.add_samples(rows.samples);
        self.digests.add_histograms(rows.histograms);
        self.digests.add_exemplars(rows.exemplars);
        for (sums, bytes) in self.digests.by_kind().into_iter().zip(&mut self.digest_bytes) {
            bytes.clear();
            if !sums.put(day, bytes) {
                let reason = format!("series {labels} has rows outside of day {day}");
                return Err(ArchiveError::Invalid(reason));
            }
        }
        Ok(())
    }

    /// Counts a series; where its rows will lie.
    fn count(&mut self, rows: &Rows<'_>, times: Option<TimeSpan>, of_exemplars: Option<TimeSpan>) -> RowsByKind {
        let all = &mut self.summary;
        let of_tenant = &mut self.last.as_mut().expect("a tenant is at work").summary;
        if let Some(times) = times {
            of_tenant.min_time = of_tenant.min_time.min(times.min_time);
            of_tenant.max_time = of_tenant.max_time.max(times.max_time);
        }
        of_tenant.exemplar_times = TimeSpan::join(of_tenant.exemplar_times, of_exemplars);
        of_tenant.series += 1;
        all.series += 1;
        let add = |all: &mut u64, of_tenant: &mut u64, count: usize| {
            let start = *all;
            *all += count as u64;
            *of_tenant += count as u64;
            start..*all
        };
        RowsByKind {
            samples: add(&mut all.rows, &mut of_tenant.samples, rows.samples.len()),
            histograms: add(&mut all.histograms, &mut of_tenant.histograms, rows.histograms.len()),
            exemplars: add(&mut all.exemplars, &mut of_tenant.exemplars, rows.exemplars.len()),
        }
    }

    fn push_samples(&mut self, tenant: &TenantId, id: i64, run: RunSlice<'_>) -> Result<(), ArchiveError> {
        self.scaling.look(run.values);
        let mut from = 0;
        while from < run.len() {
            let rows = self.samples.fitting(run, from);
            if self.samples.rows() > 0 && self.samples.rows() + rows.len() > self.settings.sample_group_rows {
                self.end_samples_group()?;
                continue;
            }
            from = rows.end;
            let pushed = self
                .samples
                .push(tenant.as_str().as_bytes(), self.part, id, &self.scaling, run, rows);
            if pushed.map_err(write_error)? && self.samples.bytes() > self.settings.group_bytes {
                self.end_samples_group()?;
            }
        }
        Ok(())
    }

    fn push_histograms(&mut self, id: i64, run: &HistogramRun) -> Result<(), ArchiveError> {
        if self.histograms.len() + run.len() > BATCH_ROWS {
            self.write_histograms()?;
        }
        for row in run.iter() {
            self.histograms.push(id, &row);
            if self.histograms.len() >= BATCH_ROWS || self.histograms.bytes() >= BATCH_BYTES {
                self.write_histograms()?;
            }
        }
        Ok(())
    }

    fn push_exemplars(&mut self, id: i64, run: &ExemplarRun) -> Result<(), ArchiveError> {
        if self.exemplars.len() + run.len() > BATCH_ROWS {
            self.write_exemplars()?;
        }
        for exemplar in run.as_slice() {
            self.exemplars.push(id, exemplar);
            if self.exemplars.len() >= BATCH_ROWS || self.exemplars.bytes() >= BATCH_BYTES {
                self.write_exemplars()?;
            }
        }
        Ok(())
    }

    /// Checks the order; batches of some kinds hold one tenant, so a new one ends them.
    fn advance(&mut self, tenant: &TenantId, labels: Option<&Labels>) -> Result<(), ArchiveError> {
        if let PartOrigin::Compacted(of) = &self.info.origin
            && of.tenant != *tenant
        {
            let reason = format!("tenant `{tenant}` has rows for a part of `{}`", of.tenant);
            return Err(ArchiveError::Invalid(reason));
        }
        match &mut self.last {
            Some(last) if last.tenant == *tenant => {
                let Some(labels) = labels else {
                    return Ok(());
                };
                if let Some(last_labels) = last.labels.as_ref().filter(|last| **last >= *labels) {
                    return Err(ArchiveError::Invalid(format!(
                        "series {labels} comes after {last_labels}"
                    )));
                }
                last.labels = Some(labels.clone());
                return Ok(());
            }
            Some(last) if last.tenant > *tenant => {
                return Err(ArchiveError::Invalid(format!(
                    "tenant `{tenant}` comes after `{}`",
                    last.tenant
                )));
            }
            Some(_) => self.end_tenant()?,
            None => {}
        }
        self.last = Some(OpenTenant {
            tenant: tenant.clone(),
            labels: labels.cloned(),
            summary: TenantSummary::default(),
        });
        Ok(())
    }

    /// Writes what is left of the tenant at work, of the kinds that have batches.
    fn end_tenant(&mut self) -> Result<(), ArchiveError> {
        self.write_histograms()?;
        self.write_exemplars()?;
        self.write_metadata()?;
        if let Some(last) = self.last.take() {
            self.summary
                .tenants
                .insert(last.tenant.as_str().to_owned(), last.summary);
        }
        Ok(())
    }

    fn end_samples_group(&mut self) -> Result<(), ArchiveError> {
        if self.samples.rows() == 0 {
            return Ok(());
        }
        let chunks = self.samples.take_group();
        self.files.samples.write(&mut *self.open, &self.settings, chunks)
    }

    fn end_series_group(&mut self) -> Result<(), ArchiveError> {
        if self.series.rows() == 0 {
            return Ok(());
        }
        let chunks = self.series.take_group();
        self.files.series.write(&mut *self.open, &self.settings, chunks)
    }

    fn write_histograms(&mut self) -> Result<(), ArchiveError> {
        let (Some(OpenTenant { tenant, .. }), true) = (&self.last, self.histograms.len() > 0) else {
            return Ok(());
        };
        let tenant = self.info.level().eq(&0).then_some(tenant.as_str());
        let batch = self.histograms.take_batch(tenant, self.part);
        self.files.histograms.write(&mut *self.open, &self.settings, batch)
    }

    fn write_exemplars(&mut self) -> Result<(), ArchiveError> {
        let (Some(OpenTenant { tenant, .. }), true) = (&self.last, self.exemplars.len() > 0) else {
            return Ok(());
        };
        let tenant = self.info.level().eq(&0).then_some(tenant.as_str());
        let batch = self.exemplars.take_batch(tenant, self.part);
        self.files.exemplars.write(&mut *self.open, &self.settings, batch)
    }

    fn write_metadata(&mut self) -> Result<(), ArchiveError> {
        let Some(OpenTenant { tenant, summary, .. }) = &mut self.last else {
            return Ok(());
        };
        let mut metadata = std::mem::take(&mut self.metadata);
        let count = metadata.settle();
        let Some(times) = metadata.time_span() else {
            return Ok(());
        };
        let tenant = self.info.level().eq(&0).then_some(tenant.as_str());
        for start in (0..count).step_by(BATCH_ROWS) {
            let batch = metadata.batch(start..count.min(start + BATCH_ROWS), tenant, self.part);
            self.files.metadata.write(&mut *self.open, &self.settings, batch)?;
        }
        summary.metadata_times = Some(times);
        summary.metadata += count as u64;
        self.summary.metadata += count as u64;
        Ok(())
    }
}

fn require_settled(labels: &Labels, is_settled: bool) -> Result<(), ArchiveError> {
    match is_settled {
        true => Ok(()),
        false => Err(ArchiveError::Invalid(format!(
            "the rows of series {labels} are not settled"
        ))),
    }
}
