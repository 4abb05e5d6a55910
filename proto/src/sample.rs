//! Float samples as both versions of remote write carry them.
//!
//! Plain data, so that this crate depends on none of ours. A value must only ever be copied: arithmetic would quiet a stale marker.

/// One float sample.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Milliseconds since the epoch; 0 and negative times are valid.
    pub timestamp: i64,
    /// The value, bit for bit.
    pub value: f64,
    /// When the counter started, in milliseconds since the epoch; 0 when unset, always so in remote write 1.0.
    pub start_timestamp: i64,
}

impl PartialEq for Sample {
    /// By the bits of the value: a stale marker equals itself and no other NaN, -0 is not 0.
    fn eq(&self, other: &Self) -> bool {
        let bits = |sample: &Self| (sample.timestamp, sample.value.to_bits(), sample.start_timestamp);
        bits(self) == bits(other)
    }
}

impl Eq for Sample {}

/// The samples of many entries, column by column.
#[derive(Debug, Clone, Default)]
pub struct SampleColumns {
    /// As [`Sample::timestamp`].
    pub timestamps: Vec<i64>,
    /// As [`Sample::value`].
    pub values: Vec<f64>,
    /// As [`Sample::start_timestamp`]; empty when none is set.
    pub start_timestamps: Vec<i64>,
}

impl SampleColumns {
    /// Number of samples.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Adds one behind the others.
    #[inline]
    pub fn push(&mut self, sample: Sample) {
        if sample.start_timestamp != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
            self.start_timestamps.push(sample.start_timestamp);
        }
        self.timestamps.push(sample.timestamp);
        self.values.push(sample.value);
    }

    /// Keeps the first `len`.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.timestamps.truncate(len);
        self.values.truncate(len);
        self.start_timestamps.truncate(len);
    }

    /// The sample at position `i`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn sample(&self, i: usize) -> Sample {
        Sample {
            timestamp: self.timestamps[i],
            value: self.values[i],
            start_timestamp: self.start_timestamps.get(i).copied().unwrap_or(0),
        }
    }

    /// Bytes that the samples take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.timestamps.len() + self.values.len() + self.start_timestamps.len()) * 8
    }
}
