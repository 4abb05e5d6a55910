//! Cuts a series of floats and histograms, fed piece by piece in time order, into chunks.
//!
//! Where the cuts are depends on the samples alone, never on the pieces. Chunks come in time order, cover exact and disjoint times
//! and hold one kind each, so Prometheus can query and re-encode every one of them.
//!
//! A stale marker keeps its kind: a float marker between histograms, or one of the other flavour, gets a chunk of its own. Prometheus
//! would turn it into the kind of its neighbours to save that chunk; here what was sent comes back as it was sent, and the chunk is
//! a few bytes.

use emberkeep_model::{HistogramRun, Run};

use super::float_cutter::FloatCutter;
use super::histogram_cutter::HistogramCutter;
use super::{Encoding, PrometheusVersion};

/// A finished chunk.
#[derive(Debug, Clone, Copy)]
pub struct EncodedChunk<'a> {
    /// How it is encoded.
    pub encoding: Encoding,
    /// Timestamp of the first sample, milliseconds.
    pub min_time: i64,
    /// Timestamp of the last sample, milliseconds, inclusive.
    pub max_time: i64,
    /// Number of samples.
    pub samples: usize,
    /// Whether its histograms have bounds of their own.
    pub custom_buckets: bool,
    /// The chunk without length, encoding byte and checksum.
    pub data: &'a [u8],
}

impl EncodedChunk<'_> {
    /// The first Prometheus that reads it.
    #[must_use]
    pub fn readable_since(&self) -> PrometheusVersion {
        let encoding = self.encoding.readable_since();
        if self.custom_buckets {
            encoding.max(PrometheusVersion::CUSTOM_BUCKETS)
        } else {
            encoding
        }
    }
}

/// Encodes one series after the other.
#[derive(Debug)]
pub struct SeriesEncoder {
    floats: FloatCutter,
    histograms: HistogramCutter,
}

impl Default for SeriesEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl SeriesEncoder {
    /// An encoder that leaves start timestamps out, so that every Prometheus reads the chunks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            floats: FloatCutter::new(false),
            histograms: HistogramCutter::new(false),
        }
    }

    /// An encoder that keeps start timestamps, in the encodings for them where a chunk has any.
    #[must_use]
    pub fn with_start_timestamps() -> Self {
        Self {
            floats: FloatCutter::new(true),
            histograms: HistogramCutter::new(true),
        }
    }

    /// Adds the next piece of a series and shows `sink` each chunk that is full. Timestamps rise strictly over both kinds and all
    /// pieces; else the chunks are of no use.
    ///
    /// # Errors
    /// What `sink` says; the encoder is then of no use either.
    pub fn push<E>(
        &mut self,
        samples: &Run,
        histograms: &HistogramRun,
        mut sink: impl FnMut(EncodedChunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sink = &mut sink;
        let (float_times, histogram_times) = (samples.timestamps.as_slice(), histograms.timestamps());
        let (mut float, mut row) = (0, 0);
        while float < float_times.len() || row < histogram_times.len() {
            // Without histograms, which is the hot case, this takes all floats at once.
            let floats = match histogram_times.get(row) {
                None => float_times.len() - float,
                Some(&until) => float_times[float..].iter().take_while(|&&time| time <= until).count(),
            };
            if floats > 0 {
                self.histograms.finish(sink)?;
                self.floats.push(samples, float..float + floats, sink)?;
                float += floats;
            }
            let next_float = float_times.get(float);
            while row < histogram_times.len() && next_float.is_none_or(|&until| histogram_times[row] < until) {
                self.floats.finish(sink)?;
                self.histograms.push(histograms.row(row), sink)?;
                row += 1;
            }
        }
        Ok(())
    }

    /// Ends the series: shows `sink` the chunk that is still open, if any. The next series may follow.
    ///
    /// # Errors
    /// What `sink` says.
    pub fn finish<E>(&mut self, mut sink: impl FnMut(EncodedChunk<'_>) -> Result<(), E>) -> Result<(), E> {
        // One of the two is empty.
        self.floats.finish(&mut sink)?;
        self.histograms.finish(&mut sink)
    }

    /// Forgets an unfinished series.
    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }
}

#[cfg(test)]
mod tests;
