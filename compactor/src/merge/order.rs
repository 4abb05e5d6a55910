//! Which inputs come next: the cursors of a merge in the order of the series that they stand at.
//!
//! Flush after flush holds the same series, so what stood at one series nearly always stands at one series again. Cursors are therefore
//! kept in groups of the same labels, and a cursor that goes on is compared with its siblings first, which is one comparison of bytes.
//! Only what differs is looked for among the groups.

use emberkeep_model::canonical_order;

/// Cursors by the labels of their series.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The group that comes first is the last; labels of any two groups differ.
    groups: Vec<Vec<usize>>,
    /// Empty ones, for their memory.
    spare: Vec<Vec<usize>>,
}

impl Groups {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The cursor whose labels stand for those of the group that comes first.
    pub(super) fn leader(&self) -> Option<usize> {
        self.groups.last()?.first().copied()
    }

    /// Adds a cursor that stands at the same labels as the leader.
    pub(super) fn join_leader(&mut self, cursor: usize) {
        if let Some(first) = self.groups.last_mut() {
            first.push(cursor);
        }
    }

    /// Adds a cursor that was not there, or was taken. `labels` gives the canonical bytes that a cursor stands at; of those that are there
    /// they have not changed.
    pub(super) fn add<'l>(&mut self, cursor: usize, labels: impl Fn(usize) -> &'l [u8]) {
        let own = labels(cursor);
        // Siblings that went on before it stand at the front.
        if let Some(first) = self.groups.last_mut()
            && labels(first[0]) == own
        {
            return first.push(cursor);
        }
        let found = self
            .groups
            .binary_search_by(|group| canonical_order(labels(group[0]), own).reverse());
        match found {
            Ok(at) => self.groups[at].push(cursor),
            Err(at) => {
                let mut group = self.spare.pop().unwrap_or_default();
                group.push(cursor);
                self.groups.insert(at, group);
            }
        }
    }

    /// Takes the cursors that stand at the least labels, the one whose labels were compared before the others; false when there are none.
    pub(super) fn take_first(&mut self, out: &mut Vec<usize>) -> bool {
        out.clear();
        let Some(mut group) = self.groups.pop() else {
            return false;
        };
        out.append(&mut group);
        self.spare.push(group);
        true
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use emberkeep_model::Labels;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn series_come_once_each_in_order_with_all_cursors_that_have_them(
            inputs in prop::collection::vec(prop::collection::btree_set(0_u32..40, 0..20), 0..8),
        ) {
            let of = |number: u32| {
                let value = format!("{}", number % 7).repeat(1 + number as usize % 3);
                Labels::from_pairs([("n", format!("{number:02}").as_str()), ("v", value.as_str())]).unwrap()
            };
            let mut expected: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
            let mut all: Vec<Vec<Labels>> = Vec::new();
            for (i, input) in inputs.iter().enumerate() {
                let mut labels: Vec<Labels> = input.iter().map(|&number| of(number)).collect();
                labels.sort();
                for labels in &labels {
                    expected.entry(labels.clone()).or_default().push(i);
                }
                all.push(labels);
            }
            let mut at = vec![0; all.len()];
            let mut groups = Groups::default();
            for i in (0..all.len()).filter(|&i| !all[i].is_empty()) {
                groups.add(i, |i| all[i][at[i]].as_bytes());
            }
            let (mut found, mut group) = (Vec::new(), Vec::new());
            while groups.take_first(&mut group) {
                group.sort_unstable();
                found.push((all[group[0]][at[group[0]]].clone(), group.clone()));
                for &i in &group {
                    at[i] += 1;
                    if at[i] < all[i].len() {
                        groups.add(i, |i| all[i][at[i]].as_bytes());
                    }
                }
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
