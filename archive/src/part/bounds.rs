//! The least and the greatest value of a page or a column chunk, as statistics and page indexes have them.

use parquet::basic::Type;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::extremes::extremes;

/// Texts are cut to so many bytes, as the parquet crate does.
const TEXT_BYTES: usize = 64;

/// Bounds of values of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Bounds {
    /// There is no value.
    #[default]
    Nothing,
    /// Of integers.
    Numbers(i64, i64),
    /// Of texts; cut ones are still bounds.
    Texts(Vec<u8>, Vec<u8>),
}

impl Bounds {
    pub(super) fn of_numbers(numbers: &[i64]) -> Self {
        match extremes(numbers) {
            Some([least, greatest]) => Self::Numbers(least, greatest),
            None => Self::Nothing,
        }
    }

    pub(super) fn add_number(&mut self, number: i64) {
        match self {
            Self::Numbers(least, greatest) => {
                *least = number.min(*least);
                *greatest = number.max(*greatest);
            }
            _ => *self = Self::Numbers(number, number),
        }
    }

    pub(super) fn add_text(&mut self, text: &[u8]) {
        match self {
            Self::Texts(least, greatest) => {
                if text < least.as_slice() {
                    text.clone_into(least);
                }
                if text > greatest.as_slice() {
                    text.clone_into(greatest);
                }
            }
            _ => *self = Self::Texts(text.to_owned(), text.to_owned()),
        }
    }

    /// Bounds of both.
    pub(super) fn join(&mut self, other: &Self) {
        match other {
            Self::Nothing => {}
            Self::Numbers(least, greatest) => {
                self.add_number(*least);
                self.add_number(*greatest);
            }
            Self::Texts(least, greatest) => {
                self.add_text(least);
                self.add_text(greatest);
            }
        }
    }

    /// Whether neither bound is above that of `next`; true when one has no values.
    pub(super) fn does_not_fall_to(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Numbers(a, b), Self::Numbers(c, d)) => a <= c && b <= d,
            (Self::Texts(a, b), Self::Texts(c, d)) => a <= c && b <= d,
            _ => true,
        }
    }

    /// Both bounds as the column index has them.
    pub(super) fn to_bytes(&self, of: Type) -> (Vec<u8>, Vec<u8>) {
        let number = |number: i64| match of {
            Type::INT32 => (number as i32).to_le_bytes().to_vec(),
            _ => number.to_le_bytes().to_vec(),
        };
        match self {
            Self::Nothing => (Vec::new(), Vec::new()),
            Self::Numbers(least, greatest) => (number(*least), number(*greatest)),
            Self::Texts(least, greatest) => (cut(least).to_vec(), cut_above(greatest)),
        }
    }

    /// Statistics of a chunk of a column of this type.
    pub(super) fn statistics(&self, of: Type, nulls: u64) -> Statistics {
        let numbers = match self {
            Self::Numbers(least, greatest) => Some((*least, *greatest)),
            _ => None,
        };
        let (least, greatest) = numbers.unzip();
        match of {
            Type::BYTE_ARRAY => {
                let (least, greatest) = match self {
                    Self::Texts(least, greatest) => (Some(least), Some(greatest)),
                    _ => (None, None),
                };
                let is_whole = |text: Option<&Vec<u8>>| text.is_none_or(|text| text.len() <= TEXT_BYTES);
                let statistics = ValueStatistics::<ByteArray>::new(
                    least.map(|text| cut(text).to_vec().into()),
                    greatest.map(|text| cut_above(text).into()),
                    None,
                    Some(nulls),
                    false,
                );
                let statistics = statistics.with_min_is_exact(is_whole(least));
                Statistics::ByteArray(statistics.with_max_is_exact(is_whole(greatest)))
            }
            Type::INT32 => {
                let [least, greatest] = [least, greatest].map(|number| number.map(|number| number as i32));
                let statistics = ValueStatistics::<i32>::new(least, greatest, None, Some(nulls), false);
                Statistics::Int32(statistics.with_backwards_compatible_min_max(true))
            }
            _ => {
                let statistics = ValueStatistics::<i64>::new(least, greatest, None, Some(nulls), false);
                Statistics::Int64(statistics.with_backwards_compatible_min_max(true))
            }
        }
    }
}

/// The beginning of a text: not above it.
fn cut(text: &[u8]) -> &[u8] {
    let mut end = text.len().min(TEXT_BYTES);
    // A character begins with anything but 10xxxxxx.
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    &text[..end]
}

/// A short text that is not below a long one; the text itself when there is none.
fn cut_above(text: &[u8]) -> Vec<u8> {
    if text.len() <= TEXT_BYTES {
        return text.to_vec();
    }
    let mut characters: Vec<char> = std::str::from_utf8(cut(text)).unwrap_or_default().chars().collect();
    while let Some(last) = characters.pop() {
        // Behind the last character before the surrogates comes the first after them.
        if let Some(next) = (last as u32 + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            characters.push(next);
            return characters.into_iter().collect::<String>().into_bytes();
        }
    }
    text.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_a_bound() {
        for text in [
            "a".repeat(100),
            format!("{}é{}", "b".repeat(63), "c".repeat(9)),
            "\u{10ffff}".repeat(30),
        ] {
            let mut bounds = Bounds::default();
            bounds.add_text(text.as_bytes());
            let (least, greatest) = bounds.to_bytes(Type::BYTE_ARRAY);
            assert!(least.as_slice() <= text.as_bytes() && least.len() <= TEXT_BYTES);
            assert!(greatest.as_slice() >= text.as_bytes());
            assert!(std::str::from_utf8(&least).is_ok() && std::str::from_utf8(&greatest).is_ok());
        }
        let mut bounds = Bounds::default();
        bounds.add_text(&[b'a'; 100]);
        assert_eq!(
            bounds.to_bytes(Type::BYTE_ARRAY).1.len(),
            TEXT_BYTES,
            "the greatest is short as well"
        );
    }

    #[test]
    fn bounds_are_joined_and_compared() {
        let mut bounds = Bounds::of_numbers(&[5, -3, 9]);
        assert_eq!(bounds, Bounds::Numbers(-3, 9));
        bounds.join(&Bounds::Nothing);
        bounds.join(&Bounds::of_numbers(&[10]));
        assert_eq!(bounds, Bounds::Numbers(-3, 10));
        assert!(bounds.does_not_fall_to(&Bounds::Numbers(-3, 11)));
        assert!(!bounds.does_not_fall_to(&Bounds::Numbers(-4, 11)));
        assert_eq!(Bounds::of_numbers(&[]), Bounds::Nothing);
    }
}
