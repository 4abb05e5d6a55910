//! Names of keys: short and plain, because they stand in every encrypted thing and in every error.

use super::KeyError;

/// Longest id, in bytes: its length is one byte where it is stored.
pub(super) const KEY_ID_BYTES_MAX: usize = 64;

/// Whether a text can name a key: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[must_use]
pub fn is_key_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=KEY_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

pub(super) fn checked(id: &str) -> Result<String, KeyError> {
    if is_key_id(id) {
        return Ok(id.to_owned());
    }
    Err(KeyError::Unusable {
        key: id.chars().take(KEY_ID_BYTES_MAX).collect(),
        reason: format!("an id has 1 to {KEY_ID_BYTES_MAX} letters, digits, `.`, `_` and `-`"),
    })
}
