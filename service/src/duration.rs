//! Durations as Prometheus writes them: `15d`, `1h30m`, `100ms`.
//!
//! The rules are those of Prometheus' `model.ParseDuration`: units `y w d h m s ms`, each at most once, larger before
//! smaller, whole numbers, and `0` alone without a unit. A year is 365 days. Never guesses: `90` is refused, not seconds.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// Units in the only order in which they may be written, with their length in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Prometheus keeps durations as nanoseconds in 64 signed bits, so nothing longer can be exchanged with it.
const DURATION_MS_MAX: u64 = i64::MAX as u64 / 1_000_000;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not of the form.
    #[error("`{0}` is not a duration such as `5m`, `1h30m`, `15d` or `100ms` (units y w d h m s ms, larger first)")]
    Malformed(String),
    /// Nothing, where a time is needed.
    #[error("duration `{0}` must be longer than nothing")]
    Zero(String),
    /// Longer than about 292 years.
    #[error("duration `{0}` is out of range")]
    OutOfRange(String),
}

/// Reads a duration.
///
/// # Errors
/// When the text is not of Prometheus' form, or the duration is longer than Prometheus can hold.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let out_of_range = || DurationError::OutOfRange(text.to_owned());
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |byte| byte.is_ascii_digit());
        let (unit, after) = split_while(after, |byte| byte.is_ascii_lowercase());
        if digits.is_empty() {
            return Err(malformed());
        }
        // The iterator moves on: a unit that comes again, or after a smaller one, is not found any more.
        let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        // Digits only, so the one possible error is overflow.
        let count: u64 = digits.parse().map_err(|_| out_of_range())?;
        total_ms = count
            .checked_mul(*unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(out_of_range)?;
        rest = after;
    }
    if total_ms > DURATION_MS_MAX {
        return Err(out_of_range());
    }
    Ok(Duration::from_millis(total_ms))
}

/// Reads a duration of more than nothing.
///
/// # Errors
/// As [`parse`], and for a duration of zero.
pub fn parse_nonzero(text: &str) -> Result<Duration, DurationError> {
    match parse(text)? {
        Duration::ZERO => Err(DurationError::Zero(text.to_owned())),
        duration => Ok(duration),
    }
}

fn split_while(text: &str, keep: impl Fn(&u8) -> bool) -> (&str, &str) {
    let end = text.bytes().take_while(keep).count();
    text.split_at(end)
}

/// Writes a duration as Prometheus does: `1h30m`, `15d`, `0s`. Fractions of a millisecond are cut off.
///
/// Weeks and years are used only when nothing smaller remains, so that `8d` does not become `1w1d`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in UNITS {
        let whole_only = matches!(unit, "y" | "w");
        if rest < unit_ms || (whole_only && !rest.is_multiple_of(unit_ms)) {
            continue;
        }
        text.push_str(&format!("{}{unit}", rest / unit_ms));
        rest %= unit_ms;
    }
    text
}

/// For `#[serde(deserialize_with)]` on an optional setting of the configuration file.
pub(crate) fn deserialize_optional<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(source)?;
    parse(&text).map(Some).map_err(serde::de::Error::custom)
}

/// As [`deserialize_optional`], for a setting that may not be zero.
pub(crate) fn deserialize_optional_nonzero<'de, D: serde::Deserializer<'de>>(
    source: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(source)?;
    parse_nonzero(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        let check = |text: &str, ms: u64| assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        check("0", 0);
        check("0s", 0);
        check("5m", 300_000);
        check("1h30m", 5_400_000);
        check("15d", 15 * 86_400_000);
        check("100ms", 100);
        check("1m100ms", 60_100);
        check("2w", 14 * 86_400_000);
        check("1y", 365 * 86_400_000);
        check(
            "1y2w3d4h5m6s7ms",
            ((365 + 14 + 3) * 86_400 + 4 * 3_600 + 5 * 60 + 6) * 1_000 + 7,
        );
        check("292y", 292 * 365 * 86_400_000);
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for text in [
            "", "1", "90", "m", "5", "-5m", "+5m", "1.5h", "5 m", " 5m", "5m ", "30m1h", "1h1h", "1s1m", "5min", "5M",
            "1ms1s", "٣m",
        ] {
            assert_eq!(parse(text), Err(DurationError::Malformed(text.to_owned())), "{text}");
        }
        for text in ["300y", "99999999999999999999s", "18446744073709551615y"] {
            assert_eq!(parse(text), Err(DurationError::OutOfRange(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn nothing_is_refused_where_a_time_is_needed() {
        for text in ["0", "0s", "0h0ms"] {
            assert_eq!(parse_nonzero(text), Err(DurationError::Zero(text.to_owned())));
        }
        assert_eq!(parse_nonzero("1ms"), Ok(Duration::from_millis(1)));
        assert!(matches!(parse_nonzero("90"), Err(DurationError::Malformed(_))));
    }

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "0s",
            "5m",
            "1h30m",
            "15d",
            "100ms",
            "1m100ms",
            "8d",
            "2w",
            "1y",
            "366d",
            "23h59m59s999ms",
        ] {
            let duration = parse(text).expect("a duration of the list above");
            assert_eq!(format(duration), text);
        }
    }
}
