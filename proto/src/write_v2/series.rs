//! One series entry of a remote write 2.0 request.
//!
//! Its labels are references into the symbol table of the request. A bad reference must never cost more than its own series.

use super::symbols::{SymbolError, Symbols, refs};
use super::{Exemplar, Metadata};
use crate::error::Malformed;
use crate::fields::{Extent, repeated};
use crate::histogram::{Histogram, StartTimestamps};
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT, key};
use crate::{Sample, shape};

const SERIES_REFS: u32 = key(1, VARINT);
pub(super) const SERIES_REFS_PACKED: u32 = key(1, LENGTH);
pub(super) const SERIES_SAMPLES: u32 = key(2, LENGTH);
const SERIES_HISTOGRAMS: u32 = key(3, LENGTH);
const SERIES_EXEMPLARS: u32 = key(4, LENGTH);
pub(super) const SERIES_METADATA: u32 = key(5, LENGTH);
pub(super) const SAMPLE_VALUE: u32 = key(1, FIXED64);
pub(super) const SAMPLE_TIMESTAMP: u32 = key(2, VARINT);
pub(super) const SAMPLE_START_TIMESTAMP: u32 = key(3, VARINT);

/// One series entry of a request.
#[derive(Debug, Clone)]
pub struct Series<'r, 'a> {
    symbols: &'r Symbols<'a>,
    refs: Cursor<'a>,
    samples: Cursor<'a>,
    /// Where histograms, exemplars and metadata lie: most entries have one of them at most, so they share one place.
    others: Cursor<'a>,
    n_samples: usize,
    n_histograms: usize,
    n_exemplars: usize,
    has_metadata: bool,
}

impl<'r, 'a> Series<'r, 'a> {
    /// Finds where references, samples and the rest are, and looks into none of them.
    #[inline]
    pub(super) fn scan(symbols: &'r Symbols<'a>, entry: Cursor<'a>) -> Result<Self, Malformed> {
        let (mut refs, mut samples, mut others) = (Extent::default(), Extent::default(), Extent::default());
        let (mut n_histograms, mut n_exemplars, mut has_metadata) = (0, 0, false);
        let mut fields = entry;
        loop {
            let from = fields.offset();
            let Some(key) = fields.key()? else { break };
            match key {
                SERIES_REFS_PACKED => {
                    fields.message()?;
                    refs.add(1, from, fields.offset());
                }
                SERIES_REFS => {
                    fields.varint()?;
                    refs.add(1, from, fields.offset());
                }
                SERIES_SAMPLES => {
                    fields.message()?;
                    samples.add(1, from, fields.offset());
                }
                SERIES_HISTOGRAMS => {
                    fields.message()?;
                    others.add(1, from, fields.offset());
                    n_histograms += 1;
                }
                SERIES_EXEMPLARS => {
                    fields.message()?;
                    others.add(1, from, fields.offset());
                    n_exemplars += 1;
                }
                SERIES_METADATA => {
                    fields.message()?;
                    others.add(1, from, fields.offset());
                    has_metadata = true;
                }
                other => fields.skip_unknown(other, &[])?,
            }
        }
        Ok(Self {
            symbols,
            refs: refs.of(entry),
            samples: samples.of(entry),
            others: others.of(entry),
            n_samples: samples.fields,
            n_histograms,
            n_exemplars,
            has_metadata,
        })
    }

    /// The labels in the order of the wire, name and value: unsorted, perhaps empty, perhaps repeated, perhaps not UTF-8. Ends after the first error.
    #[inline]
    pub fn labels(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), SymbolError>> + use<'r, 'a> {
        self.symbols.labels(self.refs())
    }

    /// The references to label names and values, alternating, unchecked.
    #[inline]
    pub fn refs(&self) -> impl Iterator<Item = u32> + use<'a> {
        refs(self.refs)
    }

    /// The float samples in the order of the wire.
    #[inline]
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<'r, 'a> {
        repeated(self.samples, SERIES_SAMPLES, read_sample)
    }

    /// The native histograms in the order of the wire.
    pub fn histograms(&self) -> impl Iterator<Item = Histogram<'a>> + use<'a> {
        repeated(self.others, SERIES_HISTOGRAMS, |message| {
            Histogram::read(message, StartTimestamps::Known)
        })
    }

    /// The exemplars in the order of the wire.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'r, 'a>> + use<'r, 'a> {
        let symbols = self.symbols;
        repeated(self.others, SERIES_EXEMPLARS, move |message| {
            Exemplar::read(symbols, message)
        })
    }

    /// Its metadata, when the entry carries any. Prometheus' senders write an empty one for series that they know nothing about.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata<'a>> {
        if !self.has_metadata {
            return None;
        }
        Metadata::read(self.symbols, repeated(self.others, SERIES_METADATA, Ok))
    }

    /// Number of float samples.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// Number of native histograms.
    #[must_use]
    pub fn n_histograms(&self) -> usize {
        self.n_histograms
    }

    /// Number of exemplars.
    #[must_use]
    pub fn n_exemplars(&self) -> usize {
        self.n_exemplars
    }

    /// Whether the entry carries metadata of its series.
    #[must_use]
    pub fn has_metadata(&self) -> bool {
        self.has_metadata
    }
}

/// Reads an entry to its end, everything in it included.
#[inline]
pub(super) fn check(mut fields: Cursor<'_>) -> Result<(), Malformed> {
    while let Some(key) = fields.key()? {
        match key {
            SERIES_REFS_PACKED => shape::check_packed_varints(fields.message()?)?,
            SERIES_REFS => drop(fields.varint()?),
            SERIES_SAMPLES => drop(read_sample(fields.message()?)?),
            SERIES_HISTOGRAMS => shape::check(fields.message()?, shape::HISTOGRAM_V2)?,
            SERIES_EXEMPLARS => shape::check(fields.message()?, shape::EXEMPLAR_V2)?,
            SERIES_METADATA => shape::check(fields.message()?, shape::METADATA_V2)?,
            other => fields.skip_unknown(other, &[1, 2, 3, 4, 5])?,
        }
    }
    Ok(())
}

#[inline]
pub(super) fn read_sample(mut fields: Cursor<'_>) -> Result<Sample, Malformed> {
    let mut sample = Sample::default();
    while let Some(key) = fields.key()? {
        match key {
            SAMPLE_VALUE => sample.value = f64::from_bits(fields.fixed64()?),
            SAMPLE_TIMESTAMP => sample.timestamp = fields.varint()? as i64,
            SAMPLE_START_TIMESTAMP => sample.start_timestamp = fields.varint()? as i64,
            other => fields.skip_unknown(other, &[1, 2, 3])?,
        }
    }
    Ok(sample)
}
