//! The random name of one WAL directory.
//!
//! It is in every header, so that bytes of another log, or bytes that a sender made up, never pass for records of this one.

use std::fmt;
use std::str::FromStr;

/// 16 random bytes, drawn once when the directory is created; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WalId([u8; 16]);

/// A text that is no WAL id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a WAL id is 32 lower-case hexadecimal digits")]
pub struct WalIdError;

impl WalId {
    /// Takes the bytes, which must come from a random source.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for WalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for WalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalId({self})")
    }
}

impl FromStr for WalId {
    type Err = WalIdError;

    fn from_str(text: &str) -> Result<Self, WalIdError> {
        let is_canonical = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_canonical {
            return Err(WalIdError);
        }
        u128::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| WalIdError)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let id = WalId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<WalId>().unwrap(), id);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "0",
            "+0000000000000000000000000000000",
            "0000000000000000000000000000000G",
            "ABCDEF00000000000000000000000000",
        ] {
            assert_eq!(text.parse::<WalId>(), Err(WalIdError), "{text}");
        }
    }
}
