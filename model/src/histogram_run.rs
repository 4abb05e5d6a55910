//! The histograms of one series as columns, each in canonical bytes: a few hundred bytes of buckets cost no allocation of their own.
//!
//! What [`Run`](crate::Run) is for floats. Settled when its timestamps rise strictly; only settled runs may be written or sent.

use std::ops::Range;

use crate::histogram::NotCanonical;
use crate::{Histogram, TimeRange, order};

/// Native histograms of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramRun {
    timestamps: Vec<i64>,
    start_timestamps: Vec<i64>,
    /// Canonical bytes, one after the other.
    bodies: Vec<u8>,
    /// Where each body ends.
    ends: Vec<usize>,
}

/// One histogram of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramRow<'a> {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Milliseconds since 1970; 0 = not known.
    pub start_timestamp: i64,
    /// Canonical bytes of the histogram.
    pub canonical: &'a [u8],
}

impl HistogramRow<'_> {
    /// Decodes into a histogram, keeping its memory.
    ///
    /// # Panics
    /// Never for a row of a run, which takes canonical bytes only.
    pub fn decode_into(&self, histogram: &mut Histogram) {
        histogram
            .decode(self.canonical)
            .expect("a run holds canonical bytes only");
    }

    /// The histogram.
    #[must_use]
    pub fn histogram(&self) -> Histogram {
        let mut histogram = Histogram::default();
        self.decode_into(&mut histogram);
        histogram
    }
}

impl HistogramRun {
    /// Number of histograms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Milliseconds since 1970, one for each histogram.
    #[must_use]
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// Forgets the histograms, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.start_timestamps.clear();
        self.bodies.clear();
        self.ends.clear();
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let columns = self.timestamps.capacity() + self.start_timestamps.capacity() + self.ends.capacity();
        columns * 8 + self.bodies.capacity()
    }

    /// Adds a histogram at the end, in any order.
    ///
    /// # Panics
    /// When its spans and buckets differ in number: [`Histogram::validate`] comes first.
    pub fn push(&mut self, timestamp: i64, start_timestamp: i64, histogram: &Histogram) {
        histogram.encode(&mut self.bodies);
        self.close(timestamp, start_timestamp);
    }

    /// Adds a histogram given as canonical bytes from outside, after checking them.
    ///
    /// # Errors
    /// When the bytes are not canonical; nothing is added then.
    pub fn push_canonical(
        &mut self,
        timestamp: i64,
        start_timestamp: i64,
        canonical: &[u8],
    ) -> Result<(), NotCanonical> {
        Histogram::from_canonical(canonical)?;
        self.push_row(HistogramRow {
            timestamp,
            start_timestamp,
            canonical,
        });
        Ok(())
    }

    /// Adds a row of another run.
    pub fn push_row(&mut self, row: HistogramRow<'_>) {
        self.bodies.extend_from_slice(row.canonical);
        self.close(row.timestamp, row.start_timestamp);
    }

    fn close(&mut self, timestamp: i64, start_timestamp: i64) {
        self.timestamps.push(timestamp);
        self.start_timestamps.push(start_timestamp);
        self.ends.push(self.bodies.len());
    }

    /// Adds rows of another run at the end.
    ///
    /// # Panics
    /// When the other run has no such rows.
    pub fn append(&mut self, other: &HistogramRun, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let (from, base) = (other.body(rows.start).start, self.bodies.len());
        self.timestamps.extend_from_slice(&other.timestamps[rows.clone()]);
        self.start_timestamps
            .extend_from_slice(&other.start_timestamps[rows.clone()]);
        self.bodies
            .extend_from_slice(&other.bodies[from..other.ends[rows.end - 1]]);
        self.ends.extend(other.ends[rows].iter().map(|end| end - from + base));
    }

    /// The histogram at position `i`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn row(&self, i: usize) -> HistogramRow<'_> {
        HistogramRow {
            timestamp: self.timestamps[i],
            start_timestamp: self.start_timestamps[i],
            canonical: &self.bodies[self.body(i)],
        }
    }

    /// All histograms in their present order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = HistogramRow<'_>> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Whether the timestamps rise strictly.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.timestamps.is_sorted_by(|a, b| a < b)
    }

    /// Sorts by time and keeps one histogram for each timestamp, by the total order. Equal rows are one.
    /// Returns how many lost against a different one (conflicts, to be counted).
    pub fn settle(&mut self) -> u64 {
        if self.is_settled() {
            return 0;
        }
        let mut rows: Vec<HistogramRow<'_>> = self.iter().collect();
        rows.sort_by(|a, b| {
            a.timestamp
                .cmp(&b.timestamp)
                .then_with(|| order::prefer_histogram(b, a))
        });
        let mut settled = HistogramRun::default();
        let mut conflicts = 0;
        let mut before: Option<HistogramRow<'_>> = None;
        for row in rows {
            match before {
                Some(before) if before.timestamp == row.timestamp => conflicts += u64::from(before != row),
                _ => settled.push_row(row),
            }
            before = Some(row);
        }
        *self = settled;
        conflicts
    }

    /// Keeps the histograms of a settled run that lie in the range.
    pub fn retain_range(&mut self, range: TimeRange) {
        let end = self.timestamps.partition_point(|&t| t < range.end);
        let start = self.timestamps.partition_point(|&t| t < range.start).min(end);
        if start > 0 || end < self.len() {
            let mut kept = HistogramRun::default();
            kept.append(self, start..end);
            *self = kept;
        }
    }

    fn body(&self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        start..self.ends[i]
    }
}

#[cfg(test)]
pub(crate) mod tests;
