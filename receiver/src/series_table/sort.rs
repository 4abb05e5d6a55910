//! Sorting the series of a flush by their labels.
//!
//! Label sets of one archive share long beginnings, and a comparison of two of them costs as much as the beginning that they share. So the
//! labels are sorted as strings are by a radix sort: eight bytes at a time, and what is equal in a group is not looked at again. It must
//! give exactly the order of [`Region`], which is that of Prometheus.

use super::region::Region;

/// Groups up to here are sorted by comparison.
const SMALL: usize = 12;

/// A series on its way into the order of parts; `T` says where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sortee<'a, T> {
    pub(super) region: Region<'a>,
    pub(super) at: T,
    /// The eight bytes that are compared now.
    key: u64,
}

impl<'a, T> Sortee<'a, T> {
    pub(super) fn new(region: Region<'a>, at: T) -> Self {
        Self { region, at, key: 0 }
    }

    fn rest(&self, from: usize) -> Region<'a> {
        Region(&self.region.0[from..])
    }
}

/// Series that are equal up to a place: `offset` bytes of the region, which end with a label, and `within` bytes of the next label's name
/// and value, each of them with a zero behind it.
struct Group {
    from: usize,
    to: usize,
    offset: usize,
    within: usize,
}

/// Sorts series by labels.
pub(super) fn sort<T: Copy>(all: &mut [Sortee<'_, T>]) {
    // A zero is less than every byte of a string, and ends it here. A string that has one itself is compared.
    if all.iter().any(|series| series.region.0.contains(&0)) {
        all.sort_unstable_by(|a, b| a.region.cmp(&b.region));
        return;
    }
    // Not by recursion: how deep it would go, a sender could choose.
    let mut groups = vec![Group {
        from: 0,
        to: all.len(),
        offset: 0,
        within: 0,
    }];
    while let Some(group) = groups.pop() {
        let series = &mut all[group.from..group.to];
        if series.len() <= SMALL {
            series.sort_unstable_by(|a, b| a.rest(group.offset).cmp(&b.rest(group.offset)));
        } else {
            split(series, &group, &mut groups);
        }
    }
}

/// Sorts a group by its next eight bytes, and puts what is still equal on the list.
fn split<T: Copy>(series: &mut [Sortee<'_, T>], group: &Group, groups: &mut Vec<Group>) {
    let (mut offset, mut within) = (group.offset, group.within);
    while within == 0
        && let Some((label, _)) = series[0].rest(offset).split_label()
        && series.iter().all(|other| other.region.0[offset..].starts_with(label))
    {
        offset += label.len();
    }
    for one in series.iter_mut() {
        one.key = chunk(one.rest(offset), within);
    }
    series.sort_unstable_by_key(|one| one.key);
    let mut from = group.from;
    for equal in series.chunk_by(|a, b| a.key == b.key) {
        let to = from + equal.len();
        // Those without a further label are equal altogether.
        if equal.len() > 1
            && let Some((label, (name, value))) = equal[0].rest(offset).split_label()
        {
            within = group.within * usize::from(offset == group.offset) + 8;
            let is_over = within >= name.len() + value.len() + 2;
            groups.push(Group {
                from,
                to,
                offset: if is_over { offset + label.len() } else { offset },
                within: if is_over { 0 } else { within },
            });
        }
        from = to;
    }
}

/// Eight bytes of the first label's name and value with zeros behind each, from `within` on; zeros when there is nothing.
fn chunk(region: Region<'_>, within: usize) -> u64 {
    let Some((_, (name, value))) = region.split_label() else {
        return 0;
    };
    let mut bytes = [0; 8];
    let mut fill = 0;
    if within < name.len() {
        fill = (name.len() - within).min(8);
        bytes[..fill].copy_from_slice(&name[within..within + fill]);
    }
    // One zero behind the name.
    let of_value = (within + fill).max(name.len() + 1) - (name.len() + 1);
    let skipped = (name.len() + 1).saturating_sub(within);
    if skipped < 8 && of_value < value.len() {
        let len = (value.len() - of_value).min(8 - skipped);
        bytes[skipped..skipped + len].copy_from_slice(&value[of_value..of_value + len]);
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use emberkeep_model::Labels;
    use proptest::prelude::*;

    use super::super::region;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Labels with common beginnings, prefixes of each other, equal ones, long ones, and zeros.
        #[test]
        fn the_order_is_that_of_labels(
            sets in proptest::collection::vec(
                proptest::collection::btree_map("(longer_name_)?[ab]{1,9}", "(a_common_beginning_of_)?[ab]{1,10}(\u{0}|b)?", 0..4), 0..120),
            copies in 1_usize..3,
        ) {
            let labels: Vec<Labels> = sets.iter().cycle().take(sets.len() * copies)
                .map(|set| Labels::from_pairs(set.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()).collect();
            let regions: Vec<Vec<u8>> = labels.iter().map(|labels| {
                let mut bytes = Vec::new();
                region::encode(labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())), &mut bytes);
                bytes
            }).collect();
            let mut sorted: Vec<_> = regions.iter().enumerate().map(|(i, bytes)| Sortee::new(Region(bytes), i)).collect();
            sort(&mut sorted);
            let mut expected = labels.clone();
            expected.sort();
            let found: Vec<_> = sorted.iter().map(|one| labels[one.at].clone()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
