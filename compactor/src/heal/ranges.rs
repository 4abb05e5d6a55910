//! Sets of time: which of it is suspected, which was compared.

use emberkeep_model::TimeRange;
use serde::{Deserialize, Serialize};

/// Time as ranges that rise and neither touch nor overlap. In JSON a list of pairs, start and exclusive end in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, i64)>", into = "Vec<(i64, i64)>")]
pub struct RangeSet(Vec<TimeRange>);

impl RangeSet {
    /// One range.
    #[must_use]
    pub fn of(range: TimeRange) -> Self {
        let mut set = Self::default();
        set.insert(range);
        set
    }

    /// Adds a range.
    pub fn insert(&mut self, range: TimeRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|have| have.end < range.start);
        let to = self.0.partition_point(|have| have.start <= range.end);
        let joined = self.0[from..to].iter().fold(range, |all, have| TimeRange {
            start: all.start.min(have.start),
            end: all.end.max(have.end),
        });
        self.0.splice(from..to, [joined]);
    }

    /// Adds all of another set.
    pub fn insert_all(&mut self, other: &Self) {
        other.iter().for_each(|range| self.insert(range));
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: TimeRange) {
        if range.is_empty() {
            return;
        }
        let mut left = Vec::with_capacity(self.0.len() + 1);
        for have in &self.0 {
            let before = TimeRange {
                start: have.start,
                end: have.end.min(range.start),
            };
            let behind = TimeRange {
                start: have.start.max(range.end),
                end: have.end,
            };
            left.extend([before, behind].into_iter().filter(|rest| !rest.is_empty()));
        }
        self.0 = left;
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        other.iter().for_each(|range| left.remove(range));
        left
    }

    /// What of it lies inside a range.
    #[must_use]
    pub fn within(&self, range: TimeRange) -> Self {
        let inside = self.0.iter().map(|have| have.intersect(range));
        Self(inside.filter(|inside| !inside.is_empty()).collect())
    }

    /// Its ranges, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = TimeRange> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first moment in it.
    #[must_use]
    pub fn start(&self) -> Option<i64> {
        self.0.first().map(|range| range.start)
    }

    /// How long it is altogether, milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> i64 {
        let lengths = self.iter().map(|range| range.end.saturating_sub(range.start));
        lengths.fold(0, i64::saturating_add)
    }
}

impl From<Vec<(i64, i64)>> for RangeSet {
    fn from(pairs: Vec<(i64, i64)>) -> Self {
        let mut set = Self::default();
        pairs
            .into_iter()
            .for_each(|(start, end)| set.insert(TimeRange { start, end }));
        set
    }
}

impl From<RangeSet> for Vec<(i64, i64)> {
    fn from(set: RangeSet) -> Self {
        set.iter().map(|range| (range.start, range.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn moments(set: &RangeSet) -> BTreeSet<i64> {
        set.iter().flat_map(|range| range.start..range.end).collect()
    }

    proptest! {
        #[test]
        fn a_set_holds_what_a_set_of_moments_holds(
            steps in prop::collection::vec((any::<bool>(), 0..60_i64, 0..12_i64), 0..30),
            cut in (0..60_i64, 0..30_i64),
        ) {
            let (mut set, mut expected) = (RangeSet::default(), BTreeSet::new());
            let mut removed = RangeSet::default();
            for (adds, start, length) in steps {
                let range = TimeRange { start, end: start + length };
                if adds {
                    set.insert(range);
                    expected.extend(range.start..range.end);
                } else {
                    set.remove(range);
                    removed.insert(range);
                    expected.retain(|moment| !range.contains(*moment));
                }
                prop_assert_eq!(moments(&set), expected.clone());
                let pairs: Vec<(i64, i64)> = set.clone().into();
                prop_assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", pairs);
                prop_assert_eq!(RangeSet::from(pairs), set.clone());
            }
            let cut = TimeRange { start: cut.0, end: cut.0 + cut.1 };
            prop_assert_eq!(moments(&set.within(cut)), expected.iter().copied().filter(|at| cut.contains(*at)).collect());
            let gone = moments(&removed);
            prop_assert_eq!(moments(&set.without(&removed)), expected.difference(&gone).copied().collect());
            prop_assert_eq!(set.length_ms(), i64::try_from(expected.len()).expect("few"));
        }
    }
}
