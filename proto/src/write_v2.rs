//! Borrowed decoder of remote write 2.0 (`io.prometheus.write.v2.Request`).
//!
//! [`Request::parse`] reads the whole body once and refuses it as a whole; series are then walked without errors of the format and without
//! allocation. References into the symbol table are judged per series, as the specification wants, and so is everything about content.

use crate::error::Malformed;
use crate::shape;
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT, key};
use crate::{Sample, WireError};

const REQUEST_SYMBOLS: u32 = key(4, LENGTH);
const REQUEST_TIMESERIES: u32 = key(5, LENGTH);
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

/// A request whose whole body is known to be well formed. Borrows the decompressed body and owns its symbol table: 16 bytes for each symbol,
/// at most eight times the body.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    body: Cursor<'a>,
    symbols: Vec<&'a [u8]>,
    n_series: usize,
}

impl<'a> Request<'a> {
    /// Reads `body`, a decompressed `io.prometheus.write.v2.Request`, to its end. Symbols may stand anywhere in it.
    ///
    /// # Errors
    /// [`WireError::Malformed`] with the first place that is not protobuf or not this message; [`WireError::FirstSymbol`] when there are
    /// symbols and the first is not the empty string.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let mut request = Self { body: Cursor::new(body), symbols: Vec::new(), n_series: 0 };
        let mut fields = request.body;
        while let Some(key) = fields.key()? {
            match key {
                REQUEST_SYMBOLS => request.symbols.push(fields.bytes()?),
                REQUEST_TIMESERIES => {
                    check_series(fields.message()?)?;
                    request.n_series += 1;
                }
                other => fields.skip_unknown(other, &[4, 5])?,
            }
        }
        match request.symbols.first() {
            Some(first) if !first.is_empty() => Err(WireError::FirstSymbol),
            _ => Ok(request),
        }
    }

    /// The symbol table; the first symbol, if there is any, is empty. Perhaps not UTF-8.
    #[must_use]
    pub fn symbols(&self) -> &[&'a [u8]] {
        &self.symbols
    }

    /// The series entries in the order of the wire; a series may occur many times.
    pub fn series(&self) -> impl Iterator<Item = Series<'_, 'a>> {
        let mut fields = self.body;
        std::iter::from_fn(move || {
            // `parse` has been here: neither of the errors can occur.
            while let Some(key) = fields.key().ok()? {
                match key {
                    REQUEST_TIMESERIES => return Series::scan(&self.symbols, fields.message().ok()?).ok(),
                    REQUEST_SYMBOLS => drop(fields.message().ok()?),
                    other => fields.skip_unknown(other, &[]).ok()?,
                }
            }
            None
        })
    }

    /// Number of series entries.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }
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
    fn scan(symbols: &'r [&'a [u8]], entry: Cursor<'a>) -> Result<Self, Malformed> {
        let (mut n_refs_fields, mut n_samples) = (0, 0);
        let (mut refs, mut samples) = ((0, 0), (0, 0));
        let mut series = Self {
            symbols,
            refs: entry,
            packed: Some(&[]),
            samples: entry,
            n_samples: 0,
            n_histograms: 0,
            n_exemplars: 0,
            has_metadata: false,
        };
        let mut fields = entry;
        loop {
            let before = fields.offset();
            let Some(key) = fields.key()? else { break };
            match key {
                SERIES_REFS_PACKED | SERIES_REFS => {
                    series.packed = None;
                    if key == SERIES_REFS {
                        fields.varint()?;
                    } else {
                        let packed = fields.bytes()?;
                        if n_refs_fields == 0 {
                            series.packed = Some(packed);
                        }
                    }
                    if n_refs_fields == 0 {
                        refs.0 = before;
                    }
                    refs.1 = fields.offset();
                    n_refs_fields += 1;
                }
                SERIES_SAMPLES => {
                    fields.message()?;
                    if n_samples == 0 {
                        samples.0 = before;
                    }
                    samples.1 = fields.offset();
                    n_samples += 1;
                }
                SERIES_HISTOGRAMS => {
                    fields.message()?;
                    series.n_histograms += 1;
                }
                SERIES_EXEMPLARS => {
                    fields.message()?;
                    series.n_exemplars += 1;
                }
                SERIES_METADATA => {
                    fields.message()?;
                    series.has_metadata = true;
                }
                other => fields.skip_unknown(other, &[])?,
            }
        }
        series.refs = entry.slice(refs.0, refs.1);
        series.samples = entry.slice(samples.0, samples.1);
        series.n_samples = n_samples;
        Ok(series)
    }

    /// The labels in the order of the wire, name and value: unsorted, perhaps empty, perhaps repeated, perhaps not UTF-8. Ends after the first error.
    pub fn labels(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), SymbolError>> + use<'r, 'a> {
        let symbols = self.symbols;
        let mut refs = self.refs();
        let mut failed = false;
        let symbol = move |reference: u32| {
            let out_of_range = SymbolError::OutOfRange { reference, symbols: symbols.len() };
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
    pub fn refs(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut fields = self.refs;
        let mut packed = fields.slice(0, 0);
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
    pub fn label_refs(&self) -> Option<&'a [u8]> {
        self.packed
    }

    /// The float samples in the order of the wire.
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<'a> {
        let mut fields = self.samples;
        std::iter::from_fn(move || {
            while let Some(key) = fields.key().ok()? {
                match key {
                    SERIES_SAMPLES => return read_sample(fields.message().ok()?).ok(),
                    other => fields.skip_unknown(other, &[]).ok()?,
                }
            }
            None
        })
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

#[inline]
fn check_series(mut fields: Cursor<'_>) -> Result<(), Malformed> {
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
