//! Exemplars: single observations, with labels such as a trace id, kept beside the samples of a series.
//!
//! They are a set: equal ones are one, and any number may share a timestamp. There is no conflict among them.

use std::cmp::Ordering;

use crate::{Labels, TimeRange};

/// One exemplar of a series. Ordered by time, then bits of the value, then labels.
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The observed value, NaN payloads included.
    pub value: f64,
    /// Its own labels, not those of the series; may be none.
    pub labels: Labels,
}

impl Ord for Exemplar {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |e: &Self| (e.timestamp, e.value.to_bits());
        key(self).cmp(&key(other)).then_with(|| self.labels.cmp(&other.labels))
    }
}

impl PartialOrd for Exemplar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Equality of bits: `-0 != 0`, and a NaN equals itself.
impl PartialEq for Exemplar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Exemplar {}

/// The exemplars of one series. Settled when they rise strictly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExemplarRun {
    exemplars: Vec<Exemplar>,
}

impl ExemplarRun {
    /// Number of exemplars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exemplars.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exemplars.is_empty()
    }

    /// Forgets the exemplars, keeps the memory of the list.
    pub fn clear(&mut self) {
        self.exemplars.clear();
    }

    /// Bytes held on the heap; labels count for each exemplar that names them.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let labels = |e: &Exemplar| e.labels.as_bytes().len() + 2 * size_of::<usize>();
        self.exemplars.capacity() * size_of::<Exemplar>() + self.exemplars.iter().map(labels).sum::<usize>()
    }

    /// Adds an exemplar at the end, in any order.
    pub fn push(&mut self, exemplar: Exemplar) {
        self.exemplars.push(exemplar);
    }

    /// The exemplars in their present order.
    #[must_use]
    pub fn as_slice(&self) -> &[Exemplar] {
        &self.exemplars
    }

    /// Adds all exemplars of another run at the end.
    pub fn append(&mut self, other: &ExemplarRun) {
        self.exemplars.extend_from_slice(&other.exemplars);
    }

    /// Whether the exemplars rise strictly.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.exemplars.is_sorted_by(|a, b| a < b)
    }

    /// Sorts, and keeps one of equal ones.
    pub fn settle(&mut self) {
        if !self.is_settled() {
            self.exemplars.sort_unstable();
            self.exemplars.dedup();
        }
    }

    /// Keeps the exemplars that lie in the range.
    pub fn retain_range(&mut self, range: TimeRange) {
        self.exemplars.retain(|exemplar| range.contains(exemplar.timestamp));
    }
}

impl FromIterator<Exemplar> for ExemplarRun {
    fn from_iter<I: IntoIterator<Item = Exemplar>>(exemplars: I) -> Self {
        Self {
            exemplars: exemplars.into_iter().collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
