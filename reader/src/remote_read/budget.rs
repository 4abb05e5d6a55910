//! What one remote read may use: series and samples for each query, bytes for the answer.
//!
//! Counted as the answer is made, because only the merge knows how many rows are left of those that the parts hold. A limit that
//! is passed is an error with the name of its flag; before the first byte it becomes a status, afterwards the connection ends.

use crate::{ReaderError, ReaderSettings};

/// The running count of one answer.
#[derive(Debug)]
pub(super) struct Budget {
    series_max: u64,
    /// None for streamed answers, whose memory does not depend on it.
    samples_max: Option<u64>,
    bytes_max: u64,
    bytes_flag: &'static str,
    series: u64,
    samples: u64,
}

impl Budget {
    /// For an answer that is in memory whole before it is sent.
    pub(super) fn sampled(settings: &ReaderSettings) -> Self {
        Self {
            samples_max: Some(settings.sample_limit),
            bytes_max: settings.sampled_bytes_max,
            bytes_flag: "--read.sampled-size-limit",
            ..Self::streamed(settings)
        }
    }

    /// For an answer that is sent as it is made.
    pub(super) fn streamed(settings: &ReaderSettings) -> Self {
        Self {
            series_max: settings.series_limit as u64,
            samples_max: None,
            bytes_max: settings.streamed_bytes_max,
            bytes_flag: "--read.streamed-size-limit",
            series: 0,
            samples: 0,
        }
    }

    /// Begins with the next query of the request.
    pub(super) fn next_query(&mut self) {
        (self.series, self.samples) = (0, 0);
    }

    pub(super) fn series(&mut self) -> Result<(), ReaderError> {
        self.series += 1;
        if self.series <= self.series_max {
            return Ok(());
        }
        Err(ReaderError::TooMuch(format!(
            "the query selects more than {} series: narrow its matchers or raise --read.series-limit",
            self.series_max
        )))
    }

    pub(super) fn samples(&mut self, count: usize) -> Result<(), ReaderError> {
        self.samples += count as u64;
        match self.samples_max {
            Some(limit) if self.samples > limit => Err(ReaderError::TooMuch(format!(
                "the query selects more samples than the limit of {limit} for an answer of this type (--read.sample-limit): \
                 narrow it, or ask for STREAMED_XOR_CHUNKS, which has no such limit"
            ))),
            _ => Ok(()),
        }
    }

    /// Compares the bytes of the answer so far.
    pub(super) fn bytes(&self, total: u64) -> Result<(), ReaderError> {
        if total <= self.bytes_max {
            return Ok(());
        }
        Err(ReaderError::TooMuch(format!(
            "the answer is larger than the limit of {} bytes: narrow the query or raise {}",
            self.bytes_max, self.bytes_flag
        )))
    }
}
