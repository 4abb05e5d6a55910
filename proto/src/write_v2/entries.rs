//! The entries of a request one after the other, for a receiver that recognises series by their label references.
//!
//! A *plain* entry is packed references followed by float samples and at most one metadata message, as nearly every entry is. Its samples
//! are read at once; its references are neither checked nor followed here. Symbols may stand anywhere in a request, so they are collected
//! before the first entry is given out.

use super::metadata::MetadataRefs;
use super::series::{
    self, SAMPLE_START_TIMESTAMP, SAMPLE_TIMESTAMP, SAMPLE_VALUE, SERIES_METADATA, SERIES_REFS_PACKED, SERIES_SAMPLES,
};
use super::{REQUEST_SYMBOLS, REQUEST_TIMESERIES, Series, Symbols};
use crate::error::Malformed;
use crate::wire::Cursor;
use crate::{Sample, SampleColumns, WireError};

/// An entry of more samples is read with the care that is due to what may be made up: a sample may take two bytes on the wire and sixteen here.
const PLAIN_SAMPLES_MAX: usize = 1 << 16;

/// One entry of a request.
#[derive(Debug, Clone)]
pub enum Entry<'r, 'a> {
    /// References, float samples and perhaps metadata, nothing else.
    Plain {
        /// The packed references as they are on the wire, not checked.
        refs: &'a [u8],
        /// Metadata of the series, checked.
        metadata: Option<MetadataRefs>,
    },
    /// Any other entry, checked whole.
    Series(Series<'r, 'a>),
}

/// The symbols of a request.
///
/// # Errors
/// [`WireError::Malformed`] when what surrounds them is not protobuf, [`WireError::FirstSymbol`] when the first is not the empty string.
pub fn symbols(body: &[u8]) -> Result<Symbols<'_>, WireError> {
    let mut symbols = Symbols::new(body);
    let mut fields = Cursor::new(body);
    while let Some(key) = fields.key()? {
        match key {
            REQUEST_SYMBOLS => symbols.push(&mut fields)?,
            REQUEST_TIMESERIES => drop(fields.message()?),
            other => fields.skip_unknown(other, &[4, 5])?,
        }
    }
    match symbols.get(0) {
        Some(first) if !first.is_empty() => Err(WireError::FirstSymbol),
        _ => Ok(symbols),
    }
}

/// Walks over a decompressed `io.prometheus.write.v2.Request`.
#[derive(Debug, Clone)]
pub struct Entries<'r, 'a> {
    symbols: &'r Symbols<'a>,
    fields: Cursor<'a>,
}

impl<'r, 'a> Entries<'r, 'a> {
    /// Begins at the first entry of the body that the symbols are of.
    #[must_use]
    pub fn new(body: &'a [u8], symbols: &'r Symbols<'a>) -> Self {
        Self {
            symbols,
            fields: Cursor::new(body),
        }
    }

    /// The next entry, `None` at the end. The samples of a plain entry are put behind those that `samples` has.
    ///
    /// # Errors
    /// [`WireError::Malformed`] with the first place that is not protobuf or not this message; the request is to be refused as a whole.
    #[inline]
    pub fn next_entry(&mut self, samples: &mut SampleColumns) -> Result<Option<Entry<'r, 'a>>, WireError> {
        loop {
            let Some(key) = self.fields.key()? else { return Ok(None) };
            match key {
                REQUEST_TIMESERIES => {
                    let entry = self.fields.message()?;
                    return Ok(Some(match self.plain(entry, samples) {
                        Some((refs, metadata)) => Entry::Plain { refs, metadata },
                        None => self.series(entry)?,
                    }));
                }
                REQUEST_SYMBOLS => drop(self.fields.message()?),
                other => self.fields.skip_unknown(other, &[4, 5])?,
            }
        }
    }

    #[cold]
    fn series(&self, entry: Cursor<'a>) -> Result<Entry<'r, 'a>, Malformed> {
        series::check(entry)?;
        Series::scan(self.symbols, entry).map(Entry::Series)
    }

    /// References and metadata of a plain entry, whose samples are then in `samples`; nothing for any other, whatever is the matter with it.
    #[inline]
    fn plain(&self, entry: Cursor<'a>, samples: &mut SampleColumns) -> Option<(&'a [u8], Option<MetadataRefs>)> {
        let mut fields = entry;
        if !fields.take_key(SERIES_REFS_PACKED) {
            return None;
        }
        let refs = fields.bytes().ok()?;
        let before = samples.len();
        while samples.len() - before <= PLAIN_SAMPLES_MAX && fields.take_key(SERIES_SAMPLES) {
            let sample = fields.message().ok().and_then(sample);
            let Some(sample) = sample else {
                samples.truncate(before);
                return None;
            };
            samples.push(sample);
        }
        let mut metadata = None;
        if fields.take_key(SERIES_METADATA) {
            let message = fields.message().ok();
            metadata = message.and_then(MetadataRefs::read);
            if metadata.is_none() {
                samples.truncate(before);
                return None;
            }
        }
        if fields.is_at_end() && samples.len() - before <= PLAIN_SAMPLES_MAX {
            return Some((refs, metadata));
        }
        samples.truncate(before);
        None
    }
}

/// One sample. Value, timestamp and perhaps start timestamp in this order is what senders write.
#[inline]
fn sample(message: Cursor<'_>) -> Option<Sample> {
    let mut fields = message;
    if fields.take_key(SAMPLE_VALUE)
        && let Ok(value) = fields.fixed64()
        && fields.take_key(SAMPLE_TIMESTAMP)
        && let Ok(timestamp) = fields.varint()
    {
        let mut sample = Sample {
            value: f64::from_bits(value),
            timestamp: timestamp as i64,
            ..Sample::default()
        };
        if fields.take_key(SAMPLE_START_TIMESTAMP)
            && let Ok(start) = fields.varint()
        {
            sample.start_timestamp = start as i64;
        }
        if fields.is_at_end() {
            return Some(sample);
        }
    }
    series::read_sample(message).ok()
}

/// Packed references one by one.
///
/// The items are errors where the bytes are no varints: the request is to be refused as a whole.
#[inline]
pub fn packed_refs(refs: &[u8]) -> impl Iterator<Item = Result<u32, WireError>> {
    let mut values = Cursor::new(refs);
    std::iter::from_fn(move || {
        if values.is_at_end() {
            return None;
        }
        // Longer varints are cut to 32 bits, as every protobuf library does.
        Some(
            values
                .varint()
                .map(|reference| reference as u32)
                .map_err(WireError::from),
        )
    })
}
