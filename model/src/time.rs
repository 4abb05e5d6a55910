//! Time as milliseconds since 1970, UTC, and half-open ranges of it.

use std::time::SystemTime;

/// The first millisecond of the year 1. Older timestamps break every engine that would read them and are refused.
pub const MIN_TIMESTAMP: i64 = -62_135_596_800_000;

/// The start timestamp that says "not known" (remote write 2.0).
pub const UNSET_START_TIMESTAMP: i64 = 0;

/// A half-open range of time `[start, end)` in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First millisecond inside.
    pub start: i64,
    /// First millisecond after.
    pub end: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// From Prometheus' inclusive bounds. The last millisecond of `i64` cannot be a sample's, so saturation loses nothing.
    #[must_use]
    pub fn from_inclusive(first: i64, last: i64) -> Self {
        Self {
            start: first,
            end: last.saturating_add(1),
        }
    }

    /// Whether a timestamp lies inside.
    #[must_use]
    pub fn contains(&self, timestamp: i64) -> bool {
        self.start <= timestamp && timestamp < self.end
    }

    /// Whether anything of the inclusive span `first..=last` lies inside.
    #[must_use]
    pub fn overlaps(&self, first: i64, last: i64) -> bool {
        first < self.end && self.start <= last
    }

    /// The part that both ranges cover.
    #[must_use]
    pub fn intersect(&self, other: TimeRange) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }

    /// Whether no timestamp lies inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// A moment of the system clock as milliseconds since 1970.
#[must_use]
pub fn now_ms_from(moment: SystemTime) -> i64 {
    match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}
