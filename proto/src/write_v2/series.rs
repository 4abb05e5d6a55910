//! One series entry of a remote write 2.0 request.
//!
//! Its labels are references into the symbol table of the request. A bad reference must never cost more than its own series.

use crate::error::Malformed;
use crate::fields::{Extent, repeated};
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT, key};
use crate::{Sample, shape};

const SERIES_REFS: u32 = key(1, VARINT);
const SERIES_REFS_PACKED: u32 = key(1, LENGTH);
const SERIES_SAMPLES: u32 = key(2, LENGTH);
const SERIES_HISTOGRAMS: u32 = key(3, LENGTH);
const SERIES_EXEMPLARS: u32 = key(4, LENGTH);
const SERIES_METADATA: u32 = key(5, LENGTH);
const SAMPLE_VALUE: u32 = key(1, FIXED64);
const SAMPLE_TIMESTAMP: u32 = key(2, VARINT);
const SAMPLE_START_TIMESTAMP: u32 = key(3, VARINT);

/// Why the labels of one series cannot be looked up. The rest of its request is not touched by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// A name without a value.
    #[error("the number of label references is odd")]
    OddCount,
    /// A reference past the end of the symbol table.
    #[error("label reference {reference} is out of range, the request has {symbols} symbols")]
    OutOfRange {
        /// The reference.
        reference: u32,
        /// Number of symbols in the table.
        symbols: usize,
    },
}

/// One series entry of a request.
#[derive(Debug, Clone)]
pub struct Series<'r, 'a> {
    symbols: &'r [&'a [u8]],
    refs: Cursor<'a>,
    /// The one packed field that holds all references, where it is one.
    packed: Option<&'a [u8]>,
    samples: Cursor<'a>,
    n_samples: usize,
    n_histograms: usize,
    n_exemplars: usize,
    has_metadata: bool,
}

impl<'r, 'a> Series<'r, 'a> {
    /// Finds where references and samples are, and looks into neither.
    #[inline]
    pub(super) fn scan(symbols: &'r [&'a [u8]], entry: Cursor<'a>) -> Result<Self, Malformed> {
        let (mut refs, mut samples) = (Extent::default(), Extent::default());
        let mut packed = Some(&[][..]);
        let (mut n_histograms, mut n_exemplars, mut has_metadata) = (0, 0, false);
        let mut fields = entry;
        loop {
            let from = fields.offset();
            let Some(key) = fields.key()? else { break };
            match key {
                SERIES_REFS_PACKED => {
                    let content = fields.bytes()?;
                    packed = (refs.fields == 0).then_some(content);
                    refs.add(1, from, fields.offset());
                }
                SERIES_REFS => {
                    fields.varint()?;
                    packed = None;
                    refs.add(1, from, fields.offset());
                }
                SERIES_SAMPLES => {
                    fields.message()?;
                    samples.add(1, from, fields.offset());
                }
                SERIES_HISTOGRAMS => {
                    fields.message()?;
                    n_histograms += 1;
                }
                SERIES_EXEMPLARS => {
                    fields.message()?;
                    n_exemplars += 1;
                }
                SERIES_METADATA => {
                    fields.message()?;
                    has_metadata = true;
                }
                other => fields.skip_unknown(other, &[])?,
            }
        }
        Ok(Self {
            symbols,
            refs: refs.of(entry),
            packed,
            samples: samples.of(entry),
            n_samples: samples.fields,
            n_histograms,
            n_exemplars,
            has_metadata,
        })
    }

    /// The labels in the order of the wire, name and value: unsorted, perhaps empty, perhaps repeated, perhaps not UTF-8. Ends after the first error.
    #[inline]
    pub fn labels(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), SymbolError>> + use<'r, 'a> {
        let symbols = self.symbols;
        let mut refs = self.refs();
        let mut failed = false;
        let symbol = move |reference: u32| {
            let out_of_range = SymbolError::OutOfRange {
                reference,
                symbols: symbols.len(),
            };
            symbols.get(reference as usize).copied().ok_or(out_of_range)
        };
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let name = refs.next()?;
            let pair = match refs.next() {
                Some(value) => symbol(name).and_then(|name| Ok((name, symbol(value)?))),
                None => Err(SymbolError::OddCount),
            };
            failed = pair.is_err();
            Some(pair)
        })
    }

    /// The references to label names and values, alternating, unchecked.
    #[inline]
    pub fn refs(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut fields = self.refs;
        let mut packed = Cursor::new(&[]);
        std::iter::from_fn(move || {
            loop {
                // Longer varints are cut to 32 bits, as every protobuf library does.
                if !packed.is_at_end() {
                    return packed.varint().ok().map(|reference| reference as u32);
                }
                match fields.key().ok()?? {
                    SERIES_REFS_PACKED => packed = fields.message().ok()?,
                    SERIES_REFS => return fields.varint().ok().map(|reference| reference as u32),
                    other => fields.skip_unknown(other, &[]).ok()?,
                }
            }
        })
    }

    /// The packed references as they are on the wire, empty when there are none. Within one request, equal bytes are equal labels. `None` when
    /// they are not in one packed field, as no known sender writes them.
    #[must_use]
    #[inline]
    pub fn label_refs(&self) -> Option<&'a [u8]> {
        self.packed
    }

    /// The float samples in the order of the wire.
    #[inline]
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<'r, 'a> {
        repeated(self.samples, SERIES_SAMPLES, read_sample)
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
fn read_sample(mut fields: Cursor<'_>) -> Result<Sample, Malformed> {
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
