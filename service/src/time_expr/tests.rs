//! Every form of a moment, its edges, and the calendar against counting day by day.

use super::*;

const NOW: i64 = 1_795_168_800_000; // 2026-11-20T10:00:00Z

fn check(text: &str, expected_ms: i64) {
    assert_eq!(parse(text, NOW), Ok(expected_ms), "{text}");
}

#[test]
fn relative_to_now() {
    check("now", NOW);
    check("-2h", NOW - 7_200_000);
    check("now-1h30m", NOW - 5_400_000);
    check("now+5m", NOW + 300_000);
    check("+100ms", NOW + 100);
    check("-0", NOW);
    check("now-15d", NOW - 15 * 86_400_000);
}

#[test]
fn unix_seconds() {
    check("0", 0);
    check("1795168800", NOW);
    check("1700000000.123", 1_700_000_000_123);
    check("1700000000.1", 1_700_000_000_100);
    check("1700000000.1239", 1_700_000_000_123);
    check("-5", -5_000);
    check("-0.5", -500);
    check("-0.0001", -1);
    check("-62135596800", -62_135_596_800_000);
}

#[test]
fn rfc3339() {
    check("2026-11-20T10:00:00Z", NOW);
    check("2026-11-20t10:00:00.000z", NOW);
    check("2026-11-20 10:00:00Z", NOW);
    check("2026-11-20T12:30:00+02:30", NOW);
    check("2026-11-20T05:00:00-05:00", NOW);
    check("2026-11-20T10:00:00.123456789Z", NOW + 123);
    check("2026-11-20T10:00:00.1+00:00", NOW + 100);
    check("1970-01-01T00:00:00Z", 0);
    check("1969-12-31T23:59:59.999Z", -1);
    check("0001-01-01T00:00:00Z", -62_135_596_800_000);
    check("2024-02-29T00:00:00Z", 1_709_164_800_000);
    check("2016-12-31T23:59:60Z", 1_483_228_800_000);
}

#[test]
fn everything_else_is_refused_whole() {
    let malformed = [
        "",
        "nowish",
        "now-",
        "now1h",
        "now-2",
        "now 2h",
        "2h",
        "--2h",
        "-2x",
        "1e9",
        "0x10",
        "1.",
        ".5",
        "1.2.3",
        "+5",
        "NaN",
        "inf",
        "yesterday",
        "2026-11-20",
        "2026-11-20T10:00Z",
        "2026-11-20T10:00:00",
        "2026-11-20T10:00:00+2",
        "2026-11-20T10:00:00.Z",
        "2026-11-20T10:00:00ZZ",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T10:60:00Z",
        "2026-11-20T10:00:61Z",
        "2026-11-20T10:00:00+24:00",
        "2026-11-20T10:00:00+02:60",
        "２026-11-20T10:00:00Z",
        "-026-11-20T10:00:00Z",
        "2026-11-20T10:00:00+0é:0",
    ];
    for text in malformed {
        assert_eq!(parse(text, NOW), Err(TimeError::Malformed(text.to_owned())), "{text}");
    }
    for text in ["9223372036854776", "-9223372036854776", "99999999999999999999"] {
        assert_eq!(parse(text, NOW), Err(TimeError::OutOfRange(text.to_owned())), "{text}");
    }
    assert_eq!(parse("-1ms", i64::MIN), Err(TimeError::OutOfRange("-1ms".to_owned())));
}

#[test]
fn the_calendar_agrees_with_counting_days() {
    let (mut year, mut month, mut day) = (1, 1, 1);
    let first = days_since_1970(1, 1, 1);
    // 800 years hold every kind of leap year twice.
    for days in first..first + 2 * 146_097 {
        assert_eq!(days_since_1970(year, month, day), days);
        assert_eq!(date_of(days), (year, month, day));
        day += 1;
        if day > days_of_month(year, month) {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
    assert_eq!((year, month, day), (801, 1, 1));
}

#[test]
fn writes_what_it_reads() {
    for text in [
        "2026-11-20T10:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59.999Z",
        "2000-02-29T12:34:56.789Z",
    ] {
        let moment = parse(text, 0).expect("a moment of the list above");
        assert_eq!(format_rfc3339(moment), text);
    }
    assert_eq!(format_rfc3339(i64::MAX), "9223372036854775807ms");
    assert_eq!(format_rfc3339(i64::MIN), "-9223372036854775808ms");
}
