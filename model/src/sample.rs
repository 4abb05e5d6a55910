//! One float sample, and how a stale marker is told.

/// The exact bits of Prometheus' stale marker (`model/value/value.go`): a signalling NaN, so arithmetic would destroy it.
pub const STALE_MARKER_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the stale marker; compared by bits, because every NaN is unequal to every NaN.
#[must_use]
pub fn is_stale_marker(value: f64) -> bool {
    value.to_bits() == STALE_MARKER_BITS
}

/// One float sample of a series. Values are moved and compared by bits and never computed with.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since 1970, UTC; may be negative.
    pub timestamp: i64,
    /// The value, NaN payloads included.
    pub value: f64,
    /// When the counter behind the sample started, milliseconds since 1970; 0 means not known.
    pub start_timestamp: i64,
}

/// Equality of bits: `-0 != 0`, and a NaN equals itself.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp
            && self.value.to_bits() == other.value.to_bits()
            && self.start_timestamp == other.start_timestamp
    }
}

impl Eq for Sample {}
