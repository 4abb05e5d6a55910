//! Which texts are numbers: decimal, hexadecimal, or a duration such as `1h30m`, which PromQL takes for its seconds.
//!
//! What the number is does not matter here, only that it is one; ranges and the order of units are not checked.

/// Units of a duration; the longer one first where one begins with the other.
const UNITS: [&str; 7] = ["ms", "s", "m", "h", "d", "w", "y"];

/// Whether a text that begins with a digit or a point is a number.
pub(super) fn is_number(text: &str) -> bool {
    is_plain(text) || is_duration(text)
}

fn is_plain(text: &str) -> bool {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => digits.parse::<f64>().is_ok(),
    }
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let Some(name) = UNITS.iter().find(|name| unit.starts_with(**name)) else {
            return false;
        };
        if unit.len() == rest.len() {
            return false;
        }
        rest = &unit[name.len()..];
    }
    !text.is_empty()
}
