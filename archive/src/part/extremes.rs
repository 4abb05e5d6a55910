//! The least and the greatest of many integers: what statistics say of a page, and what decides how wide its differences are.
//!
//! Integers of 64 bits can be compared two at a time by few processors, floats by all of them. Nearly all numbers here are small enough to be
//! the fraction of a float, whose order is theirs; where one is not, they are compared as what they are. Must say what `min` and `max` say.

/// Numbers that are compared at once.
const LANES: usize = 8;

/// Bits of 1.5 * 2^52. A number of less than 2^51 in magnitude that is added to them changes the fraction alone, and a greater one gives a
/// greater float.
const MIDDLE: u64 = 0x4338_0000_0000_0000;

/// Sign and exponent of [`MIDDLE`].
const HEAD: u64 = 0x433;

/// Bits of a fraction.
const FRACTION: u32 = 52;

/// The least and the greatest number; none of nothing.
pub(super) fn extremes(numbers: &[i64]) -> Option<[i64; 2]> {
    let first = *numbers.first()?;
    let of_all = |numbers: &[i64], found: [i64; 2]| {
        let wider = |[least, greatest]: [i64; 2], &number: &i64| [number.min(least), number.max(greatest)];
        numbers.iter().fold(found, wider)
    };
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let found = match small(chunks) {
        Some(found) => found,
        None => of_all(chunks.as_flattened(), [first; 2]),
    };
    Some(of_all(rest, found))
}

/// The same of numbers that are all small; none when one is not, and of nothing.
#[inline]
fn small(chunks: &[[i64; LANES]]) -> Option<[i64; 2]> {
    let floats = |chunk: &[i64; LANES]| chunk.map(|number| MIDDLE.wrapping_add(number.cast_unsigned()));
    let first = floats(chunks.first()?).map(f64::from_bits);
    let (mut least, mut greatest, mut heads) = (first, first, [0_u64; LANES]);
    for chunk in chunks {
        let lanes = least.iter_mut().zip(&mut greatest).zip(&mut heads);
        for (((least, greatest), head), bits) in lanes.zip(floats(chunk)) {
            let float = f64::from_bits(bits);
            // Not the methods of floats: of what is no number they say something else than one instruction does.
            *least = if float < *least { float } else { *least };
            *greatest = if float > *greatest { float } else { *greatest };
            *head |= bits ^ (HEAD << FRACTION);
        }
    }
    let is_small = heads.iter().fold(0, |all, head| all | head) >> FRACTION == 0;
    let number = |float: f64| float.to_bits().wrapping_sub(MIDDLE).cast_signed();
    is_small.then(|| {
        let least = least
            .iter()
            .fold(least[0], |all, &one| if one < all { one } else { all });
        let greatest = greatest
            .iter()
            .fold(greatest[0], |all, &one| if one > all { one } else { all });
        [number(least), number(greatest)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = i64> {
        const EDGE: i64 = 1 << 51;
        prop_oneof![
            20 => -1000_i64..1000,
            20 => -EDGE..EDGE,
            1 => prop::sample::select(vec![-EDGE - 1, -EDGE, EDGE - 1, EDGE, EDGE + 1, i64::MIN, i64::MAX]),
            1 => any::<i64>(),
        ]
    }

    proptest! {
        #[test]
        fn they_are_the_least_and_the_greatest(numbers in prop::collection::vec(number(), 0..100)) {
            let expected = numbers.iter().min().zip(numbers.iter().max());
            prop_assert_eq!(extremes(&numbers), expected.map(|(&least, &greatest)| [least, greatest]));
        }

        #[test]
        fn small_ones_are_compared_as_floats(numbers in prop::collection::vec(-(1_i64 << 51)..(1_i64 << 51), 8..100)) {
            prop_assert!(small(numbers.as_chunks::<LANES>().0).is_some());
        }
    }
}
