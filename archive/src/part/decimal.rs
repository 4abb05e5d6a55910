//! The value codec: floats of metrics are nearly always short decimals, so a value is stored as `unscaled / 10^scale` where
//! that gives back its exact bits, and as it is where not (DESIGN §4).
//!
//! The decision is made bit for bit: every stored pair was divided and compared. So the codec cannot be lossy; a value that it
//! fails to recognise merely costs more bytes.

/// The largest scale.
pub const MAX_SCALE: u8 = 15;

/// The largest magnitude of an unscaled value, 2^53: up to here every integer is a float.
pub const MAX_UNSCALED: i64 = 1 << 53;

/// 10^0 to 10^15; all of them are exact floats.
const POWERS: [f64; MAX_SCALE as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// Values that are looked at together.
pub(super) const BLOCK: usize = 8;

/// The largest magnitude of an integer of [`all_unscaled`].
pub(super) const MOST_IN_BLOCK: u64 = 1 << 51;

/// 1.5 * 2^52: a float of up to 2^51 that is added to it loses its fraction, and the sum's bits count up with the integer.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// The value of a stored pair; `None` for a scale that no writer of ours uses.
#[must_use]
pub fn decode(unscaled: i64, scale: i8) -> Option<f64> {
    Some(unscaled as f64 / power(scale)?)
}

/// 10^scale, the divisor of every value with that scale.
#[must_use]
pub fn power(scale: i8) -> Option<f64> {
    POWERS.get(usize::try_from(scale).ok()?).copied()
}

/// The integer that gives the exact bits of `value` when divided by `10^scale`; `None` when there is none (NaN, infinities and
/// -0 never have one).
///
/// # Panics
/// When `scale` is larger than [`MAX_SCALE`].
#[inline]
#[must_use]
pub fn unscaled(value: f64, scale: u8) -> Option<i64> {
    let power = POWERS[usize::from(scale)];
    let shifted = value * power;
    // From 2^52 on a float is an integer already, and adding a half would move odd ones to their neighbour. Chosen without a branch: of values
    // without a decimal nobody can foresee it.
    let half = if shifted.abs() < 4_503_599_627_370_496.0 {
        0.5_f64
    } else {
        0.0
    };
    let rounded = shifted + half.copysign(shifted);
    // Saturates, and gives 0 for NaN; the comparison refuses both.
    let candidate = rounded as i64;
    let is_exact = candidate.unsigned_abs() <= MAX_UNSCALED.unsigned_abs()
        && (candidate as f64 / power).to_bits() == value.to_bits();
    is_exact.then_some(candidate)
}

/// The scale for the values of one run: the smallest that is exact for every value that has an exact one at all. When no single
/// scale can serve them all (large integers beside small fractions), the one that serves most, the smallest of those.
#[must_use]
pub fn scale_of(values: &[f64]) -> u8 {
    served_scale(values).unwrap_or(0)
}

/// What [`scale_of`] says; none when no value has an integer at any scale, so that it says 0.
pub(super) fn served_scale(values: &[f64]) -> Option<u8> {
    let mut scale = 0;
    let mut largest = 0.0_f64;
    let (mut refused, mut is_refused) = (0, false);
    for block in values.chunks(BLOCK) {
        // Behind a block of which no value has an integer there is seldom one of which all have.
        let are_all_exact = !is_refused && all_unscaled(block, scale).is_some();
        if are_all_exact {
            largest = block.iter().fold(largest, |largest, value| largest.max(value.abs()));
            continue;
        }
        let before = refused;
        for &value in block {
            if unscaled(value, scale).is_none() {
                match smallest_scale(value) {
                    None => {
                        refused += 1;
                        continue;
                    }
                    // Otherwise it is too large for more digits than the run has now.
                    Some(smallest) => scale = scale.max(smallest),
                }
            }
            largest = largest.max(value.abs());
        }
        is_refused = refused - before == block.len();
    }
    if refused == values.len() {
        return None;
    }
    if largest * POWERS[usize::from(scale)] <= MAX_UNSCALED as f64 {
        return Some(scale);
    }
    let served = |scale: u8| values.iter().filter(|&&value| unscaled(value, scale).is_some()).count();
    (0..=MAX_SCALE).rev().max_by_key(|&scale| served(scale))
}

/// Splits values into integers at this scale, which are appended, and those that have none. `place` is told in order how many have an
/// integer and which values come behind them that have none, if any.
///
/// # Panics
/// When `scale` is larger than [`MAX_SCALE`].
pub(super) fn split(values: &[f64], scale: u8, integers: &mut Vec<i64>, mut place: impl FnMut(u32, &[f64])) {
    let mut exact = 0;
    for block in values.chunks(BLOCK) {
        if let Some(all) = all_unscaled(block, scale) {
            integers.extend_from_slice(&all[..block.len()]);
            exact += block.len() as u32;
            continue;
        }
        for value in block {
            match unscaled(*value, scale) {
                Some(integer) => {
                    integers.push(integer);
                    exact += 1;
                }
                None => {
                    place(exact, std::slice::from_ref(value));
                    exact = 0;
                }
            }
        }
    }
    place(exact, &[]);
}

/// The integers of up to a block of values when all have one at this scale and none is large. Says what [`unscaled`] says of each, in
/// instructions that the compiler can make of several at once.
#[inline]
pub(super) fn all_unscaled(values: &[f64], scale: u8) -> Option<[i64; BLOCK]> {
    let mut block = [0.0; BLOCK];
    block[..values.len()].copy_from_slice(values);
    let mut integers = [0; BLOCK];
    let mut wrong = 0;
    let mut look = |multiply: &dyn Fn(f64) -> f64, divide: &dyn Fn(f64) -> f64| {
        for (integer, value) in integers.iter_mut().zip(block) {
            let shifted = multiply(value);
            let sum = shifted + ROUNDING;
            *integer = sum.to_bits().wrapping_sub(ROUNDING.to_bits()).cast_signed();
            wrong |= divide(sum - ROUNDING).to_bits() ^ value.to_bits();
            // What is too large, and NaN, which comes out of every computation as it went in.
            let is_small = shifted.abs() <= MOST_IN_BLOCK as f64;
            wrong |= u64::from(!is_small);
        }
    };
    match scale {
        0 => look(&|value| value, &|value| value),
        _ => {
            let power = POWERS[usize::from(scale)];
            look(&|value| value * power, &|value| value / power);
        }
    }
    (wrong == 0).then_some(integers)
}

/// The smallest scale that is exact for the value.
///
/// A scale that is exact stays exact with more digits as long as the integer fits. So a look at the two largest scales that fit
/// refuses a value without a decimal in two steps; two, because at the largest the rounding of the product may hide one.
pub(super) fn smallest_scale(value: f64) -> Option<u8> {
    if !value.is_finite() {
        return None;
    }
    let magnitude = value.abs();
    let fitting = POWERS.partition_point(|power| magnitude * power <= MAX_UNSCALED as f64);
    let largest = u8::try_from(fitting.checked_sub(1)?).expect("there are 16 powers");
    let refused = |scale: u8| unscaled(value, scale).is_none();
    if refused(largest) && largest.checked_sub(1).is_none_or(refused) {
        return None;
    }
    (0..=largest).find(|&scale| unscaled(value, scale).is_some())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    /// What the codec gives back for a value stored in a run with this scale.
    fn stored(value: f64, scale: u8) -> f64 {
        unscaled(value, scale).map_or(value, |u| decode(u, i8::try_from(scale).unwrap()).unwrap())
    }

    fn any_bits() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            prop::sample::select(vec![
                f64::NAN,
                f64::INFINITY,
                -0.0,
                f64::from_bits(0x7ff0_0000_0000_0002)
            ]),
            any::<i64>().prop_map(|n| n as f64),
            any::<i16>().prop_map(f64::from)
        ]
    }

    fn decimal() -> impl Strategy<Value = (f64, usize, u32)> {
        (1_u32..=17, any::<u64>(), any::<bool>()).prop_flat_map(|(digits, seed, negative)| {
            (0..=digits).prop_map(move |fraction| {
                let integer = seed % 10_u64.pow(digits);
                let sign = if negative { "-" } else { "" };
                let text = format!("{sign}{integer}e-{fraction}");
                let significant = integer.to_string().len();
                (text.parse().unwrap(), significant, fraction)
            })
        })
    }

    proptest! {
        #[test]
        fn bits_come_back_exactly(values in prop::collection::vec(any_bits(), 1..50)) {
            let scale = scale_of(&values);
            for value in values {
                prop_assert_eq!(stored(value, scale).to_bits(), value.to_bits());
            }
        }

        #[test]
        fn a_block_says_what_each_value_says(values in prop::collection::vec(prop_oneof![any_bits(), decimal().prop_map(|d| d.0)], 0..20), scale in 0..=MAX_SCALE) {
            for block in values.chunks(BLOCK) {
                let each: Option<Vec<i64>> = block.iter().map(|&value| unscaled(value, scale)).collect();
                if let Some(all) = all_unscaled(block, scale) {
                    prop_assert_eq!(Some(all[..block.len()].to_vec()), each);
                } else {
                    let is_small = |value: &f64| (value * POWERS[usize::from(scale)]).abs() <= (1_i64 << 51) as f64;
                    prop_assert!(each.is_none() || !block.iter().all(is_small), "refused {block:?} at {scale}");
                }
            }
            let (mut integers, mut order) = (Vec::new(), Vec::new());
            split(&values, scale, &mut integers, |exact, raw| {
                order.extend(std::iter::repeat_n(None, exact as usize));
                order.extend(raw.iter().map(|raw| Some(raw.to_bits())));
            });
            let expected: Vec<_> = values.iter().map(|v| unscaled(*v, scale).is_none().then_some(v.to_bits())).collect();
            prop_assert_eq!(order, expected);
            prop_assert_eq!(integers, values.iter().filter_map(|v| unscaled(*v, scale)).collect::<Vec<_>>());
        }

        #[test]
        fn a_decimal_of_up_to_15_digits_has_a_scale((value, digits, fraction) in decimal()) {
            let scale = scale_of(&[value]);
            prop_assert_eq!(stored(value, scale).to_bits(), value.to_bits());
            let is_negative_zero = value.to_bits() == (-0.0_f64).to_bits();
            if digits <= 15 && fraction <= 15 && !is_negative_zero {
                prop_assert!(u32::from(scale) <= fraction);
                prop_assert!(unscaled(value, scale).is_some(), "{value:?} at {scale}");
            }
        }

        #[test]
        fn the_scale_is_the_smallest_that_serves_all(integers in prop::collection::vec(-10_000_000_i64..10_000_000, 1..30), digits in 0_u8..7) {
            let values: Vec<f64> = integers.iter().map(|&i| i as f64 / POWERS[usize::from(digits)]).collect();
            let scale = scale_of(&values);
            prop_assert!(values.iter().all(|&v| v.to_bits() == 0 || unscaled(v, scale).is_some()));
            if scale > 0 {
                prop_assert!(values.iter().any(|&v| unscaled(v, scale - 1).is_none()));
            }
        }
    }

    #[test]
    fn integers_up_to_the_bound_are_kept_as_integers() {
        for value in [0, 1, -1, (1_i64 << 52) + 1, (1 << 53) - 1, 1 << 53, -(1 << 53)] {
            assert_eq!(unscaled(value as f64, 0), Some(value));
        }
        assert_eq!(unscaled(2.0_f64.powi(54), 0), None);
    }

    #[test]
    fn what_is_no_decimal_is_left_alone() {
        let nan = f64::from_bits(0x7ff0_0000_0000_0002);
        for value in [
            -0.0,
            f64::NAN,
            nan,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE / 2.0,
            1e300,
            1e-300,
        ] {
            assert!(
                (0..=MAX_SCALE).all(|scale| unscaled(value, scale).is_none()),
                "{value:?}"
            );
            assert_eq!(scale_of(&[0.25, value]), 2, "{value:?}");
        }
    }

    #[test]
    fn a_run_that_no_scale_serves_keeps_the_majority_short() {
        let big = (1_i64 << 53) as f64;
        assert_eq!(scale_of(&[big, 1.0, 2.0, 0.5]), 0);
        assert_eq!(scale_of(&[big, 0.25, 2.5, 0.5]), 2);
        assert_eq!(scale_of(&[0.25, 0.5, big]), 2);
    }
}
