//! Label values without which no series of a page can match, looked for before any label set of the page is put together.
//!
//! A matcher `name="value"` holds only for series that have the value; whether under that name is judged later. Most pages of a selective
//! query have none of them, and of those only the values are taken apart. It must never pass over a page that has a series that matches.

use emberkeep_model::{MatchOp, Matcher};

use super::hybrid::take_indices;
use super::label_texts::Texts;
use super::page_filter::{PageFilter, value_hash};
use super::page_header::PageEncoding;

/// The values that all series of a query have.
#[derive(Debug, Default)]
pub(super) struct Needles {
    needles: Vec<Needle>,
    /// The row group whose dictionary was searched.
    row_group: Option<usize>,
    indices: Vec<u32>,
    hashes: Vec<u64>,
    /// Where in the page the first of them was found.
    places: Vec<u32>,
}

#[derive(Debug)]
struct Needle {
    text: Box<[u8]>,
    hash: u64,
    /// Its number in the dictionary at hand.
    number: Option<u32>,
    is_found: bool,
}

/// What was seen of a page.
#[derive(Debug)]
pub(super) struct Seen {
    /// Whether all values that are looked for are there.
    pub(super) may_match: bool,
    /// What the page holds, when that was asked for.
    pub(super) filter: Option<PageFilter>,
}

/// Whether all values of a page are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filtering {
    Wanted,
    Unwanted,
}

impl Needles {
    /// Of the matchers of a query. One for an empty value holds for series without the label, too.
    pub(super) fn of(matchers: &[Matcher]) -> Self {
        let equal = matchers.iter().filter(|matcher| matcher.op() == MatchOp::Equal);
        let values = equal.map(|matcher| matcher.value()).filter(|value| !value.is_empty());
        Self {
            needles: values
                .map(|value| Needle {
                    text: value.as_bytes().into(),
                    hash: value_hash(value.as_bytes()),
                    number: None,
                    is_found: false,
                })
                .collect(),
            ..Self::default()
        }
    }

    /// Without any, every page may match.
    pub(super) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Where in the page looked at last the first value is: at these labels, counted over all series. All series that match have one.
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    /// Whether a page with this filter may match.
    pub(super) fn pass(&self, filter: &PageFilter) -> bool {
        self.needles.iter().all(|needle| filter.may_hold(needle.hash))
    }

    /// Looks through the values of a page of some rows, behind its levels. `None` when they are not what they should be.
    pub(super) fn look(
        &mut self,
        (encoding, content, count): (PageEncoding, &[u8], usize),
        (dictionary, row_group): (&Texts, usize),
        rows: usize,
        filtering: Filtering,
    ) -> Option<Seen> {
        self.needles.iter_mut().for_each(|needle| needle.is_found = false);
        self.hashes.clear();
        self.places.clear();
        // In most pages all series have the same labels, so the value of the label in the series before is so many values back. That only
        // saves work: a value that is noted twice does no harm.
        let stride = count / rows.max(1);
        match encoding {
            PageEncoding::Plain => self.look_at_texts(content, count, stride, filtering)?,
            PageEncoding::Indices => {
                self.look_at_numbers(content, count, stride, (dictionary, row_group), filtering)?
            }
            PageEncoding::Delta => return None,
        }
        Some(Seen {
            may_match: self.needles.iter().all(|needle| needle.is_found),
            filter: (filtering == Filtering::Wanted).then(|| PageFilter::new(&self.hashes)),
        })
    }

    fn look_at_texts(&mut self, content: &[u8], count: usize, stride: usize, filtering: Filtering) -> Option<()> {
        let mut before: Vec<&[u8]> = Vec::new();
        before.resize(stride.max(1), &[]);
        let (mut rest, mut seen, mut place) = (content, 0_u32, 0);
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (text, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            rest = behind;
            for (number, needle) in self.needles.iter_mut().enumerate() {
                if *needle.text == *text {
                    needle.is_found = true;
                    if number == 0 {
                        self.places.push(seen);
                    }
                }
            }
            seen += 1;
            if filtering == Filtering::Wanted {
                if before[place] != text {
                    self.hashes.push(value_hash(text));
                    before[place] = text;
                }
                place = if place + 1 == before.len() { 0 } else { place + 1 };
            }
        }
        (rest.is_empty() && seen as usize == count).then_some(())
    }

    fn look_at_numbers(
        &mut self,
        content: &[u8],
        count: usize,
        stride: usize,
        (dictionary, row_group): (&Texts, usize),
        filtering: Filtering,
    ) -> Option<()> {
        if self.row_group != Some(row_group) {
            for needle in &mut self.needles {
                needle.number = dictionary.find(&needle.text);
            }
            self.row_group = Some(row_group);
        }
        self.indices.clear();
        take_indices(content, count, &mut self.indices)?;
        for needle in &mut self.needles {
            needle.is_found = needle.number.is_some_and(|number| self.indices.contains(&number));
        }
        if self.needles.iter().all(|needle| needle.is_found) {
            let first = self.needles.first().and_then(|needle| needle.number);
            let places = (0_u32..)
                .zip(&self.indices)
                .filter(|(_, number)| Some(**number) == first);
            self.places.extend(places.map(|(place, _)| place));
        }
        if filtering == Filtering::Wanted {
            for (at, &number) in self.indices.iter().enumerate() {
                let before = at.checked_sub(stride).and_then(|before| self.indices.get(before));
                if stride == 0 || before != Some(&number) {
                    self.hashes.push(value_hash(dictionary.get(number)?));
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn needles(values: &[&str]) -> Needles {
        let matchers = values.iter().map(|value| Matcher::new("any", MatchOp::Equal, *value));
        Needles::of(&matchers.collect::<Result<Vec<_>, _>>().unwrap())
    }

    proptest! {
        #[test]
        fn what_is_in_a_page_is_found_and_remembered(
            values in prop::collection::vec("[ab]{1,3}", 1..60),
            wanted in prop::collection::vec("[ab]{0,3}", 0..3),
            rows in 1_usize..9,
        ) {
            let mut plain = Vec::new();
            for value in &values {
                super::super::run_column::put_text(&mut plain, value.as_bytes());
            }
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let mut needles = needles(&wanted);
            let none = Texts::default();
            let page = (PageEncoding::Plain, &*plain, values.len());
            let seen = needles.look(page, (&none, 0), rows, Filtering::Wanted).unwrap();
            let holds = |value: &str| values.iter().any(|held| held == value);
            let expected = wanted.iter().all(|value| value.is_empty() || holds(value));
            prop_assert_eq!(seen.may_match, expected);
            prop_assert!(needles.pass(&seen.filter.unwrap()) || !expected);
            let short = (PageEncoding::Plain, &*plain, values.len() + 1);
            prop_assert!(needles.look(short, (&none, 0), rows, Filtering::Unwanted).is_none());
        }
    }

    #[test]
    fn other_operators_ask_for_no_value() {
        let matcher = |op, value| Matcher::new("a", op, value).unwrap();
        let matchers = [
            matcher(MatchOp::NotEqual, "x"),
            matcher(MatchOp::Regex, "x"),
            matcher(MatchOp::Equal, ""),
        ];
        assert!(Needles::of(&matchers).is_empty());
    }
}
