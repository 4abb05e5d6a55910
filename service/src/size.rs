//! Sizes as Prometheus writes them: `512MB`, powers of two.
//!
//! `KB` is 1,024 bytes, as in Prometheus' own flags. Whole numbers only, a unit is required (except for `0`).

use thiserror::Error;

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizeError {
    /// Not of the form.
    #[error("`{0}` is not a size such as `64MB` (units B KB MB GB TB, powers of 2)")]
    Malformed(String),
    /// More than fits 64 bits.
    #[error("size `{0}` is out of range")]
    OutOfRange(String),
}

/// Reads a size, in bytes.
///
/// # Errors
/// When the text is not a whole number with a unit, or the size does not fit 64 bits.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    if text == "0" {
        return Ok(0);
    }
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let shift = match unit {
        "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        _ => return Err(SizeError::Malformed(text.to_owned())),
    };
    if digits.is_empty() {
        return Err(SizeError::Malformed(text.to_owned()));
    }
    let count: Option<u64> = digits.parse().ok();
    count
        .and_then(|count| count.checked_mul(1 << shift))
        .ok_or_else(|| SizeError::OutOfRange(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_two() {
        for (text, bytes) in [
            ("0", 0),
            ("0B", 0),
            ("7B", 7),
            ("64MB", 67_108_864),
            ("2KiB", 2_048),
            ("3GB", 3 << 30),
            ("1TB", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn never_guesses() {
        for text in ["", "64", "MB", "64M", "64mb", "1.5GB", "-1B", "64 MB", "64MB "] {
            assert_eq!(parse(text), Err(SizeError::Malformed(text.to_owned())), "{text}");
        }
        for text in ["99999999999999999999B", "18446744073709551615KB"] {
            assert_eq!(parse(text), Err(SizeError::OutOfRange(text.to_owned())), "{text}");
        }
    }
}
