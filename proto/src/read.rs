//! Remote read: the request as plain data, and both kinds of answer written by hand.
//!
//! An answer is the hot half: chunks and samples are copied into their frames and never take the way through generated messages.
//! It must never put more than one series into a frame, since clients read the first and lose the rest.

mod request;

pub use request::{MatchOp, ReadHints, ReadMatcher, ReadQuery, ReadRequest};

use crate::{emit, frame};

/// Writes the frames of a streamed answer, one series each: begin, chunks in time order, finish. Reusable, so that its buffer is.
#[derive(Debug, Clone, Default)]
pub struct FrameEncoder {
    /// The `ChunkedSeries` so far.
    series: Vec<u8>,
    query_index: i64,
}

impl FrameEncoder {
    /// Starts the frame of a series with these labels, sorted by name, found by the query with this number. What was begun and not finished is
    /// forgotten.
    pub fn begin<'l>(&mut self, labels: impl Iterator<Item = (&'l str, &'l str)>, query_index: i64) {
        self.series.clear();
        emit::labels(&mut self.series, labels);
        self.query_index = query_index;
    }

    /// Appends a chunk. `min_time` and `max_time` are the times of its first and last sample in milliseconds, exactly: clients seek by them.
    /// `encoding` is Prometheus' number (1 XOR, 2 histogram, 3 float histogram), `data` begins with the number of samples.
    pub fn chunk(&mut self, min_time: i64, max_time: i64, encoding: u8, data: &[u8]) {
        let encoding = i64::from(encoding);
        let times_len = emit::integer_len(min_time) + emit::integer_len(max_time);
        let data_len = 1 + emit::varint_len(data.len() as u64) + data.len();
        emit::length(&mut self.series, 2, times_len + emit::integer_len(encoding) + data_len);
        emit::integer(&mut self.series, 1, min_time);
        emit::integer(&mut self.series, 2, max_time);
        emit::integer(&mut self.series, 3, encoding);
        emit::bytes(&mut self.series, 4, data);
    }

    /// Bytes of the frame as it would be finished now, length and checksum included.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a frame is never empty: it has at least a header and a series"
    )]
    pub fn len(&self) -> usize {
        frame::frame_len(self.payload_len())
    }

    /// Appends the whole frame to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        frame::append_frame(out, self.payload_len(), |out| {
            emit::bytes(out, 1, &self.series);
            emit::integer(out, 2, self.query_index);
        });
        self.series.clear();
    }

    fn payload_len(&self) -> usize {
        let series_len = self.series.len();
        1 + emit::varint_len(series_len as u64) + series_len + emit::integer_len(self.query_index)
    }
}

/// Writes an answer of type SAMPLES, a `prometheus.ReadResponse`: for each query its series, then [`SamplesEncoder::end_query`].
#[derive(Debug, Clone, Default)]
pub struct SamplesEncoder {
    results: Vec<u8>,
    /// The `QueryResult` so far.
    query: Vec<u8>,
    /// The `TimeSeries` being written.
    series: Vec<u8>,
}

impl SamplesEncoder {
    /// Appends a series to the current query: labels sorted by name, samples (milliseconds, value) in time order.
    pub fn series<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        samples: impl Iterator<Item = (i64, f64)>,
    ) {
        self.series.clear();
        emit::labels(&mut self.series, labels);
        for (timestamp, value) in samples {
            // By the bits: -0 equals 0 and would be lost as "absent".
            let has_value = value.to_bits() != 0;
            emit::length(
                &mut self.series,
                2,
                usize::from(has_value) * 9 + emit::integer_len(timestamp),
            );
            if has_value {
                self.series.push(1 << 3 | 1);
                self.series.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            emit::integer(&mut self.series, 2, timestamp);
        }
        emit::bytes(&mut self.query, 1, &self.series);
    }

    /// Ends the result of the current query. There must be one for each query, even one that found nothing: clients count them.
    pub fn end_query(&mut self) {
        emit::bytes(&mut self.results, 1, &self.query);
        self.query.clear();
    }

    /// Bytes of the answer so far, before compression.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a size to hold against a limit, not a collection"
    )]
    pub fn len(&self) -> usize {
        self.results.len() + self.query.len()
    }

    /// The answer of the ended queries, to be compressed with [`crate::snappy::compress`].
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.results
    }
}

#[cfg(test)]
mod tests;
