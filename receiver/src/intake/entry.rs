//! One series entry of either protocol, as the walk of [`super`] wants it: the protocols differ in how labels and texts are found,
//! and in nothing else.

use emberkeep_proto::histogram::Histogram as WireHistogram;
use emberkeep_proto::{Sample as WireSample, write_v1, write_v2};

use crate::batch::Counts;

/// Name and value, perhaps not UTF-8; or why there is none, as a text for the sender.
pub(super) type WireLabel<'a> = Result<(&'a [u8], &'a [u8]), String>;

/// An exemplar of the wire.
#[derive(Debug)]
pub(super) struct WireExemplar<L> {
    pub(super) timestamp: i64,
    pub(super) value: f64,
    pub(super) labels: L,
}

/// Metadata of the wire; texts are perhaps not UTF-8.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WireMetadata<'a> {
    pub(super) metric_type: i32,
    pub(super) unit: &'a [u8],
    pub(super) help: &'a [u8],
}

/// A series entry. Labels are given out one by one: a few bytes of references may stand for very many.
pub(super) trait Entry<'a> {
    /// What it carries.
    fn counts(&self) -> Counts;
    /// Whether an entry without any item is nothing to complain of.
    fn may_be_empty(&self) -> bool;
    fn labels(&self) -> impl Iterator<Item = WireLabel<'a>>;
    fn samples(&self) -> impl Iterator<Item = WireSample>;
    fn histograms(&self) -> impl Iterator<Item = WireHistogram<'a>>;
    fn exemplars(&self) -> impl Iterator<Item = WireExemplar<impl Iterator<Item = WireLabel<'a>>>>;
    fn metadata(&self) -> Option<Result<WireMetadata<'a>, String>>;
}

impl<'a> Entry<'a> for write_v1::Series<'a> {
    fn counts(&self) -> Counts {
        Counts {
            samples: self.n_samples(),
            histograms: self.n_histograms(),
            exemplars: self.n_exemplars(),
            metadata: 0,
        }
    }

    fn may_be_empty(&self) -> bool {
        true
    }

    fn labels(&self) -> impl Iterator<Item = WireLabel<'a>> {
        write_v1::Series::labels(self).map(Ok)
    }

    fn samples(&self) -> impl Iterator<Item = WireSample> {
        write_v1::Series::samples(self)
    }

    fn histograms(&self) -> impl Iterator<Item = WireHistogram<'a>> {
        write_v1::Series::histograms(self)
    }

    fn exemplars(&self) -> impl Iterator<Item = WireExemplar<impl Iterator<Item = WireLabel<'a>>>> {
        write_v1::Series::exemplars(self).map(|exemplar| WireExemplar {
            timestamp: exemplar.timestamp,
            value: exemplar.value,
            labels: exemplar.labels().map(Ok),
        })
    }

    fn metadata(&self) -> Option<Result<WireMetadata<'a>, String>> {
        None
    }
}

impl<'a> Entry<'a> for write_v2::Series<'_, 'a> {
    fn counts(&self) -> Counts {
        Counts {
            samples: self.n_samples(),
            histograms: self.n_histograms(),
            exemplars: self.n_exemplars(),
            metadata: usize::from(self.has_metadata()),
        }
    }

    fn may_be_empty(&self) -> bool {
        false
    }

    fn labels(&self) -> impl Iterator<Item = WireLabel<'a>> {
        write_v2::Series::labels(self).map(|label| label.map_err(|error| error.to_string()))
    }

    fn samples(&self) -> impl Iterator<Item = WireSample> {
        write_v2::Series::samples(self)
    }

    fn histograms(&self) -> impl Iterator<Item = WireHistogram<'a>> {
        write_v2::Series::histograms(self)
    }

    fn exemplars(&self) -> impl Iterator<Item = WireExemplar<impl Iterator<Item = WireLabel<'a>>>> {
        write_v2::Series::exemplars(self).map(|exemplar| WireExemplar {
            timestamp: exemplar.timestamp,
            value: exemplar.value,
            labels: exemplar.labels().map(|label| label.map_err(|error| error.to_string())),
        })
    }

    fn metadata(&self) -> Option<Result<WireMetadata<'a>, String>> {
        write_v2::Series::metadata(self).map(|metadata| texts_of(&metadata))
    }
}

/// Metadata with its texts, or why there are none.
pub(super) fn texts_of<'a>(metadata: &write_v2::Metadata<'a>) -> Result<WireMetadata<'a>, String> {
    let texts = || Ok((metadata.unit?, metadata.help?));
    let texts: Result<_, write_v2::SymbolError> = texts();
    texts
        .map_err(|error| error.to_string())
        .map(|(unit, help)| WireMetadata {
            metric_type: metadata.metric_type,
            unit,
            help,
        })
}
