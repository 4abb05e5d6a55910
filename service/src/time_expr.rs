//! Moments as people give them on a command line: RFC 3339, unix seconds, or relative to now.
//!
//! Every form becomes milliseconds since 1970, exactly: no floating point is involved, so `1700000000.123` is the
//! millisecond it says. Now is a parameter; nothing here reads a clock.

use thiserror::Error;

use crate::duration;

/// Why a text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Not of any form.
    #[error(
        "`{0}` is not a time: give RFC 3339 (`2026-11-20T10:00:00Z`), unix seconds (`1795168800`), or relative (`now`, `-2h`, `now-1h30m`)"
    )]
    Malformed(String),
    /// Of a good form, but not within 64 bits of milliseconds.
    #[error("time `{0}` is out of range")]
    OutOfRange(String),
}

/// Reads a moment, in milliseconds since 1970; digits beyond milliseconds are cut off (towards the past).
///
/// # Errors
/// When the text has none of the three forms, names a day that does not exist, or is out of range.
pub fn parse(text: &str, now_ms: i64) -> Result<i64, TimeError> {
    let malformed = || TimeError::Malformed(text.to_owned());
    let out_of_range = || TimeError::OutOfRange(text.to_owned());
    let offset = text.strip_prefix("now").unwrap_or(text);
    if offset.is_empty() && !text.is_empty() {
        return Ok(now_ms);
    }
    if let Some((backwards, length)) = split_sign(offset)
        && let Ok(length) = duration::parse(length)
    {
        // Durations hold at most 2^63 nanoseconds, so milliseconds fit.
        let length_ms = i64::try_from(length.as_millis()).map_err(|_| out_of_range())?;
        let moment = if backwards {
            now_ms.checked_sub(length_ms)
        } else {
            now_ms.checked_add(length_ms)
        };
        return moment.ok_or_else(out_of_range);
    }
    if is_decimal(text) {
        return parse_unix(text).ok_or_else(out_of_range);
    }
    parse_rfc3339(text).ok_or_else(malformed)
}

fn split_sign(text: &str) -> Option<(bool, &str)> {
    match text.as_bytes().first()? {
        b'-' => Some((true, &text[1..])),
        b'+' => Some((false, &text[1..])),
        _ => None,
    }
}

/// `-?digits(.digits)?`
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn parse_unix(text: &str) -> Option<i64> {
    let (negative, digits) = split_sign(text).unwrap_or((false, text));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let seconds: i64 = whole.parse().ok()?;
    let (fraction_ms, inexact) = fraction_ms(fraction);
    let magnitude = seconds.checked_mul(1_000)?.checked_add(fraction_ms)?;
    // Cutting towards the past: what is left over makes a negative moment one millisecond earlier.
    if negative {
        magnitude.checked_neg()?.checked_sub(i64::from(inexact))
    } else {
        Some(magnitude)
    }
}

/// The first three decimal places as milliseconds, and whether any digit after them was not zero.
fn fraction_ms(digits: &str) -> (i64, bool) {
    let mut bytes = digits.bytes();
    let mut ms = 0;
    for _ in 0..3 {
        ms = ms * 10 + i64::from(bytes.next().unwrap_or(b'0') - b'0');
    }
    (ms, bytes.any(|byte| byte != b'0'))
}

/// RFC 3339 §5.6: `2026-11-20T10:00:00[.fraction](Z|+hh:mm|-hh:mm)`. A leap second counts as the second after it.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    // All indexes below are at ASCII positions that are checked first.
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = &bytes[from..to];
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if !separators.iter().all(|&(at, byte)| bytes[at] == byte) || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_of_month(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut rest = &text[19..];
    let mut ms = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let (digits, zone) = after.split_at(after.bytes().take_while(u8::is_ascii_digit).count());
        if digits.is_empty() {
            return None;
        }
        ms = fraction_ms(digits).0;
        rest = zone;
    }
    let offset_minutes = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = bytes.len() - 5;
            let (hours, minutes) = (number(at, at + 2)?, number(at + 3, at + 5)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - offset_minutes) * 60 + second;
    Some(seconds * 1_000 + ms)
}

/// Writes a moment as RFC 3339 in UTC with milliseconds: `2026-11-20T10:00:00.000Z`.
///
/// RFC 3339 ends at the years 0 and 9999; beyond them the milliseconds themselves are written.
#[must_use]
pub fn format_rfc3339(moment_ms: i64) -> String {
    let (days, in_day) = (moment_ms.div_euclid(86_400_000), moment_ms.rem_euclid(86_400_000));
    let (year, month, day) = date_of(days);
    if !(0..=9999).contains(&year) {
        return format!("{moment_ms}ms");
    }
    let (hour, minute, second, ms) = (
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1_000 % 60,
        in_day % 1_000,
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, which is also used before 1582. Years are counted from March, so
/// that the leap day is the last of its year and every month before it has a fixed place.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Year, month and day of a number of days from 1970-01-01; the inverse of [`days_since_1970`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    // 400 years are 146,097 days; within them the leap days are taken out to find the year.
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
