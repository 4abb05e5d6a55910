//! Label sets of a page of the series table, as canonical bytes, without a text or a set of its own for any of them.
//!
//! Texts lie one behind the other as the canonical bytes of a label set have them, so a set is put together by copying; and what a series
//! has in common with the one before it, which is most of it, is copied from there at once. Nothing here may give bytes that
//! `Labels::from_canonical` would refuse: whatever is not in order gives `None`.

use std::cmp::Ordering;
use std::ops::Range;

use super::varint::put_uvarint;

/// Texts of a dictionary, or of a page: names or values.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Each with its length before it.
    bytes: Vec<u8>,
    texts: Vec<Text>,
}

/// Where a text lies.
#[derive(Debug, Clone, Copy)]
struct Text {
    /// With its length.
    start: u32,
    /// Without.
    content: u32,
    end: u32,
}

impl Texts {
    /// Appends the texts of a page or dictionary, PLAIN: none is empty, each is UTF-8.
    pub(super) fn add(&mut self, mut plain: &[u8], count: usize) -> Option<()> {
        let is_ascii = plain.is_ascii();
        let before = self.texts.len();
        while !plain.is_empty() {
            let (length, rest) = plain.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            plain = rest;
            // Lengths have zeros in them, so what is ASCII as a whole is so in each part.
            if text.is_empty() || !(is_ascii || std::str::from_utf8(text).is_ok()) {
                return None;
            }
            let start = u32::try_from(self.bytes.len()).ok()?;
            put_uvarint(&mut self.bytes, text.len() as u64);
            let content = u32::try_from(self.bytes.len()).ok()?;
            self.bytes.extend_from_slice(text);
            let end = u32::try_from(self.bytes.len()).ok()?;
            self.texts.push(Text { start, content, end });
        }
        (self.texts.len() - before == count).then_some(())
    }

    /// Number of texts.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The first ones with their lengths, which say where each ends.
    pub(super) fn first(&self, count: usize) -> &[u8] {
        let end = count.checked_sub(1).and_then(|last| self.texts.get(last));
        &self.bytes[..end.map_or(0, |last| last.end as usize)]
    }

    /// Forgets all but the first ones.
    pub(super) fn truncate(&mut self, count: usize) {
        self.texts.truncate(count);
        self.bytes
            .truncate(self.texts.last().map_or(0, |text| text.end as usize));
    }

    /// Whether a text is the same as one of others; false when one is not there.
    pub(super) fn is_same(&self, own: u32, others: &Self, other: u32) -> bool {
        match (self.text(own), others.text(other)) {
            (Some(own), Some(other)) => self.content(own) == others.content(other),
            _ => false,
        }
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.texts.capacity() * size_of::<Text>()
    }

    /// The number of a text; none when it is not there.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let found = self.texts.iter().position(|&place| self.content(place) == text);
        found.and_then(|number| u32::try_from(number).ok())
    }

    /// The text of a number; none when there is no such.
    pub(super) fn get(&self, number: u32) -> Option<&[u8]> {
        self.text(number).map(|text| self.content(text))
    }

    /// With its length.
    fn coded(&self, text: Text) -> &[u8] {
        &self.bytes[text.start as usize..text.end as usize]
    }

    fn content(&self, text: Text) -> &[u8] {
        &self.bytes[text.content as usize..text.end as usize]
    }

    fn text(&self, number: u32) -> Option<Text> {
        self.texts.get(usize::try_from(number).ok()?).copied()
    }
}

/// Label sets one behind the other.
#[derive(Debug, Default)]
pub(super) struct LabelSets {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Whether each comes after the one before it, in the order of labels.
    rises: Vec<bool>,
}

