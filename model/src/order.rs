//! The total order of rows with one series and one timestamp (DESIGN §4).
//!
//! Whoever merges, in whatever order, keeps the same row: the greatest. It must never depend on arrival. Between a float and a
//! histogram the kinds decide, stale markers last: [`crate::SeriesRuns::settle`].

use std::cmp::Ordering;

use crate::{HistogramRow, Sample, canonical_is_stale, is_stale_marker};

/// Compares two float samples of one series and timestamp; the greater one is kept.
///
/// A stale marker is the least; then the larger canonical bytes win, which for a float are its bits, big endian; then the larger start timestamp.
#[must_use]
pub fn prefer(a: &Sample, b: &Sample) -> Ordering {
    is_stale_marker(b.value)
        .cmp(&is_stale_marker(a.value))
        .then_with(|| a.value.to_bits().cmp(&b.value.to_bits()))
        .then_with(|| a.start_timestamp.cmp(&b.start_timestamp))
}

/// Compares two histograms of one series and timestamp; the greater one is kept.
///
/// A stale marker is the least; then the larger canonical bytes win, then the larger start timestamp.
#[must_use]
pub fn prefer_histogram(a: &HistogramRow<'_>, b: &HistogramRow<'_>) -> Ordering {
    canonical_is_stale(b.canonical)
        .cmp(&canonical_is_stale(a.canonical))
        .then_with(|| a.canonical.cmp(b.canonical))
        .then_with(|| a.start_timestamp.cmp(&b.start_timestamp))
}
