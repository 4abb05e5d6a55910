//! Writing a level-0 part: series by series in row order, in one pass, with memory bounded by a row group of each file and the metadata of
//! one tenant.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Write;

use emberkeep_model::{
    ExemplarRun, HistogramRun, Labels, Run, SeenMetadata, SeriesRuns, TenantId, fingerprint, series_id,
};

use super::exemplar_columns::ExemplarColumns;
use super::file_writer::{FileWriter, Open};
use super::footer::Footer;
use super::histogram_columns::HistogramColumns;
use super::metadata_rows::MetadataRows;
use super::sample_columns::SampleColumns;
use super::series_columns::{RowsByKind, SeriesColumns};
use super::{PartInfo, PartSettings, PartSummary, TimeSpan, decimal, part_number};
use crate::{ArchiveError, FileKind, FileSummary};

/// Rows of `samples` that go to the encoder at once, and so by how much a page may be larger than asked.
const SAMPLE_BATCH_ROWS: usize = 4096;

/// Rows of `series`, `histograms`, `exemplars` and `metadata` that go to the encoder at once.
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
    series: SeriesColumns,
    histograms: HistogramColumns,
    exemplars: ExemplarColumns,
    metadata: MetadataRows,
    /// The tenant at work, and its last series; rows must come in order.
    last: Option<(TenantId, Option<Labels>)>,
    /// Ids given in this part, so that no two series share one.
    ids: HashSet<i64>,
    id_of: fn(&TenantId, &Labels) -> i64,
    summary: PartSummary,
}

struct Files<W: Write + Send> {
    samples: FileWriter<W>,
    series: FileWriter<W>,
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
        if settings.sample_page_rows < SAMPLE_BATCH_ROWS || least < BATCH_ROWS {
            let reason = format!("pages need at least {SAMPLE_BATCH_ROWS} rows of samples and {BATCH_ROWS} of others");
            return Err(ArchiveError::Invalid(reason));
        }
        let mut writer = Self {
            open: Box::new(open),
            part: part_number(info.ulid),
            info,
            settings,
            files: Files {
                samples: FileWriter::new(FileKind::Samples),
                series: FileWriter::new(FileKind::Series),
                histograms: FileWriter::new(FileKind::Histograms),
                exemplars: FileWriter::new(FileKind::Exemplars),
                metadata: FileWriter::new(FileKind::Metadata),
            },
            samples: SampleColumns::default(),
            series: SeriesColumns::default(),
            histograms: HistogramColumns::default(),
            exemplars: ExemplarColumns::default(),
            metadata: MetadataRows::default(),
            last: None,
            ids: HashSet::new(),
            id_of: |tenant, labels| series_id(fingerprint(tenant, labels)),
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
        self.id_of = id_of;
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
        let of_samples = TimeSpan::of_samples(runs);
        let of_exemplars = TimeSpan::of_exemplars(&runs.exemplars);
        let Some(times) = of_samples.or(of_exemplars).or_else(|| TimeSpan::of_seen(metadata)) else {
            return Err(ArchiveError::Invalid(format!("series {labels} has nothing")));
        };
        if !runs.is_settled() {
            return Err(ArchiveError::Invalid(format!(
                "the rows of series {labels} are not settled"
            )));
        }
        self.advance(tenant, Some(labels))?;

        let mut id = (self.id_of)(tenant, labels);
        while !self.ids.insert(id) {
            id = id.wrapping_add(1) & i64::MAX;
        }
        let row = self.summary.series;
        let rows = self.count(tenant, runs);
        self.series.push(id, labels, times, &rows);
        if self.series.len() >= BATCH_ROWS {
            self.write_series()?;
        }
        self.push_samples(id, &runs.samples)?;
        self.push_histograms(id, &runs.histograms)?;
        self.push_exemplars(id, &runs.exemplars)?;
        self.metadata.push(labels.metric_name(), Some((row, id)), metadata);
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
        let mut summary = self.summary;
        for tenant in summary.tenants.values() {
            summary.min_time = summary.min_time.min(tenant.min_time);
            summary.max_time = summary.max_time.max(tenant.max_time);
        }
        let footer = |kind| Footer::new(&self.info, kind, summary.min_time, summary.max_time).to_json();
        let Files {
            samples,
            series,
            histograms,
            exemplars,
            metadata,
        } = self.files;
        let mut closed: Vec<(FileSummary, W)> = Vec::new();
        for file in [samples, series, histograms, exemplars, metadata] {
            closed.extend(file.close(footer)?);
        }
        let mut files = Vec::new();
        for (file, output) in closed {
            files.push((file.kind, output));
            summary.files.push(file);
        }
        Ok((summary, files))
    }

