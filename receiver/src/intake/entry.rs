//! One series entry of either protocol, as the walk of [`super`] wants it: the protocols differ in how labels and texts are found,
//! and in nothing else.

use emberkeep_model::LabelsBuilder;
use emberkeep_proto::histogram::Histogram as WireHistogram;
use emberkeep_proto::{Sample as WireSample, write_v1, write_v2};

use crate::batch::Counts;

/// An exemplar of the wire, but for its labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct WireExemplar {
    pub(super) timestamp: i64,
    pub(super) value: f64,
}

/// Metadata of the wire; texts are perhaps not UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct WireMetadata<'a> {
    pub(super) metric_type: i32,
    pub(super) unit: &'a [u8],
    pub(super) help: &'a [u8],
}

/// Number and greatest lengths of the labels of a series as sent, empty ones included.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LabelSizes {
    pub(super) labels: usize,
    pub(super) name_bytes: usize,
    pub(super) value_bytes: usize,
}

impl LabelSizes {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.labels += 1;
        self.name_bytes = self.name_bytes.max(name.len());
        self.value_bytes = self.value_bytes.max(value.len());
    }
}

/// A series entry. Errors are texts for the sender.
pub(super) trait Entry<'a> {
    /// What it carries.
    fn counts(&self) -> Counts;
    /// Whether an entry without any item is nothing to complain of.
    fn may_be_empty(&self) -> bool;
    fn labels(&self, into: &mut LabelsBuilder) -> Result<LabelSizes, String>;
    fn samples(&self) -> impl Iterator<Item = WireSample>;
    fn histograms(&self) -> impl Iterator<Item = WireHistogram<'a>>;
    /// Each exemplar; its labels go into the builder first.
    fn exemplars(&self, into: &mut LabelsBuilder, visit: impl FnMut(WireExemplar, Result<&mut LabelsBuilder, String>));
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

    fn labels(&self, into: &mut LabelsBuilder) -> Result<LabelSizes, String> {
        let mut sizes = LabelSizes::default();
        for (name, value) in write_v1::Series::labels(self) {
            sizes.add(name, value);
            into.push(name, value);
        }
        Ok(sizes)
    }

    fn samples(&self) -> impl Iterator<Item = WireSample> {
        write_v1::Series::samples(self)
    }

    fn histograms(&self) -> impl Iterator<Item = WireHistogram<'a>> {
        write_v1::Series::histograms(self)
    }

    fn exemplars(
        &self,
        into: &mut LabelsBuilder,
        mut visit: impl FnMut(WireExemplar, Result<&mut LabelsBuilder, String>),
    ) {
        for exemplar in write_v1::Series::exemplars(self) {
            into.clear();
            for (name, value) in exemplar.labels() {
                into.push(name, value);
            }
            let wire = WireExemplar {
                timestamp: exemplar.timestamp,
                value: exemplar.value,
            };
            visit(wire, Ok(&mut *into));
        }
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

    fn labels(&self, into: &mut LabelsBuilder) -> Result<LabelSizes, String> {
        let mut sizes = LabelSizes::default();
        for label in write_v2::Series::labels(self) {
            let (name, value) = label.map_err(|error| error.to_string())?;
            sizes.add(name, value);
            into.push(name, value);
        }
        Ok(sizes)
    }

    fn samples(&self) -> impl Iterator<Item = WireSample> {
        write_v2::Series::samples(self)
    }

    fn histograms(&self) -> impl Iterator<Item = WireHistogram<'a>> {
        write_v2::Series::histograms(self)
    }

    fn exemplars(
        &self,
        into: &mut LabelsBuilder,
        mut visit: impl FnMut(WireExemplar, Result<&mut LabelsBuilder, String>),
    ) {
        for exemplar in write_v2::Series::exemplars(self) {
            into.clear();
            let resolved = exemplar.labels().try_for_each(|label| {
                let (name, value) = label.map_err(|error| error.to_string())?;
                into.push(name, value);
                Ok(())
            });
            let wire = WireExemplar {
                timestamp: exemplar.timestamp,
                value: exemplar.value,
            };
            visit(wire, resolved.map(|()| &mut *into));
        }
    }

    fn metadata(&self) -> Option<Result<WireMetadata<'a>, String>> {
        let metadata = write_v2::Series::metadata(self)?;
        let texts = || Ok((metadata.unit?, metadata.help?));
        let texts: Result<_, write_v2::SymbolError> = texts();
        Some(
            texts
                .map_err(|error| error.to_string())
                .map(|(unit, help)| WireMetadata {
                    metric_type: metadata.metric_type,
                    unit,
                    help,
                }),
        )
    }
}
