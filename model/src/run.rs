//! A run: the samples of one series as columns.
//!
//! The form in which samples move between head, parts, merge and encoders. A run is *settled* when its timestamps rise strictly;
//! only settled runs may be written or sent.

use std::ops::Range;

use crate::{Sample, TimeRange, UNSET_START_TIMESTAMP, order};

/// Samples of one series, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// Milliseconds since 1970.
    pub timestamps: Vec<i64>,
    /// Values, one for each timestamp.
    pub values: Vec<f64>,
    /// Start timestamps, 0 = unset; empty when none is set, which is the common case and costs nothing.
    pub start_timestamps: Vec<i64>,
}

impl Run {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.start_timestamps.clear();
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        (self.timestamps.capacity() + self.values.capacity() + self.start_timestamps.capacity()) * 8
    }

    /// Adds a sample at the end, in any order.
    pub fn push(&mut self, sample: Sample) {
        if sample.start_timestamp != 0 && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        if sample.start_timestamp != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.push(sample.start_timestamp);
        }
        self.timestamps.push(sample.timestamp);
        self.values.push(sample.value);
    }

    /// Adds all samples of another run at the end.
    pub fn append(&mut self, other: &Run) {
        if !other.start_timestamps.is_empty() && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        self.timestamps.extend_from_slice(&other.timestamps);
        self.values.extend_from_slice(&other.values);
        if !self.start_timestamps.is_empty() || !other.start_timestamps.is_empty() {
            self.start_timestamps.extend_from_slice(&other.start_timestamps);
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
    }

    /// Adds some samples of another run at the end.
    ///
    /// # Panics
    /// When it has not so many.
    pub fn append_rows(&mut self, other: &Run, rows: Range<usize>) {
        let before = self.len();
        self.timestamps.extend_from_slice(&other.timestamps[rows.clone()]);
        self.values.extend_from_slice(&other.values[rows.clone()]);
        let starts = other.start_timestamps.get(rows).unwrap_or_default();
        if starts.iter().any(|&start| start != UNSET_START_TIMESTAMP) {
            self.start_timestamps.resize(before, UNSET_START_TIMESTAMP);
            self.start_timestamps.extend_from_slice(starts);
        } else if !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.len(), UNSET_START_TIMESTAMP);
        }
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

    /// All samples in their present order.
    pub fn iter(&self) -> impl Iterator<Item = Sample> {
        (0..self.len()).map(|i| self.sample(i))
    }

    /// Whether the timestamps rise strictly.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.timestamps.is_sorted_by(|a, b| a < b)
    }

    /// Sorts by time and keeps one sample for each timestamp, by the total order. Equal rows are one.
    /// Returns how many samples lost against a different one (conflicts, to be counted).
    pub fn settle(&mut self) -> u64 {
        if self.is_settled() {
            return 0;
        }
        let mut samples: Vec<Sample> = self.iter().collect();
        samples.sort_by(|a, b| a.timestamp.cmp(&b.timestamp).then_with(|| order::prefer(b, a)));
        self.clear();
        let mut conflicts = 0;
        let mut before: Option<Sample> = None;
        for sample in samples {
            match self.timestamps.last() {
                Some(&last) if last == sample.timestamp => conflicts += u64::from(before != Some(sample)),
                _ => self.push(sample),
            }
            before = Some(sample);
        }
        conflicts
    }

    /// Keeps the samples of a settled run that lie in the range.
    pub fn retain_range(&mut self, range: TimeRange) {
        let end = self.timestamps.partition_point(|&t| t < range.end);
        let start = self.timestamps.partition_point(|&t| t < range.start).min(end);
        for column in [&mut self.timestamps, &mut self.start_timestamps] {
            column.truncate(end);
            column.drain(..start.min(column.len()));
        }
        self.values.truncate(end);
        self.values.drain(..start);
        if self.start_timestamps.iter().all(|&t| t == 0) {
            self.start_timestamps.clear();
        }
    }
}

impl FromIterator<Sample> for Run {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        let mut run = Run::default();
        for sample in samples {
            run.push(sample);
        }
        run
    }
}

#[cfg(test)]
mod tests;
