//! What the configuration file says about encryption: which keys there are and where they lie, never the keys themselves.
//!
//! Only the form is read here; the crate that knows what is encrypted reads the keys.

use std::path::PathBuf;

use serde::Deserialize;

/// `encryption:` of the file. Without it nothing is encrypted.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionConfig {
    /// The id of the key that is written with; absent = what is written stays clear.
    pub write_key: Option<String>,
    /// All keys that may be needed to read.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
}

/// One of `encryption.keys`: exactly one of the places is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The name of the key, which stands beside everything that is encrypted with it.
    pub id: String,
    /// A file that holds the key.
    pub file: Option<PathBuf>,
    /// An environment variable that holds it.
    pub env: Option<String>,
    /// A program and its arguments, which prints it.
    pub command: Option<Vec<String>>,
}
