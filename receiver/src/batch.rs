//! What one request asks the head to hold, in a few flat arenas.
//!
//! Filled by [`crate::intake`] from a decoded body, the same way for a live request and for a replayed record. It must hold only
//! what the verdict accepted.

use std::ops::Range;

use emberkeep_model::{Exemplar, Histogram, HistogramRun, MetricType, Sample};

/// Accepted series of one request, in wire order; the same label set may occur many times.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Canonical labels of series, and the texts of metadata.
    bytes: Vec<u8>,
    samples: Vec<Sample>,
    histograms: HistogramRun,
    exemplars: Vec<Exemplar>,
    exemplar_bytes: usize,
    metadata: Vec<MetadataRange>,
    series: Vec<SeriesRange>,
    families: Vec<(Range<usize>, MetadataRange)>,
}

#[derive(Debug)]
struct SeriesRange {
    labels: Range<usize>,
    samples: Range<usize>,
    histograms: Range<usize>,
    exemplars: Range<usize>,
    metadata: Range<usize>,
}

#[derive(Debug, Clone)]
struct MetadataRange {
    metric_type: MetricType,
    unit: Range<usize>,
    help: Range<usize>,
}

/// Accepted items of one series entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSeries<'a> {
    /// Canonical label bytes.
    pub(crate) labels: &'a [u8],
    pub(crate) samples: &'a [Sample],
    pub(crate) histograms: &'a HistogramRun,
    /// Which histograms of the run.
    histogram_range: (usize, usize),
    pub(crate) exemplars: &'a [Exemplar],
    pub(crate) metadata: Option<BatchMetadata<'a>>,
}

impl BatchSeries<'_> {
    /// Which histograms of the run are of this series.
    pub(crate) fn histogram_range(&self) -> Range<usize> {
        self.histogram_range.0..self.histogram_range.1
    }

    fn is_empty(&self) -> bool {
        self.samples.is_empty()
            && self.histogram_range().is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_none()
    }
}

/// Metadata as it stands in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMetadata<'a> {
    pub(crate) metric_type: MetricType,
    pub(crate) unit: &'a str,
    pub(crate) help: &'a str,
}

impl Batch {
    /// Adds a series by its canonical label bytes; its items follow through the other methods.
    pub(crate) fn push_series(&mut self, canonical: &[u8]) {
        let labels = self.push_bytes(canonical);
        let end = |n: usize| n..n;
        self.series.push(SeriesRange {
            labels,
            samples: end(self.samples.len()),
            histograms: end(self.histograms.len()),
            exemplars: end(self.exemplars.len()),
            metadata: end(self.metadata.len()),
        });
    }

    /// Adds a sample to the series pushed last.
    pub(crate) fn push_sample(&mut self, sample: Sample) {
        if let Some(series) = self.series.last_mut() {
            self.samples.push(sample);
            series.samples.end = self.samples.len();
        }
    }

    /// Adds a valid histogram to the series pushed last.
    pub(crate) fn push_histogram(&mut self, timestamp: i64, start_timestamp: i64, histogram: &Histogram) {
        if let Some(series) = self.series.last_mut() {
            self.histograms.push(timestamp, start_timestamp, histogram);
            series.histograms.end = self.histograms.len();
        }
    }

    /// Adds an exemplar to the series pushed last.
    pub(crate) fn push_exemplar(&mut self, exemplar: Exemplar) {
        if let Some(series) = self.series.last_mut() {
            self.exemplar_bytes += size_of::<Exemplar>() + exemplar.labels.as_bytes().len();
            self.exemplars.push(exemplar);
            series.exemplars.end = self.exemplars.len();
        }
    }

    /// Sets the metadata of the series pushed last.
    pub(crate) fn push_metadata(&mut self, metadata: BatchMetadata<'_>) {
        let metadata = self.push_texts(metadata);
        if let Some(series) = self.series.last_mut() {
            self.metadata.push(metadata);
            series.metadata.end = self.metadata.len();
        }
    }

    /// Adds the metadata of a metric family.
    pub(crate) fn push_family(&mut self, family: &str, metadata: BatchMetadata<'_>) {
        let family = self.push_bytes(family.as_bytes());
        let metadata = self.push_texts(metadata);
        self.families.push((family, metadata));
    }

    /// Each series of which anything was accepted.
    pub(crate) fn series(&self) -> impl Iterator<Item = BatchSeries<'_>> {
        let view = |series: &SeriesRange| BatchSeries {
            labels: &self.bytes[series.labels.clone()],
            samples: &self.samples[series.samples.clone()],
            histograms: &self.histograms,
            histogram_range: (series.histograms.start, series.histograms.end),
            exemplars: &self.exemplars[series.exemplars.clone()],
            metadata: self.metadata[series.metadata.clone()].last().map(|m| self.texts(m)),
        };
        self.series.iter().map(view).filter(|series| !series.is_empty())
    }

    /// Metadata of metric families.
    pub(crate) fn families(&self) -> impl Iterator<Item = (&str, BatchMetadata<'_>)> {
        self.families
            .iter()
            .map(|(family, metadata)| (self.text(family), self.texts(metadata)))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
            + self.samples.len() * size_of::<Sample>()
            + self.histograms.heap_bytes()
            + self.exemplar_bytes
            + self.series.len() * size_of::<SeriesRange>()
            + (self.metadata.len() + self.families.len()) * size_of::<(Range<usize>, MetadataRange)>()
    }

    /// Accepted items by kind.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            samples: self.samples.len(),
            histograms: self.histograms.len(),
            exemplars: self.exemplars.len(),
            metadata: self.metadata.len() + self.families.len(),
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn push_texts(&mut self, metadata: BatchMetadata<'_>) -> MetadataRange {
        MetadataRange {
            metric_type: metadata.metric_type,
            unit: self.push_bytes(metadata.unit.as_bytes()),
            help: self.push_bytes(metadata.help.as_bytes()),
        }
    }

    fn texts(&self, metadata: &MetadataRange) -> BatchMetadata<'_> {
        BatchMetadata {
            metric_type: metadata.metric_type,
            unit: self.text(&metadata.unit),
            help: self.text(&metadata.help),
        }
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).expect("pushed as text")
    }
}

/// Items of a request by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) samples: usize,
    pub(crate) histograms: usize,
    pub(crate) exemplars: usize,
    pub(crate) metadata: usize,
}

impl Counts {
    pub(crate) fn total(self) -> usize {
        self.samples + self.histograms + self.exemplars + self.metadata
    }
}
