//! Numbers as Prometheus' API writes them: Go's formats, byte for byte.
//!
//! Apart from the JSON library, because its floats look different and cannot be NaN. Nothing is rounded here.

use std::fmt::Write;

/// Appends a value as `strconv.FormatFloat(v, 'f', -1, 64)` gives it, or in exponent form where JSON encoders of Go use that.
pub(super) fn push_value(value: f64, out: &mut String) {
    let magnitude = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        push_exponent_form(value, out);
    } else {
        // Writing to a text cannot fail.
        let _ = write!(out, "{value}");
    }
}

/// Go writes the sign of an exponent always, and two digits at least.
fn push_exponent_form(value: f64, out: &mut String) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
}

/// Appends milliseconds as seconds, with three decimals unless they are all zero.
pub(super) fn push_timestamp(milliseconds: i64, out: &mut String) {
    let magnitude = milliseconds.unsigned_abs();
    let (seconds, rest) = (magnitude / 1_000, magnitude % 1_000);
    let sign = if milliseconds < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{seconds}");
    if rest != 0 {
        let _ = write!(out, ".{rest:03}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_go_s() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-12.5, "-12.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-07"),
            (1e-7, "1e-07"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::from_bits(0x7ff0_0000_0000_0002), "NaN"),
        ] {
            let mut text = String::new();
            push_value(value, &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        for (milliseconds, expected) in [
            (0, "0"),
            (1_600_096_945_479, "1600096945.479"),
            (1_600_096_945_000, "1600096945"),
            (1_050, "1.050"),
            (1_005, "1.005"),
            (7, "0.007"),
            (-1, "-0.001"),
            (-62_135_596_800_000, "-62135596800"),
            (i64::MAX, "9223372036854775.807"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            let mut text = String::new();
            push_timestamp(milliseconds, &mut text);
            assert_eq!(text, expected);
        }
    }
}
