//! What can be wrong with keys, by what an operator can do about it. No variant may ever hold a secret.

/// Why a key cannot be had, or is not the right one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Something was written with a key that is not configured.
    #[error("key `{key}` is needed and not configured: add it to `encryption.keys`")]
    Unknown {
        /// The id of the key.
        key: String,
    },
    /// Under this id another key is configured than the one it was written with.
    #[error("key `{key}` is not the one it was written with: another key is configured under its id")]
    Wrong {
        /// The id of the key.
        key: String,
    },
    /// The configured key cannot be read.
    #[error("key `{key}`: {reason}")]
    Unusable {
        /// The id of the key.
        key: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers to make a key of")]
    NoRandomness,
}

impl KeyError {
    /// The id of the key, when it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unknown { key } | Self::Wrong { key } | Self::Unusable { key, .. } => Some(key),
            Self::NoRandomness => None,
        }
    }
}
