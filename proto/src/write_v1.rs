//! Borrowed decoder of remote write 1.0 (`prometheus.WriteRequest`).
//!
//! [`Request::parse`] reads the whole body once and refuses it as a whole; what it gave out afterwards is walked without errors and
//! without allocation. It must not judge content: UTF-8, names, order and duplicates are the caller's, series by series.

mod entries;
mod exemplar;
mod metadata;

pub use entries::{Entries, Entry, check_labels};
pub use exemplar::Exemplar;
pub use metadata::Metadata;

use crate::error::Malformed;
use crate::fields::{Extent, repeated};
use crate::histogram::{Histogram, StartTimestamps};
use crate::shape;
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT, key};
use crate::{Sample, WireError};

const REQUEST_TIMESERIES: u32 = key(1, LENGTH);
const REQUEST_METADATA: u32 = key(3, LENGTH);
const SERIES_LABELS: u32 = key(1, LENGTH);
const SERIES_SAMPLES: u32 = key(2, LENGTH);
const SERIES_EXEMPLARS: u32 = key(3, LENGTH);
const SERIES_HISTOGRAMS: u32 = key(4, LENGTH);
const LABEL_NAME: u32 = key(1, LENGTH);
const LABEL_VALUE: u32 = key(2, LENGTH);
const SAMPLE_VALUE: u32 = key(1, FIXED64);
const SAMPLE_TIMESTAMP: u32 = key(2, VARINT);

/// A request whose whole body is known to be well formed. Borrows the decompressed body.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    body: Cursor<'a>,
    n_series: usize,
    n_metadata: usize,
}

impl<'a> Request<'a> {
    /// Reads `body`, a decompressed `prometheus.WriteRequest`, to its end.
    ///
    /// # Errors
    /// [`WireError::Malformed`] with the first place that is not protobuf or not this message.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let mut request = Self {
            body: Cursor::new(body),
            n_series: 0,
            n_metadata: 0,
        };
        let mut fields = request.body;
        while let Some(key) = fields.key()? {
            match key {
                REQUEST_TIMESERIES => {
                    check_series(fields.message()?)?;
                    request.n_series += 1;
                }
                REQUEST_METADATA => {
                    shape::check(fields.message()?, shape::METADATA_V1)?;
                    request.n_metadata += 1;
                }
                other => fields.skip_unknown(other, &[1, 3])?,
            }
        }
        Ok(request)
    }

    /// The series entries in the order of the wire; a series may occur many times.
    #[inline]
    pub fn series(&self) -> impl Iterator<Item = Series<'a>> + use<'a> {
        repeated(self.body, REQUEST_TIMESERIES, Series::scan)
    }

    /// Number of series entries.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }

    /// The metadata of metric families in the order of the wire; a family may occur many times.
    pub fn metadata(&self) -> impl Iterator<Item = Metadata<'a>> + use<'a> {
        repeated(self.body, REQUEST_METADATA, Metadata::read)
    }

    /// Number of metadata entries.
    #[must_use]
    pub fn n_metadata(&self) -> usize {
        self.n_metadata
    }
}

/// One series entry of a request.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    labels: Cursor<'a>,
    samples: Cursor<'a>,
    /// Where histograms and exemplars lie: few entries have any, so they share one place.
    others: Cursor<'a>,
    n_samples: usize,
    n_histograms: usize,
    n_exemplars: usize,
}

impl<'a> Series<'a> {
    /// Finds where labels, samples and the rest are, and looks into none of them.
    #[inline]
    fn scan(entry: Cursor<'a>) -> Result<Self, Malformed> {
        let (mut labels, mut samples, mut others) = (Extent::default(), Extent::default(), Extent::default());
        let (mut n_histograms, mut n_exemplars) = (0, 0);
        let mut fields = entry;
        loop {
            let from = fields.offset();
            let Some(key) = fields.key()? else { break };
            match key {
                SERIES_LABELS => {
                    fields.message()?;
                    // Labels follow each other, so the next one is tried before anything else.
                    let mut run = 1;
                    while fields.take_key(SERIES_LABELS) {
                        fields.message()?;
                        run += 1;
                    }
                    labels.add(run, from, fields.offset());
                }
                SERIES_SAMPLES => {
                    fields.message()?;
                    samples.add(1, from, fields.offset());
                }
                SERIES_EXEMPLARS => {
                    fields.message()?;
                    others.add(1, from, fields.offset());
                    n_exemplars += 1;
                }
                SERIES_HISTOGRAMS => {
                    fields.message()?;
                    others.add(1, from, fields.offset());
                    n_histograms += 1;
                }
                other => fields.skip_unknown(other, &[])?,
            }
        }
        Ok(Self {
            labels: labels.of(entry),
            samples: samples.of(entry),
            others: others.of(entry),
            n_samples: samples.fields,
            n_histograms,
            n_exemplars,
        })
    }

    /// The labels in the order of the wire, name and value: unsorted, perhaps empty, perhaps repeated, perhaps not UTF-8.
    #[inline]
    pub fn labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        repeated(self.labels, SERIES_LABELS, read_label)
    }

    /// The float samples in the order of the wire.
    #[inline]
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<'a> {
        repeated(self.samples, SERIES_SAMPLES, read_sample)
    }

    /// The native histograms in the order of the wire.
    pub fn histograms(&self) -> impl Iterator<Item = Histogram<'a>> + use<'a> {
        repeated(self.others, SERIES_HISTOGRAMS, |message| {
            Histogram::read(message, StartTimestamps::Unknown)
        })
    }

    /// The exemplars in the order of the wire.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> + use<'a> {
        repeated(self.others, SERIES_EXEMPLARS, Exemplar::read)
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
}

#[inline]
fn check_series(mut fields: Cursor<'_>) -> Result<(), Malformed> {
    while let Some(key) = fields.key()? {
        match key {
            SERIES_LABELS => drop(read_label(fields.message()?)?),
            SERIES_SAMPLES => drop(read_sample(fields.message()?)?),
            SERIES_EXEMPLARS => shape::check(fields.message()?, shape::EXEMPLAR_V1)?,
            SERIES_HISTOGRAMS => shape::check(fields.message()?, shape::HISTOGRAM_V1)?,
            other => fields.skip_unknown(other, &[1, 2, 3, 4])?,
        }
    }
    Ok(())
}

#[inline]
fn read_label<'a>(mut fields: Cursor<'a>) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some(key) = fields.key()? {
        match key {
            LABEL_NAME => name = fields.bytes()?,
            LABEL_VALUE => value = fields.bytes()?,
            other => fields.skip_unknown(other, &[1, 2])?,
        }
    }
    Ok((name, value))
}

#[inline]
fn read_sample(mut fields: Cursor<'_>) -> Result<Sample, Malformed> {
    let mut sample = Sample::default();
    while let Some(key) = fields.key()? {
        match key {
            SAMPLE_VALUE => sample.value = f64::from_bits(fields.fixed64()?),
            SAMPLE_TIMESTAMP => sample.timestamp = fields.varint()? as i64,
            other => fields.skip_unknown(other, &[1, 2])?,
        }
    }
    Ok(sample)
}