impl LabelSets {
    /// Number of sets.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.rises.clear();
    }

    /// Canonical bytes of a set.
    pub(super) fn set(&self, number: usize) -> &[u8] {
        let start = match number.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    /// Whether a set is known to come after the one before it.
    pub(super) fn rises(&self, number: usize) -> bool {
        self.rises[number]
    }

    /// Appends a set that was put together elsewhere.
    pub(super) fn push(&mut self, canonical: &[u8]) -> Option<()> {
        self.bytes.extend_from_slice(canonical);
        self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        self.rises.push(false);
        Some(())
    }

    /// Appends the sets of a page. `names` and `values` are numbers of texts by label, `starts` the first label of each set.
    pub(super) fn add(
        &mut self,
        [name_texts, value_texts]: [&Texts; 2],
        [names, values]: [&[u32]; 2],
        starts: &[u32],
    ) -> Option<()> {
        (names.len() == values.len()).then_some(())?;
        // Where each label of the set before begins, and of the set at work.
        let (mut places, mut own): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut last = 0..0;
        for (i, &start) in starts.iter().enumerate() {
            let end = starts.get(i + 1).map_or(names.len(), |&end| end as usize);
            let labels = start as usize..end;
            let (of_names, of_values) = (names.get(labels.clone())?, values.get(labels.clone())?);
            let (last_names, last_values) = (&names[last.clone()], &values[last.clone()]);
            own.clear();
            let mut shared_from = None;
            for (place, (&name, &value)) in of_names.iter().zip(of_values).enumerate() {
                if last_names.get(place) == Some(&name) && last_values[place] == value {
                    // Behind what is still to be copied.
                    let pending = shared_from.map_or(0, |from: usize| places[place] - places[from]);
                    own.push(self.bytes.len() + pending);
                    shared_from = shared_from.or(Some(place));
                    continue;
                }
                if let Some(from) = shared_from.take() {
                    self.bytes.extend_from_within(places[from]..places[place]);
                }
                own.push(self.bytes.len());
                self.bytes.extend_from_slice(name_texts.coded(name_texts.text(name)?));
                self.bytes
                    .extend_from_slice(value_texts.coded(value_texts.text(value)?));
            }
            if let Some(from) = shared_from {
                self.bytes.extend_from_within(places[from]..places[of_names.len()]);
            }
            own.push(self.bytes.len());
            if of_names != last_names {
                names_rise(name_texts, of_names)?;
            }
            let order = order([name_texts, value_texts], [names, values], [&last, &labels])?;
            self.rises.push(i > 0 && order == Ordering::Less);
            self.ends.push(u32::try_from(self.bytes.len()).ok()?);
            std::mem::swap(&mut places, &mut own);
            last = labels;
        }
        Some(())
    }
}

/// Looks at the sets of a page without putting them together: what [`LabelSets::add`] would refuse gives `None`. Appends whether each comes
/// after the one before it.
pub(super) fn check(texts: [&Texts; 2], numbers: [&[u32]; 2], starts: &[u32], rises: &mut Vec<bool>) -> Option<()> {
    let [names, values] = numbers;
    (names.len() == values.len()).then_some(())?;
    for (texts, numbers) in texts.into_iter().zip(numbers) {
        let greatest = numbers.iter().copied().fold(0, u32::max);
        (numbers.is_empty() || (greatest as usize) < texts.len()).then_some(())?;
    }
    let mut last = 0..0;
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(names.len(), |&end| end as usize);
        let labels = start as usize..end;
        let of_names = names.get(labels.clone())?;
        if *of_names != names[last.clone()] {
            names_rise(texts[0], of_names)?;
        }
        let order = order(texts, numbers, [&last, &labels])?;
        rises.push(i > 0 && order == Ordering::Less);
        last = labels;
    }
    Some(())
}

/// Appends the canonical bytes of a set whose numbers were checked.
pub(super) fn put([name_texts, value_texts]: [&Texts; 2], [names, values]: [&[u32]; 2], out: &mut Vec<u8>) {
    for (&name, &value) in names.iter().zip(values) {
        for (texts, number) in [(name_texts, name), (value_texts, value)] {
            let text = texts.text(number).expect("it was checked");
            out.extend_from_slice(texts.coded(text));
        }
    }
}

/// Names of a label set come in their order, each once.
fn names_rise(texts: &Texts, names: &[u32]) -> Option<()> {
    let content = |number: u32| Some(texts.content(texts.text(number)?));
    for pair in names.windows(2) {
        (content(pair[0])? < content(pair[1])?).then_some(())?;
    }
    Some(())
}

