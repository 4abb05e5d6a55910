//! What one request asks the head to hold, in a few flat columns that borrow the decoded body.
//!
//! Filled by [`crate::intake`], the same way for a live request and for a replayed record. Series that the table knew are positions in it;
//! of others it has the spelling and the labels. It must hold only what the verdict accepted.

use std::ops::Range;

use emberkeep_model::{Exemplar, Histogram, HistogramRun, MetricType};
use emberkeep_proto::write_v2::Symbols;
use emberkeep_proto::{Sample, SampleColumns};

use crate::series_table::Samples;

/// Accepted series of one request, in wire order; the same label set may occur many times.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    /// Of all series; those of one are neighbours. Some may belong to none, because they were refused.
    pub(crate) samples: SampleColumns,
    series: Vec<BatchSeries>,
    unknown: Vec<Unknown<'a>>,
    /// What spellings of version 2.0 refer to.
    pub(crate) symbols: Option<Symbols<'a>>,
    /// Label regions of unknown series, and the texts of metadata.
    bytes: Vec<u8>,
    others: Vec<OtherRanges>,
    histograms: HistogramRun,
    exemplars: Vec<Exemplar>,
    exemplar_bytes: usize,
    metadata: Vec<MetadataRange>,
    families: Vec<(Range<usize>, MetadataRange)>,
    n_samples: usize,
    n_metadata: usize,
}

/// One series entry of which something was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSeries {
    /// Of its spelling; of an unknown spelling of version 2.0 nothing.
    pub(crate) hash: u64,
    pub(crate) identity: Identity,
    samples: (u32, u32),
    /// Number of its ranges of other kinds.
    others: Option<u32>,
    /// Number of its metadata.
    metadata: Option<u32>,
}

/// Which series it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The position in its shard of the table that recognised it.
    Known(u32),
    /// The number of its spelling and labels in the batch.
    Unknown(u32),
}

/// How a series was spelled that no table knew.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spelling<'a> {
    /// The label region of version 1.0.
    Region(&'a [u8]),
    /// The packed references of version 2.0.
    Refs(&'a [u8]),
    /// Anything else: known by its normal region.
    Normal,
}

#[derive(Debug)]
struct Unknown<'a> {
    spelling: Spelling<'a>,
    region: Range<usize>,
}

#[derive(Debug, Clone, Default)]
struct OtherRanges {
    histograms: Range<usize>,
    exemplars: Range<usize>,
}

#[derive(Debug, Clone)]
struct MetadataRange {
    metric_type: MetricType,
    unit: Range<usize>,
    help: Range<usize>,
}

/// Rows of a series entry that are not floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchOthers<'b> {
    pub(crate) histograms: &'b HistogramRun,
    /// Which histograms of the run.
    pub(crate) histogram_range: (usize, usize),
    pub(crate) exemplars: &'b [Exemplar],
}

/// Metadata as it stands in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMetadata<'a> {
    pub(crate) metric_type: MetricType,
    pub(crate) unit: &'a str,
    pub(crate) help: &'a str,
}

impl<'a> Batch<'a> {
    /// Adds a series that the table knows, with samples that stand in [`Batch::samples`].
    #[inline]
    pub(crate) fn push_known(&mut self, hash: u64, position: u32, samples: (u32, u32)) {
        self.n_samples += (samples.1 - samples.0) as usize;
        self.series.push(BatchSeries {
            hash,
            identity: Identity::Known(position),
            samples,
            others: None,
            metadata: None,
        });
    }