    /// Counts a series; where its rows will lie.
    fn count(&mut self, tenant: &TenantId, runs: &SeriesRuns) -> RowsByKind {
        let (all, of_tenant) = (&mut self.summary, tenant.as_str().to_owned());
        let of_tenant = all.tenants.entry(of_tenant).or_default();
        if let Some(times) = TimeSpan::of_samples(runs) {
            of_tenant.min_time = of_tenant.min_time.min(times.min_time);
            of_tenant.max_time = of_tenant.max_time.max(times.max_time);
        }
        let of_exemplars = TimeSpan::of_exemplars(&runs.exemplars);
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
            samples: add(&mut all.rows, &mut of_tenant.samples, runs.samples.len()),
            histograms: add(&mut all.histograms, &mut of_tenant.histograms, runs.histograms.len()),
            exemplars: add(&mut all.exemplars, &mut of_tenant.exemplars, runs.exemplars.len()),
        }
    }

    /// A batch never ends inside a series that fits into one, so that pages end with series.
    fn push_samples(&mut self, id: i64, run: &Run) -> Result<(), ArchiveError> {
        let scale = decimal::scale_of(&run.values);
        if self.samples.len() + run.len() > SAMPLE_BATCH_ROWS {
            self.write_samples()?;
        }
        for start in (0..run.len()).step_by(SAMPLE_BATCH_ROWS) {
            let end = run.len().min(start + SAMPLE_BATCH_ROWS);
            self.samples.push(id, scale, run, start..end);
            if self.samples.len() >= SAMPLE_BATCH_ROWS {
                self.write_samples()?;
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

    /// Checks the order; batches hold one tenant, so a new one ends them.
    fn advance(&mut self, tenant: &TenantId, labels: Option<&Labels>) -> Result<(), ArchiveError> {
        match &mut self.last {
            Some((last_tenant, last_labels)) if last_tenant == tenant => {
                let Some(labels) = labels else {
                    return Ok(());
                };
                if let Some(last_labels) = last_labels.as_ref().filter(|last| **last >= *labels) {
                    return Err(ArchiveError::Invalid(format!(
                        "series {labels} comes after {last_labels}"
                    )));
                }
                *last_labels = Some(labels.clone());
                return Ok(());
            }
            Some((last_tenant, _)) if *last_tenant > *tenant => {
                return Err(ArchiveError::Invalid(format!(
                    "tenant `{tenant}` comes after `{last_tenant}`"
                )));
            }
            Some(_) => self.end_tenant()?,
            None => {}
        }
        self.last = Some((tenant.clone(), labels.cloned()));
        Ok(())
    }

    /// Writes what is left of the tenant at work.
    fn end_tenant(&mut self) -> Result<(), ArchiveError> {
        self.write_samples()?;
        self.write_series()?;
        self.write_histograms()?;
        self.write_exemplars()?;
        self.write_metadata()
    }

    fn write_samples(&mut self) -> Result<(), ArchiveError> {
        let (Some((tenant, _)), true) = (&self.last, self.samples.len() > 0) else {
            return Ok(());
        };
        let batch = self.samples.take_batch(tenant.as_str(), self.part);
        self.files.samples.write(&mut *self.open, &self.settings, batch)
    }

    fn write_series(&mut self) -> Result<(), ArchiveError> {
        let (Some((tenant, _)), true) = (&self.last, self.series.len() > 0) else {
            return Ok(());
        };
        let batch = self.series.take_batch(tenant.as_str(), self.part);
        self.files.series.write(&mut *self.open, &self.settings, batch)
    }

    fn write_histograms(&mut self) -> Result<(), ArchiveError> {
        let (Some((tenant, _)), true) = (&self.last, self.histograms.len() > 0) else {
            return Ok(());
        };
        let batch = self.histograms.take_batch(tenant.as_str(), self.part);
        self.files.histograms.write(&mut *self.open, &self.settings, batch)
    }

    fn write_exemplars(&mut self) -> Result<(), ArchiveError> {
        let (Some((tenant, _)), true) = (&self.last, self.exemplars.len() > 0) else {
            return Ok(());
        };
        let batch = self.exemplars.take_batch(tenant.as_str(), self.part);
        self.files.exemplars.write(&mut *self.open, &self.settings, batch)
    }

    fn write_metadata(&mut self) -> Result<(), ArchiveError> {
        let Some((tenant, _)) = &self.last else {
            return Ok(());
        };
        let mut metadata = std::mem::take(&mut self.metadata);
        let count = metadata.settle();
        let Some(times) = metadata.time_span() else {
            return Ok(());
        };
        for start in (0..count).step_by(BATCH_ROWS) {
            let batch = metadata.batch(start..count.min(start + BATCH_ROWS), tenant.as_str(), self.part);
            self.files.metadata.write(&mut *self.open, &self.settings, batch)?;
        }
        let of_tenant = self.summary.tenants.entry(tenant.as_str().to_owned()).or_default();
        of_tenant.metadata_times = Some(times);
        of_tenant.metadata += count as u64;
        self.summary.metadata += count as u64;
        Ok(())
    }
}
