//! Whether stretches of two slices have the same numbers of labels, compared as a whole.
//!
//! Beside the slice because only its columns are looked at. What the numbers mean is for who calls: they must be of the same dictionaries.

use std::ops::Range;

use super::{Labelling, SeriesSlice};

impl SeriesSlice {
    /// Whether rows have the same numbers of names and values as those of another slice, and as many; of labels that were not put together at
    /// once.
    pub(in crate::part) fn has_same_numbers(&self, rows: Range<usize>, other: &Self, others: Range<usize>) -> bool {
        let (Some(own), Some(other)) = (self.stretch(&rows), other.stretch(&others)) else {
            return false;
        };
        let first = [own.0.first(), other.0.first()].map(|start| start.copied().unwrap_or_default());
        let pairs = own.0.iter().zip(other.0);
        // Without an early end, so that several are compared at once.
        let difference = pairs.fold(0, |all, (a, b)| all | ((a - first[0]) ^ (b - first[1])));
        own.0.len() == other.0.len() && difference == 0 && own.1 == other.1 && own.2 == other.2
    }

    /// Where the labels of some rows begin, and the numbers of their names and values.
    fn stretch(&self, rows: &Range<usize>) -> Option<(&[u32], &[u32], &[u32])> {
        let starts = self.starts.get(rows.clone()).filter(|starts| !starts.is_empty())?;
        let end = self.starts.get(rows.end).map_or(self.names.len(), |&end| end as usize);
        let labels = starts[0] as usize..end;
        let is_lazy = self.labelling == Labelling::Lazy;
        is_lazy.then(|| (starts, &self.names[labels.clone()], &self.values[labels]))
    }
}
