//! Cuts floats into chunks of 120 samples.
//!
//! The hot loop of export and of the streamed remote read: whole slices of the pieces go to the codec, only what does not fill a
//! chunk is copied.

use std::ops::Range;

use emberkeep_model::Run;

use super::series_encoder::EncodedChunk;
use super::{Encoding, SAMPLES_PER_CHUNK, xor, xor2};

/// Floats that do not fill a chunk yet.
#[derive(Debug)]
pub(super) struct FloatCutter {
    /// Whether start timestamps are kept.
    keep_starts: bool,
    open: Run,
    data: Vec<u8>,
}

impl FloatCutter {
    pub(super) fn new(keep_starts: bool) -> Self {
        Self {
            keep_starts,
            open: Run::default(),
            data: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn push<E>(
        &mut self,
        samples: &Run,
        range: Range<usize>,
        sink: &mut impl FnMut(EncodedChunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let starts = match samples.start_timestamps.get(range.clone()) {
            Some(starts) if self.keep_starts => starts,
            _ => &[],
        };
        let mut rest = Columns {
            timestamps: &samples.timestamps[range.clone()],
            values: &samples.values[range],
            starts,
        };
        if !self.open.is_empty() {
            let missing = (SAMPLES_PER_CHUNK - self.open.len()).min(rest.timestamps.len());
            self.keep(rest.split_off_front(missing));
            if self.open.len() == SAMPLES_PER_CHUNK {
                self.finish(sink)?;
            }
        }
        while rest.timestamps.len() >= SAMPLES_PER_CHUNK {
            encode(rest.split_off_front(SAMPLES_PER_CHUNK), &mut self.data, sink)?;
        }
        self.keep(rest);
        Ok(())
    }

    /// Gives what is left as a chunk of its own.
    pub(super) fn finish<E>(&mut self, sink: &mut impl FnMut(EncodedChunk<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.open.is_empty() {
            return Ok(());
        }
        let columns = Columns {
            timestamps: &self.open.timestamps,
            values: &self.open.values,
            starts: &self.open.start_timestamps,
        };
        encode(columns, &mut self.data, sink)?;
        self.open.clear();
        Ok(())
    }

    fn keep(&mut self, columns: Columns<'_>) {
        if !columns.starts.is_empty() && self.open.start_timestamps.is_empty() {
            self.open.start_timestamps.resize(self.open.len(), 0);
        }
        self.open.timestamps.extend_from_slice(columns.timestamps);
        self.open.values.extend_from_slice(columns.values);
        if !columns.starts.is_empty() {
            self.open.start_timestamps.extend_from_slice(columns.starts);
        } else if !self.open.start_timestamps.is_empty() {
            self.open.start_timestamps.resize(self.open.timestamps.len(), 0);
        }
    }
}

/// Consecutive samples; start timestamps are as many, or none.
#[derive(Debug, Clone, Copy)]
struct Columns<'a> {
    timestamps: &'a [i64],
    values: &'a [f64],
    starts: &'a [i64],
}

impl Columns<'_> {
    /// Takes the first `count` samples away.
    fn split_off_front(&mut self, count: usize) -> Self {
        let front = Self {
            timestamps: &self.timestamps[..count],
            values: &self.values[..count],
            starts: &self.starts[..count.min(self.starts.len())],
        };
        self.timestamps = &self.timestamps[count..];
        self.values = &self.values[count..];
        self.starts = &self.starts[count.min(self.starts.len())..];
        front
    }
}

fn encode<E>(
    columns: Columns<'_>,
    data: &mut Vec<u8>,
    sink: &mut impl FnMut(EncodedChunk<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Columns {
        timestamps,
        values,
        starts,
    } = columns;
    data.clear();
    let encoding = if starts.iter().any(|&start| start != 0) {
        xor2::encode(timestamps, values, starts, data);
        Encoding::Xor2
    } else {
        xor::encode(timestamps, values, data);
        Encoding::Xor
    };
    sink(EncodedChunk {
        encoding,
        min_time: timestamps[0],
        max_time: timestamps[timestamps.len() - 1],
        samples: timestamps.len(),
        custom_buckets: false,
        data,
    })
}