/// The order of two sets.
fn order(
    [name_texts, value_texts]: [&Texts; 2],
    [names, values]: [&[u32]; 2],
    [a, b]: [&Range<usize>; 2],
) -> Option<Ordering> {
    for (a, b) in a.clone().zip(b.clone()) {
        if names[a] != names[b] {
            let [a, b] = [names[a], names[b]].map(|number| name_texts.text(number));
            match name_texts.content(a?).cmp(name_texts.content(b?)) {
                Ordering::Equal => {}
                order => return Some(order),
            }
        }
        if values[a] != values[b] {
            let [a, b] = [values[a], values[b]].map(|number| value_texts.text(number));
            match value_texts.content(a?).cmp(value_texts.content(b?)) {
                Ordering::Equal => {}
                order => return Some(order),
            }
        }
    }
    Some(a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use emberkeep_model::Labels;
    use proptest::prelude::*;

    use super::*;

    fn plain(texts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in texts {
            super::super::run_column::put_text(&mut bytes, text.as_bytes());
        }
        bytes
    }

    fn texts(of: &[&str]) -> Texts {
        let mut texts = Texts::default();
        texts.add(&plain(of), of.len()).unwrap();
        texts
    }

    proptest! {
        #[test]
        fn sets_are_those_of_their_pairs_and_their_order_is_known(
            sets in prop::collection::vec(prop::collection::btree_map(0_u32..6, 0_u32..6, 1..6), 1..40),
        ) {
            // Every text twice: other numbers are not other texts.
            let names = ["a", "b", "c", "a", "b", "c"];
            let values = ["x", "é", "xx", "x", "é", "xx"];
            let sets: Vec<BTreeMap<&str, (u32, u32)>> = sets
                .iter()
                .map(|set| set.iter().map(|(&name, &value)| (names[name as usize], (name, value))).collect())
                .collect();
            let (mut of_names, mut of_values, mut starts, mut expected) = (vec![], vec![], vec![], vec![]);
            for set in &sets {
                starts.push(of_names.len() as u32);
                of_names.extend(set.values().map(|(name, _)| *name));
                of_values.extend(set.values().map(|(_, value)| *value));
                let pairs = set.iter().map(|(name, (_, value))| (*name, values[*value as usize]));
                expected.push(Labels::from_pairs(pairs).unwrap());
            }
            let mut found = LabelSets::default();
            found.push(b"").unwrap();
            found.add([&texts(&names), &texts(&values)], [&of_names, &of_values], &starts).unwrap();
            prop_assert_eq!(found.len(), 1 + expected.len());
            let mut rises = Vec::new();
            check([&texts(&names), &texts(&values)], [&of_names, &of_values], &starts, &mut rises).unwrap();
            prop_assert_eq!(&rises[..], &(1..found.len()).map(|i| found.rises(i)).collect::<Vec<_>>()[..]);
            for (i, labels) in expected.iter().enumerate() {
                prop_assert_eq!(found.set(i + 1), labels.as_bytes());
                prop_assert_eq!(found.rises(i + 1), i > 0 && expected[i - 1] < *labels);
                let rows = starts[i] as usize..starts.get(i + 1).map_or(of_names.len(), |&end| end as usize);
                let mut put_together = Vec::new();
                let numbers = [&of_names[rows.clone()], &of_values[rows]];
                put([&texts(&names), &texts(&values)], numbers, &mut put_together);
                prop_assert_eq!(&put_together[..], labels.as_bytes());
            }
        }
    }

    #[test]
    fn what_no_label_set_has_is_refused() {
        assert!(Texts::default().add(&plain(&["a", ""]), 2).is_none());
        assert!(Texts::default().add(&plain(&["a"]), 2).is_none());
        assert!(Texts::default().add(&[1, 0, 0, 0, 0xff], 1).is_none());
        // One character, cut in two.
        assert!(Texts::default().add(&[1, 0, 0, 0, 0xc3, 1, 0, 0, 0, 0xa9], 2).is_none());
        assert!(Texts::default().add(&[255, 255, 255, 255, 1], 1).is_none());
        let (names, values) = (texts(&["a", "b"]), texts(&["x"]));
        let add = |of_names: &[u32], of_values: &[u32]| {
            let added = LabelSets::default().add([&names, &values], [of_names, of_values], &[0]);
            let checked = check([&names, &values], [of_names, of_values], &[0], &mut Vec::new());
            assert_eq!(added, checked);
            added
        };
        assert!(add(&[0, 1], &[0, 0]).is_some());
        assert!(add(&[1, 0], &[0, 0]).is_none(), "names do not rise");
        assert!(add(&[0, 0], &[0, 0]).is_none(), "a name twice");
        assert!(add(&[0, 2], &[0, 0]).is_none(), "no such text");
        assert!(add(&[0, 1], &[0, 9]).is_none(), "no such text");
        assert!(add(&[0, 1], &[0]).is_none(), "a name without a value");
    }
}
