//! A float sample as both versions of remote write carry it.
//!
//! Plain data, so that this crate depends on none of ours. Its value must only ever be copied: arithmetic would quiet a stale marker.

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
