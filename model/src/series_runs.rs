//! Everything of one series that has a time: floats, histograms and exemplars.
//!
//! Floats and histograms share one time line: a timestamp has one of them, chosen by the total order. Exemplars stand beside it.

use crate::{Exemplar, ExemplarRun, HistogramRun, Run, TimeRange, canonical_is_stale, is_stale_marker};

/// The rows of one series, by kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesRuns {
    /// Float samples.
    pub samples: Run,
    /// Native histograms.
    pub histograms: HistogramRun,
    /// Exemplars.
    pub exemplars: ExemplarRun,
}

impl SeriesRuns {
    /// Whether there is nothing of any kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows of all kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len() + self.histograms.len() + self.exemplars.len()
    }

    /// Forgets the rows, keeps the memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.samples.heap_bytes() + self.histograms.heap_bytes() + self.exemplars.heap_bytes()
    }

    /// Adds all rows of another at the end.
    pub fn append(&mut self, other: &SeriesRuns) {
        self.samples.append(&other.samples);
        self.histograms.append(&other.histograms, 0..other.histograms.len());
        self.exemplars.append(&other.exemplars);
    }

    /// Oldest and newest timestamp of any kind, of settled rows.
    #[must_use]
    pub fn time_span(&self) -> Option<(i64, i64)> {
        let ends = |times: &[i64]| Some((*times.first()?, *times.last()?));
        let exemplars = self.exemplars.as_slice();
        let of_exemplars = |e: &[Exemplar]| Some((e.first()?.timestamp, e.last()?.timestamp));
        [
            ends(&self.samples.timestamps),
            ends(self.histograms.timestamps()),
            of_exemplars(exemplars),
        ]
        .into_iter()
        .flatten()
        .reduce(|(min, max), (first, last)| (min.min(first), max.max(last)))
    }

    /// Whether every kind is settled and no timestamp has both a float and a histogram.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.samples.is_settled()
            && self.histograms.is_settled()
            && self.exemplars.is_settled()
            && shared(&self.samples.timestamps, self.histograms.timestamps())
                .next()
                .is_none()
    }

    /// Sorts every kind, and keeps one float or histogram for each timestamp by the total order (DESIGN §4).
    /// Returns how many rows lost against a different one (conflicts, to be counted).
    pub fn settle(&mut self) -> u64 {
        self.exemplars.settle();
        let conflicts = self.samples.settle() + self.histograms.settle();
        conflicts + self.settle_across()
    }

    /// Of two settled kinds: where they share a timestamp, a stale marker loses, then the histogram.
    fn settle_across(&mut self) -> u64 {
        if self.samples.is_empty() || self.histograms.is_empty() {
            return 0;
        }
        let (mut lost_samples, mut lost_histograms) = (Vec::new(), Vec::new());
        for (sample, histogram) in shared(&self.samples.timestamps, self.histograms.timestamps()) {
            let float_is_stale = is_stale_marker(self.samples.values[sample]);
            let histogram_is_stale = canonical_is_stale(self.histograms.row(histogram).canonical);
            if float_is_stale && !histogram_is_stale {
                lost_samples.push(sample);
            } else {
                lost_histograms.push(histogram);
            }
        }
        if !lost_samples.is_empty() {
            self.samples = kept(self.samples.len(), &lost_samples)
                .map(|i| self.samples.sample(i))
                .collect();
        }
        if !lost_histograms.is_empty() {
            let mut histograms = HistogramRun::default();
            for i in kept(self.histograms.len(), &lost_histograms) {
                histograms.push_row(self.histograms.row(i));
            }
            self.histograms = histograms;
        }
        (lost_samples.len() + lost_histograms.len()) as u64
    }

    /// Keeps the rows of settled kinds that lie in the range.
    pub fn retain_range(&mut self, range: TimeRange) {
        self.samples.retain_range(range);
        self.histograms.retain_range(range);
        self.exemplars.retain_range(range);
    }

    /// Takes the rows of settled kinds that lie in the range out.
    pub fn remove_range(&mut self, range: TimeRange) {
        let overlaps = |(first, last)| range.overlaps(first, last);
        if range.is_empty() || !self.time_span().is_some_and(overlaps) {
            return;
        }
        let mut behind = self.clone();
        behind.retain_range(TimeRange {
            start: range.end,
            end: i64::MAX,
        });
        self.retain_range(TimeRange {
            start: i64::MIN,
            end: range.start,
        });
        self.append(&behind);
    }
}

/// Positions that are not in the rising list `lost`.
fn kept(len: usize, lost: &[usize]) -> impl Iterator<Item = usize> {
    let mut lost = lost.iter().copied().peekable();
    (0..len).filter(move |&i| lost.next_if_eq(&i).is_none())
}

/// Positions of equal timestamps in two strictly rising lists.
fn shared<'a>(left: &'a [i64], right: &'a [i64]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let (mut l, mut r) = (0, 0);
    std::iter::from_fn(move || {
        while let (Some(&a), Some(&b)) = (left.get(l), right.get(r)) {
            match a.cmp(&b) {
                std::cmp::Ordering::Less => l += 1,
                std::cmp::Ordering::Greater => r += 1,
                std::cmp::Ordering::Equal => {
                    (l, r) = (l + 1, r + 1);
                    return Some((l - 1, r - 1));
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests;