    /// Adds a series that the table does not know, by its spelling and the pairs of its canonical labels; its items follow.
    pub(crate) fn push_unknown<'l>(
        &mut self,
        hash: u64,
        spelling: Spelling<'a>,
        encode: impl FnOnce(&mut Vec<u8>) + 'l,
    ) {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        let identity = Identity::Unknown(number(self.unknown.len()));
        self.unknown.push(Unknown {
            spelling,
            region: start..self.bytes.len(),
        });
        let end = number(self.samples.len());
        self.series.push(BatchSeries {
            hash,
            identity,
            samples: (end, end),
            others: None,
            metadata: None,
        });
    }

    /// Gives the series pushed last samples that stand in [`Batch::samples`] already.
    pub(crate) fn keep_samples(&mut self, samples: (u32, u32)) {
        if let Some(series) = self.series.last_mut() {
            series.samples = samples;
            self.n_samples += (samples.1 - samples.0) as usize;
        }
    }

    /// Adds a sample to the series pushed last.
    pub(crate) fn push_sample(&mut self, sample: Sample) {
        if let Some(series) = self.series.last_mut() {
            let at = number(self.samples.len());
            if series.samples.0 == series.samples.1 {
                series.samples.0 = at;
            }
            self.samples.push(sample);
            series.samples.1 = at + 1;
            self.n_samples += 1;
        }
    }

    /// Adds a valid histogram to the series pushed last.
    pub(crate) fn push_histogram(&mut self, timestamp: i64, start_timestamp: i64, histogram: &Histogram) {
        self.histograms.push(timestamp, start_timestamp, histogram);
        let end = self.histograms.len();
        if let Some(others) = self.others_of_last() {
            others.histograms = begin_or(&others.histograms, end - 1)..end;
        }
    }

    /// Adds an exemplar to the series pushed last.
    pub(crate) fn push_exemplar(&mut self, exemplar: Exemplar) {
        self.exemplar_bytes += size_of::<Exemplar>() + exemplar.labels.as_bytes().len();
        self.exemplars.push(exemplar);
        let end = self.exemplars.len();
        if let Some(others) = self.others_of_last() {
            others.exemplars = begin_or(&others.exemplars, end - 1)..end;
        }
    }

    /// Adds metadata that series may have, and returns its number.
    pub(crate) fn push_metadata(&mut self, metadata: BatchMetadata<'_>) -> u32 {
        let metadata = self.push_texts(metadata);
        self.metadata.push(metadata);
        number(self.metadata.len() - 1)
    }

    /// Gives the series pushed last the metadata with this number.
    pub(crate) fn set_metadata(&mut self, metadata: u32) {
        if let Some(series) = self.series.last_mut() {
            series.metadata = Some(metadata);
            self.n_metadata += 1;
        }
    }

    /// Adds the metadata of a metric family.
    pub(crate) fn push_family(&mut self, family: &str, metadata: BatchMetadata<'_>) {
        let family = self.push_bytes(family.as_bytes());
        let metadata = self.push_texts(metadata);
        self.families.push((family, metadata));
    }

    /// Each series entry, those included of which nothing was accepted.
    pub(crate) fn series(&self) -> &[BatchSeries] {
        &self.series
    }

    /// Spelling and normal label region of an unknown series.
    pub(crate) fn unknown(&self, number: u32) -> (Spelling<'a>, &[u8]) {
        let unknown = &self.unknown[number as usize];
        (unknown.spelling, &self.bytes[unknown.region.clone()])
    }

    /// The accepted samples of a series entry.
    #[inline]
    pub(crate) fn samples_of(&self, series: &BatchSeries) -> Samples<'_> {
        let rows = series.samples.0 as usize..series.samples.1 as usize;
        Samples {
            timestamps: &self.samples.timestamps[rows.clone()],
            values: &self.samples.values[rows.clone()],
            start_timestamps: self.samples.start_timestamps.get(rows).unwrap_or(&[]),
        }
    }

    /// What a series entry holds beside floats, if anything.
    pub(crate) fn others_of(&self, series: &BatchSeries) -> Option<BatchOthers<'_>> {
        let ranges = &self.others[series.others? as usize];
        Some(BatchOthers {
            histograms: &self.histograms,
            histogram_range: (ranges.histograms.start, ranges.histograms.end),
            exemplars: &self.exemplars[ranges.exemplars.clone()],
        })
    }

    /// Metadata of series, by number.
    pub(crate) fn metadata(&self) -> impl ExactSizeIterator<Item = BatchMetadata<'_>> {
        self.metadata.iter().map(|metadata| self.texts(metadata))
    }

    /// Metadata of metric families.
    pub(crate) fn families(&self) -> impl Iterator<Item = (&str, BatchMetadata<'_>)> {
        self.families
            .iter()
            .map(|(family, metadata)| (self.text(family), self.texts(metadata)))
    }

    /// Bytes held, those of the body aside.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
            + self.samples.bytes()
            + self.histograms.heap_bytes()
            + self.exemplar_bytes
            + self.series.len() * size_of::<BatchSeries>()
            + self.unknown.len() * size_of::<Unknown<'_>>()
            + self.others.len() * size_of::<OtherRanges>()
            + (self.metadata.len() + self.families.len()) * size_of::<(Range<usize>, MetadataRange)>()
    }

    /// Accepted items by kind.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            samples: self.n_samples,
            histograms: self.histograms.len(),
            exemplars: self.exemplars.len(),
            metadata: self.n_metadata + self.families.len(),
        }
    }

    fn others_of_last(&mut self) -> Option<&mut OtherRanges> {
        let series = self.series.last_mut()?;
        let at = *series.others.get_or_insert_with(|| {
            self.others.push(OtherRanges::default());
            number(self.others.len() - 1)
        });
        self.others.get_mut(at as usize)
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

impl BatchSeries {
    /// Whether nothing of it was accepted.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.0 == self.samples.1 && self.others.is_none() && self.metadata.is_none()
    }

    /// The number of its metadata.
    pub(crate) fn metadata(&self) -> Option<u32> {
        self.metadata
    }
}

impl BatchOthers<'_> {
    /// Which histograms of the run are of this series.
    pub(crate) fn histogram_range(&self) -> Range<usize> {
        self.histogram_range.0..self.histogram_range.1
    }
}

/// A body is far shorter than 4 GiB, and whatever is counted takes bytes.
fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a request has far fewer than 4 G items")
}

/// Where a range begins, or would if it is empty.
fn begin_or(range: &Range<usize>, at: usize) -> usize {
    if range.is_empty() { at } else { range.start }
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
