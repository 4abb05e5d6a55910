//! The entries of a request one after the other, read once: for a receiver that recognises series by their label bytes.
//!
//! A *plain* entry is labels followed by float samples, as nearly every entry is. Its samples are read at once and its labels are not
//! looked into: bytes that were seen and judged before need no second look. It must never be taken for well formed as long as its labels
//! were not checked: [`check_labels`] is for those that nobody recognised.

use super::{
    Metadata, REQUEST_METADATA, REQUEST_TIMESERIES, SAMPLE_TIMESTAMP, SAMPLE_VALUE, SERIES_LABELS, SERIES_SAMPLES,
    Series, check_series, read_label, read_sample,
};
use crate::error::Malformed;
use crate::fields::repeated;
use crate::wire::Cursor;
use crate::{Sample, SampleColumns, WireError, shape};

/// An entry of more samples is read with the care that is due to what may be made up: a sample may take two bytes on the wire and sixteen here.
const PLAIN_SAMPLES_MAX: usize = 1 << 16;

/// One entry of a request.
#[derive(Debug, Clone)]
pub enum Entry<'a> {
    /// A plain entry whose labels are the expected ones, byte by byte.
    Expected {
        /// As in [`Entry::Plain`].
        region: &'a [u8],
    },
    /// Labels and then float samples, nothing else. The labels are not checked.
    Plain {
        /// The label fields, as they are on the wire; empty when there are none.
        region: &'a [u8],
    },
    /// Any other series entry, checked whole.
    Series(Series<'a>),
    /// Metadata of a family, checked whole.
    Metadata(Metadata<'a>),
}

/// Walks over a decompressed `prometheus.WriteRequest`.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    fields: Cursor<'a>,
}

impl<'a> Entries<'a> {
    /// Begins at the first entry.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            fields: Cursor::new(body),
        }
    }

    /// The next entry, `None` at the end. The samples of a plain entry are put behind those that `samples` has. A region that is expected,
    /// one that was an entry's before, is compared whole and not walked through; an empty one expects nothing.
    ///
    /// # Errors
    /// [`WireError::Malformed`] with the first place that is not protobuf or not this message; the request is to be refused as a whole.
    #[inline]
    pub fn next_entry(&mut self, expected: &[u8], samples: &mut SampleColumns) -> Result<Option<Entry<'a>>, WireError> {
        loop {
            let Some(key) = self.fields.key()? else { return Ok(None) };
            match key {
                REQUEST_TIMESERIES => {
                    let entry = self.fields.message()?;
                    if let Some(region) = begins_as(entry, expected)
                        && plain_samples(entry.part(entry.offset() + region.len(), entry.end()), samples)
                    {
                        return Ok(Some(Entry::Expected { region }));
                    }
                    return Ok(Some(match plain(entry, samples) {
                        Some(region) => Entry::Plain { region },
                        None => series(entry)?,
                    }));
                }
                REQUEST_METADATA => return Ok(Some(metadata(self.fields.message()?)?)),
                other => self.fields.skip_unknown(other, &[1, 3])?,
            }
        }
    }
}

/// Everything that is not plain.
#[cold]
fn series(entry: Cursor<'_>) -> Result<Entry<'_>, Malformed> {
    check_series(entry)?;
    Series::scan(entry).map(Entry::Series)
}

#[cold]
fn metadata(message: Cursor<'_>) -> Result<Entry<'_>, Malformed> {
    shape::check(message, shape::METADATA_V1)?;
    Metadata::read(message).map(Entry::Metadata)
}

/// The label region of a plain entry, whose samples are then in `samples`; nothing for any other, whatever is the matter with it.
#[inline]
fn plain<'a>(entry: Cursor<'a>, samples: &mut SampleColumns) -> Option<&'a [u8]> {
    let mut fields = entry;
    let from = fields.offset();
    while fields.take_key(SERIES_LABELS) {
        fields.message().ok()?;
    }
    let region = entry.part(from, fields.offset()).rest();
    plain_samples(fields, samples).then_some(region)
}

/// The first bytes of an entry, when they are the expected region and a sample follows: then they are its own region, for whoever walks
/// through equal bytes ends at the same place.
#[inline]
fn begins_as<'a>(entry: Cursor<'a>, expected: &[u8]) -> Option<&'a [u8]> {
    let (region, rest) = entry.rest().split_at_checked(expected.len())?;
    let is_it =
        !region.is_empty() && rest.first().is_some_and(|&key| u32::from(key) == SERIES_SAMPLES) && region == expected;
    is_it.then_some(region)
}

/// Reads samples to the end of an entry; whether there was nothing else. If so they are put behind those that `samples` has.
#[inline]
fn plain_samples(fields: Cursor<'_>, samples: &mut SampleColumns) -> bool {
    let mut fields = fields;
    let before = samples.len();
    while samples.len() - before <= PLAIN_SAMPLES_MAX && fields.take_key(SERIES_SAMPLES) {
        let Some(sample) = fields.message().ok().and_then(sample) else {
            samples.truncate(before);
            return false;
        };
        samples.push(sample);
    }
    if fields.is_at_end() && samples.len() - before <= PLAIN_SAMPLES_MAX {
        return true;
    }
    samples.truncate(before);
    false
}

/// One sample. Value and timestamp in this order and nothing else is what senders write.
#[inline]
fn sample(message: Cursor<'_>) -> Option<Sample> {
    let mut fields = message;
    if fields.take_key(SAMPLE_VALUE)
        && let Ok(value) = fields.fixed64()
        && fields.take_key(SAMPLE_TIMESTAMP)
        && let Ok(timestamp) = fields.varint()
        && fields.is_at_end()
    {
        return Some(Sample {
            value: f64::from_bits(value),
            timestamp: timestamp as i64,
            ..Sample::default()
        });
    }
    read_sample(message).ok()
}

/// The labels of a region in the order of the wire, name and value: unsorted, perhaps empty, perhaps repeated, perhaps not UTF-8.
///
/// # Errors
/// [`WireError::Malformed`] when it is not a sequence of label fields.
pub fn check_labels(region: &[u8]) -> Result<impl Iterator<Item = (&[u8], &[u8])>, WireError> {
    let whole = Cursor::new(region);
    let mut fields = whole;
    while let Some(key) = fields.key()? {
        if key != SERIES_LABELS {
            return Err(fields.malformed("not a label").into());
        }
        read_label(fields.message()?)?;
    }
    Ok(repeated(whole, SERIES_LABELS, read_label))
}
