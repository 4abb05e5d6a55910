//! The least and the greatest of many integers: what statistics say of a page, and what decides how wide its differences are.
//!
//! One fold over both, which takes a comparison and a move for each. That is faster than two numbers at a time as the fractions of floats, by
//! half and more: the instruction for the lesser of two floats is not what a compiler makes of a comparison of theirs.

/// The least and the greatest number; none of nothing.
pub(super) fn extremes(numbers: &[i64]) -> Option<[i64; 2]> {
    let first = *numbers.first()?;
    let wider = |[least, greatest]: [i64; 2], &number: &i64| [number.min(least), number.max(greatest)];
    Some(numbers.iter().fold([first; 2], wider))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_the_least_and_the_greatest(numbers in prop::collection::vec(any::<i64>(), 0..100)) {
            let expected = numbers.iter().min().zip(numbers.iter().max());
            prop_assert_eq!(extremes(&numbers), expected.map(|(&least, &greatest)| [least, greatest]));
        }
    }
}
