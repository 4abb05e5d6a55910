//! Whether two parts stand at the same series, without putting its labels together.
//!
//! Each part has numbers of its own for the texts of labels. Flush after flush has the same series, so numbers of one that were found to mean
//! the same as numbers of another are remembered: two series are then compared number by number. Texts are compared by their bytes before
//! anything is remembered of them, so the answer never rests on a hash.

use super::label_texts::Texts;
use super::series_slice::{Dictionaries, SeriesSlice};

/// Series in a row that are compared with another dictionary before that becomes the one of which numbers are remembered.
const STRANGE: u32 = 32;

/// Not known yet.
const UNKNOWN: u32 = u32::MAX;

/// What numbers of one part mean in another, as far as it is known.
#[derive(Debug, Default)]
pub struct LabelTranslation {
    /// Dictionaries of the part and of the other.
    between: [u64; 2],
    names: Vec<u32>,
    values: Vec<u32>,
    /// Series in a row that came from other dictionaries.
    strange: u32,
    relation: Relation,
}

/// How two dictionaries stand to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Relation {
    #[default]
    Different,
    /// Byte for byte the same: so are series that have the same numbers of them.
    Same,
}

impl LabelTranslation {
    /// How many rows, from one of each slice on and at most `most`, have the same labels as their counterparts. Both slices have so many, with
    /// numbers of labels; the first ones are known to be the same.
    pub(super) fn same_rows(
        &mut self,
        (own, own_slice, own_row): (&Dictionaries, &SeriesSlice, usize),
        (other, other_slice, other_row): (&Dictionaries, &SeriesSlice, usize),
        most: usize,
    ) -> usize {
        let is_same_numbering = self.between == [own.number(), other.number()]
            && self.relation == Relation::Same
            && own.is_whole()
            && other.is_whole();
        let stretches = [own_row..own_row + most, other_row..other_row + most];
        if is_same_numbering && own_slice.has_same_numbers(stretches[0].clone(), other_slice, stretches[1].clone()) {
            return most;
        }
        let mut is_same = |i: &usize| {
            let numbers = own_slice.label_numbers(own_row + i);
            let others = other_slice.label_numbers(other_row + i);
            match (numbers, others) {
                (Some(numbers), Some(others)) => self.is_same((own, numbers), (other, others)),
                _ => false,
            }
        };
        1 + (1..most).take_while(|i| is_same(i)).count()
    }

    /// Whether labels are the same. Each is given by the numbers of its names and values, which its dictionaries have.
    pub(super) fn is_same(&mut self, own: (&Dictionaries, [&[u32]; 2]), other: (&Dictionaries, [&[u32]; 2])) -> bool {
        let ((own, own_labels), (other, other_labels)) = (own, other);
        if own_labels[0].len() != other_labels[0].len() {
            return false;
        }
        let ([own_names, own_values], [other_names, other_values]) = (own.texts(), other.texts());
        let (names, values) = ([own_names, other_names], [own_values, other_values]);
        if self.between != [own.number(), other.number()] {
            self.strange += 1;
            if self.between != [0, 0] && self.strange < STRANGE {
                return is_same(&mut [], values, 0, [own_labels[1], other_labels[1]])
                    && is_same(&mut [], names, 0, [own_labels[0], other_labels[0]]);
            }
            for (known, count) in [&mut self.names, &mut self.values].into_iter().zip(own.counts()) {
                known.clear();
                known.resize(count, UNKNOWN);
            }
            self.between = [own.number(), other.number()];
            self.relation = match own.are_as(other) {
                true => Relation::Same,
                false => Relation::Different,
            };
        }
        self.strange = 0;
        // Numbers of one page mean something else in another.
        if self.relation == Relation::Same && own.is_whole() && other.is_whole() {
            return own_labels == other_labels;
        }
        let [most_names, most_values] = other.counts();
        is_same(&mut self.values, values, most_values, [own_labels[1], other_labels[1]])
            && is_same(&mut self.names, names, most_names, [own_labels[0], other_labels[0]])
    }
}

/// `known` has the numbers of the other dictionary that are known, by number of the own one; those from `most` on are of a page, and mean
/// something else on the next.
fn is_same(
    known: &mut [u32],
    [own, other]: [&Texts; 2],
    most: usize,
    [own_numbers, other_numbers]: [&[u32]; 2],
) -> bool {
    own_numbers.iter().zip(other_numbers).all(|(&a, &b)| {
        let known = known.get_mut(a as usize);
        if known.as_ref().is_some_and(|known| **known == b) {
            return true;
        }
        let is_same = own.is_same(a, other, b);
        if let (true, Some(known)) = (is_same && (b as usize) < most, known) {
            *known = b;
        }
        is_same
    })
}
