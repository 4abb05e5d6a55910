//! Integers of a column back into the floats that they stand for.
//!
//! The other direction of [`decimal`](super::decimal), many at a time: the conversion of a 64-bit integer and the division are written so
//! that the compiler can make several of them at once also where processors have no instruction for the first. Must give, bit for bit,
//! what `integer as f64 / power` gives.

/// 1.5 * 2^52: the bits of a float that is near to it count up with its integer.
const OFFSET: f64 = 6_755_399_441_055_744.0;
/// Below this the sum has the same exponent as the offset.
const NEAR: i64 = 1 << 51;

/// Appends the floats of integers, divided by a power of ten.
pub(super) fn append_floats(integers: &[i64], power: f64, out: &mut Vec<f64>) {
    let far = |all: u64, &integer: &i64| all | integer.wrapping_add(NEAR).cast_unsigned();
    let are_near = integers.iter().fold(0, far) < 2 * NEAR.cast_unsigned();
    let near = |integer: i64| f64::from_bits(OFFSET.to_bits().wrapping_add_signed(integer)) - OFFSET;
    match (are_near, power == 1.0) {
        (true, true) => out.extend(integers.iter().map(|&integer| near(integer))),
        (true, false) => out.extend(integers.iter().map(|&integer| near(integer) / power)),
        (false, _) => out.extend(integers.iter().map(|&integer| integer as f64 / power)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decimal;
    use super::*;

    proptest! {
        #[test]
        fn each_is_what_the_division_gives(
            integers in prop::collection::vec(prop_oneof![
                4 => -1_000_000_i64..1_000_000,
                2 => -NEAR..NEAR,
                1 => prop::sample::select(vec![0, NEAR, NEAR - 1, -NEAR, -NEAR - 1, i64::MIN, i64::MAX, decimal::MAX_UNSCALED]),
                1 => any::<i64>(),
            ], 0..40),
            scale in 0..=15_i8,
        ) {
            let power = decimal::power(scale).unwrap_or(1.0);
            for length in [1, 3, integers.len()] {
                let mut found = Vec::new();
                append_floats(&integers[..length.min(integers.len())], power, &mut found);
                let found: Vec<u64> = found.into_iter().map(f64::to_bits).collect();
                let expected: Vec<u64> = integers.iter().take(length).map(|&i| (i as f64 / power).to_bits()).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
