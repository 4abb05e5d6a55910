//! Cuts histograms into chunks, by the rules that Prometheus' appender has (`appendable` in `tsdb/chunkenc/histogram.go`).
//!
//! A new chunk begins with another flavour, gauge or not, a known reset, another schema, zero threshold or bounds, a count that
//! falls, a bucket in use that vanishes, and after a stale marker. All samples of a chunk share one layout, so a new bucket has
//! the open chunk written anew from its rows. Else a chunk is cut at 120 samples, or at 1 KiB when it has at least 10, the size that
//! Prometheus aims at.
//!
//! One rule goes further: a stale marker never joins a chunk of gauges. Prometheus reads markers without their hint, so it takes
//! one for a counter when it re-encodes, and would refuse the chunk.

use emberkeep_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Counts, Histogram, ResetHint};
use emberkeep_model::{HistogramRow, HistogramRun};

use super::SAMPLES_PER_CHUNK;
use super::bucket_spans::{Fit, Side, fit};
use super::histogram_appender::{HistogramAppender, Sample};
use super::histogram_form::{lay_out, load};
use super::layout::Layout;
use super::series_encoder::EncodedChunk;

/// A chunk of [`MIN_SAMPLES`] is cut at this size (`TargetBytesPerHistogramChunk`).
const TARGET_BYTES: usize = 1024;
/// A chunk of fewer samples may be larger (`MinSamplesPerHistogramChunk`).
const MIN_SAMPLES: usize = 10;
/// Any chunk is cut at this size, or a few huge histograms would take memory without bound.
const MAX_BYTES: usize = 64 << 10;
/// Any chunk is cut when its rows, which are kept uncompressed, take so much.
const MAX_ROW_BYTES: usize = 1 << 20;

/// The open chunk.
#[derive(Debug)]
pub(super) struct HistogramCutter {
    /// Whether start timestamps are kept.
    keep_starts: bool,
    appender: HistogramAppender,
    layout: Layout,
    /// Its histograms as they came.
    rows: HistogramRun,
    row_bytes: usize,
    /// The last of them, in the layout.
    last: Histogram,
    current: Histogram,
}

