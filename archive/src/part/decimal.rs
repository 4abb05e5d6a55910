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
    // From 2^52 on a float is an integer already, and adding a half would move odd ones to their neighbour.
    let rounded = if shifted.abs() < 4_503_599_627_370_496.0 {
        shifted + 0.5_f64.copysign(shifted)
    } else {
        shifted
    };
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
    let mut scale = 0;
    let mut largest = 0.0_f64;
    for &value in values {
        if unscaled(value, scale).is_none() {
            match smallest_scale(value, scale + 1) {
                // A value without a scale, or one too large for more digits than the run has now.
                None if !value.is_finite() || smallest_scale(value, 0).is_none() => continue,
                None => {}
                Some(larger) => scale = larger,
            }
        }
        largest = largest.max(value.abs());
    }
    if largest * POWERS[usize::from(scale)] <= MAX_UNSCALED as f64 {
        return scale;
    }
    let served = |scale: u8| values.iter().filter(|&&value| unscaled(value, scale).is_some()).count();
    (0..=MAX_SCALE).rev().max_by_key(|&scale| served(scale)).unwrap_or(0)
}

/// The smallest scale from `from` on that is exact for the value.
///
/// A scale that is exact stays exact with more digits as long as the integer fits. So a look at the two largest scales that fit
/// refuses a value without a decimal in two steps; two, because at the largest the rounding of the product may hide one.
fn smallest_scale(value: f64, from: u8) -> Option<u8> {
    if !value.is_finite() || from > MAX_SCALE {
        return None;
    }
    let magnitude = value.abs();
    let fitting = POWERS.partition_point(|power| magnitude * power <= MAX_UNSCALED as f64);
    let largest = u8::try_from(fitting.checked_sub(1)?).expect("there are 16 powers");
    let refused = |scale: u8| scale < from || unscaled(value, scale).is_none();
    if largest < from || (refused(largest) && largest.checked_sub(1).is_none_or(refused)) {
        return None;
    }
    (from..=largest).find(|&scale| unscaled(value, scale).is_some())
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
