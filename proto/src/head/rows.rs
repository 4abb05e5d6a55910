//! The rows of a series in a head read answer: columns on the wire, rows for those who write and read them.
//!
//! Columns, so that a histogram or exemplar costs no allocation of its own. What the bytes of a row mean is not known here.

use crate::messages::head::HeadSeries;

/// One native histogram of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadHistogram<'a> {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// When counting started, in milliseconds since the epoch; 0 when unset.
    pub start_timestamp: i64,
    /// Canonical bytes; not checked.
    pub canonical: &'a [u8],
}

/// One exemplar of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadExemplar<'a> {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Bits of the value.
    pub value_bits: u64,
    /// Canonical labels of the exemplar itself; not checked.
    pub labels: &'a [u8],
}

impl HeadSeries {
    /// Adds a histogram at the end.
    ///
    /// # Panics
    /// When it has 4 GiB, which no histogram of a request can have.
    pub fn push_histogram(&mut self, histogram: HeadHistogram<'_>) {
        let HeadHistogram {
            timestamp,
            start_timestamp,
            canonical,
        } = histogram;
        // No column at all says that none is set.
        if start_timestamp != 0 || !self.histogram_start_timestamps.is_empty() {
            self.histogram_start_timestamps
                .resize(self.histogram_timestamps.len(), 0);
            self.histogram_start_timestamps.push(start_timestamp);
        }
        self.histogram_timestamps.push(timestamp);
        append(canonical, &mut self.histogram_lengths, &mut self.histogram_bodies);
    }

    /// The histograms in order. All of them when the series was read by [`HeadAnswerReader`](super::HeadAnswerReader), which checks the columns.
    pub fn histograms(&self) -> impl Iterator<Item = HeadHistogram<'_>> {
        let starts = self.histogram_start_timestamps.iter().copied();
        let bodies = cut(&self.histogram_lengths, &self.histogram_bodies);
        let rows = self.histogram_timestamps.iter().zip(bodies);
        rows.zip(starts.chain(std::iter::repeat(0)))
            .map(|((timestamp, canonical), start_timestamp)| HeadHistogram {
                timestamp: *timestamp,
                start_timestamp,
                canonical,
            })
    }

    /// Adds an exemplar at the end.
    ///
    /// # Panics
    /// When its labels have 4 GiB, which no exemplar of a request can have.
    pub fn push_exemplar(&mut self, exemplar: HeadExemplar<'_>) {
        let HeadExemplar {
            timestamp,
            value_bits,
            labels,
        } = exemplar;
        self.exemplar_timestamps.push(timestamp);
        self.exemplar_value_bits.push(value_bits);
        append(labels, &mut self.exemplar_label_lengths, &mut self.exemplar_labels);
    }

    /// The exemplars in order. All of them when the series was read by [`HeadAnswerReader`](super::HeadAnswerReader), which checks the columns.
    pub fn exemplars(&self) -> impl Iterator<Item = HeadExemplar<'_>> {
        let labels = cut(&self.exemplar_label_lengths, &self.exemplar_labels);
        let rows = self.exemplar_timestamps.iter().zip(&self.exemplar_value_bits);
        rows.zip(labels).map(|((timestamp, value_bits), labels)| HeadExemplar {
            timestamp: *timestamp,
            value_bits: *value_bits,
            labels,
        })
    }

    /// Whether there is a float sample.
    pub(super) fn has_samples(&self) -> bool {
        !self.timestamps.is_empty()
    }

    /// Whether there is a histogram.
    pub(super) fn has_histograms(&self) -> bool {
        !self.histogram_timestamps.is_empty()
    }

    /// Whether there is an exemplar.
    pub(super) fn has_exemplars(&self) -> bool {
        !self.exemplar_timestamps.is_empty()
    }

    /// Whether the columns of each kind describe the same rows.
    pub(super) fn is_consistent(&self) -> bool {
        let is_start_column = |starts: &[i64], rows: usize| starts.is_empty() || starts.len() == rows;
        let fills = |lengths: &[u32], bytes: &[u8]| {
            // Fewer than 2^32 lengths fit into memory, so 64 bits hold the sum.
            lengths.iter().map(|len| u64::from(*len)).sum::<u64>() == bytes.len() as u64
        };
        let (samples, histograms) = (self.timestamps.len(), self.histogram_timestamps.len());
        let exemplars = self.exemplar_timestamps.len();
        self.value_bits.len() == samples
            && is_start_column(&self.start_timestamps, samples)
            && self.histogram_lengths.len() == histograms
            && is_start_column(&self.histogram_start_timestamps, histograms)
            && fills(&self.histogram_lengths, &self.histogram_bodies)
            && self.exemplar_value_bits.len() == exemplars
            && self.exemplar_label_lengths.len() == exemplars
            && fills(&self.exemplar_label_lengths, &self.exemplar_labels)
    }
}

fn append(bytes: &[u8], lengths: &mut Vec<u32>, all: &mut Vec<u8>) {
    lengths.push(u32::try_from(bytes.len()).expect("a row comes from a request, which is far smaller"));
    all.extend_from_slice(bytes);
}

/// The pieces of these lengths, one after the other; ends where the bytes do.
fn cut<'a>(lengths: &'a [u32], mut bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().map_while(move |len| {
        let (piece, rest) = bytes.split_at_checked(*len as usize)?;
        bytes = rest;
        Some(piece)
    })
}