impl HistogramCutter {
    pub(super) fn new(keep_starts: bool) -> Self {
        Self {
            keep_starts,
            appender: HistogramAppender::default(),
            layout: Layout::default(),
            rows: HistogramRun::default(),
            row_bytes: 0,
            last: Histogram::default(),
            current: Histogram::default(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.row_bytes = 0;
    }

    pub(super) fn push<E>(
        &mut self,
        row: HistogramRow<'_>,
        sink: &mut impl FnMut(EncodedChunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        load(row, &mut self.current);
        let place = if self.rows.is_empty() || self.is_full() {
            None
        } else {
            self.place()
        };
        match place {
            None => {
                self.finish(sink)?;
                self.layout.set(&self.current);
                let start = self.start_of(row);
                let sample = Sample {
                    timestamp: row.timestamp,
                    start_timestamp: start,
                    histogram: &self.current,
                };
                self.appender.begin(&self.layout, sample, start != 0);
            }
            Some(place) => self.append(row, place),
        }
        self.rows.push_row(row);
        self.row_bytes += row.canonical.len();
        std::mem::swap(&mut self.last, &mut self.current);
        Ok(())
    }

    /// Gives what is left as a chunk.
    pub(super) fn finish<E>(&mut self, sink: &mut impl FnMut(EncodedChunk<'_>) -> Result<(), E>) -> Result<(), E> {
        let (Some(&min_time), Some(&max_time)) = (self.rows.timestamps().first(), self.rows.timestamps().last()) else {
            return Ok(());
        };
        let custom_buckets = self.layout.schema == CUSTOM_BUCKETS_SCHEMA;
        let samples = self.rows.len();
        let (encoding, data) = self.appender.finish();
        sink(EncodedChunk {
            encoding,
            min_time,
            max_time,
            samples,
            custom_buckets,
            data,
        })?;
        if self.rows.heap_bytes() > 2 * MAX_ROW_BYTES {
            // One huge histogram must not hold its memory for all that follow.
            *self = Self::new(self.keep_starts);
        }
        self.clear();
        Ok(())
    }

    fn start_of(&self, row: HistogramRow<'_>) -> i64 {
        if self.keep_starts { row.start_timestamp } else { 0 }
    }

    fn is_full(&self) -> bool {
        let (samples, bytes) = (self.appender.samples(), self.appender.byte_len());
        samples >= SAMPLES_PER_CHUNK
            || (bytes >= TARGET_BYTES && samples >= MIN_SAMPLES)
            || bytes >= MAX_BYTES
            || self.row_bytes >= MAX_ROW_BYTES
    }

    /// How the buckets of the current histogram fit the open chunk, positive and negative; none when it needs a new one.
    fn place(&self) -> Option<[Fit; 2]> {
        let (last, current) = (&self.last, &self.current);
        let is_gauge = current.reset_hint == ResetHint::Gauge;
        if current.is_float() != self.appender.is_float()
            || is_gauge != self.appender.is_gauge()
            || current.reset_hint == ResetHint::Reset
        {
            return None;
        }
        if current.is_stale() {
            return Some([Fit::Within, Fit::Within]);
        }
        if last.is_stale() || !self.layout.agrees_with(current) {
            return None;
        }
        let fits = match (&last.counts, &current.counts) {
            (
                Counts::Integer {
                    count: last_count,
                    zero_count: last_zero_count,
                    positive: last_positive,
                    negative: last_negative,
                },
                Counts::Integer {
                    count,
                    zero_count,
                    positive,
                    negative,
                },
            ) => {
                if !is_gauge && (count < last_count || zero_count < last_zero_count) {
                    return None;
                }
                self.fit_sides([last_positive, last_negative], [positive, negative])
            }
            (
                Counts::Float {
                    count: last_count,
                    zero_count: last_zero_count,
                    positive: last_positive,
                    negative: last_negative,
                },
                Counts::Float {
                    count,
                    zero_count,
                    positive,
                    negative,
                },
            ) => {
                if !is_gauge && (count < last_count || zero_count < last_zero_count) {
                    return None;
                }
                self.fit_sides([last_positive, last_negative], [positive, negative])
            }
            _ => return None,
        };
        (!fits.contains(&Fit::No)).then_some(fits)
    }

    fn fit_sides<C: Copy + Default + PartialOrd>(&self, last: [&Vec<C>; 2], current: [&Vec<C>; 2]) -> [Fit; 2] {
        let laid_out = [&self.layout.positive_spans, &self.layout.negative_spans];
        let sent = [&self.current.positive_spans, &self.current.negative_spans];
        [0, 1].map(|side| {
            let last = Side {
                spans: laid_out[side],
                counts: last[side],
            };
            let next = Side {
                spans: sent[side],
                counts: current[side],
            };
            fit(last, next, !self.appender.is_gauge())
        })
    }

    /// Adds the current histogram to the open chunk, after writing that anew where it needs more places.
    fn append(&mut self, row: HistogramRow<'_>, [positive, negative]: [Fit; 2]) {
        let start_timestamp = self.start_of(row);
        let mut anew = start_timestamp != 0 && !self.appender.has_starts();
        let layout = [&mut self.layout.positive_spans, &mut self.layout.negative_spans];
        for (spans, fit) in layout.into_iter().zip([positive, negative]) {
            if let Fit::Wider(wider) = fit {
                *spans = wider;
                anew = true;
            }
        }
        if anew {
            self.write_anew(start_timestamp != 0);
        }
        lay_out(&mut self.current, &self.layout);
        self.appender.append(Sample {
            timestamp: row.timestamp,
            start_timestamp,
            histogram: &self.current,
        });
    }

    /// Writes the open chunk from its rows in the present layout.
    fn write_anew(&mut self, with_starts: bool) {
        let with_starts = with_starts || self.appender.has_starts();
        for (i, row) in self.rows.iter().enumerate() {
            load(row, &mut self.last);
            lay_out(&mut self.last, &self.layout);
            let sample = Sample {
                timestamp: row.timestamp,
                start_timestamp: if self.keep_starts { row.start_timestamp } else { 0 },
                histogram: &self.last,
            };
            if i == 0 {
                self.appender.begin(&self.layout, sample, with_starts);
            } else {
                self.appender.append(sample);
            }
        }
    }
}
