//! What lies in the clear beside something encrypted: which key, under which salt, and how to know that it is the right one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::KEY_BYTES;
use super::key_id::{KEY_ID_BYTES_MAX, is_key_id};

const CHECK_BYTES: usize = 8;

/// Longest stored form, in bytes.
pub const STAMP_BYTES_MAX: usize = 1 + KEY_ID_BYTES_MAX + KEY_BYTES + CHECK_BYTES;

/// Key id, salt and key check value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStamp {
    key: String,
    salt: [u8; KEY_BYTES],
    check: [u8; CHECK_BYTES],
}

/// The key metadata of a Parquet file: the form of Parquet's own key tools, so that their clients find the id and what to unwrap.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyMaterial {
    key_material_type: String,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(rename = "kmsInstanceID")]
    kms_instance_id: String,
    #[serde(rename = "kmsInstanceURL")]
    kms_instance_url: String,
    #[serde(rename = "masterKeyID")]
    master_key_id: String,
    #[serde(rename = "wrappedDEK")]
    wrapped_dek: String,
    double_wrapping: bool,
}

const KEY_MATERIAL_TYPE: &str = "PKMT1";

impl KeyStamp {
    pub(super) fn new(key: String, salt: [u8; KEY_BYTES], check: [u8; CHECK_BYTES]) -> Self {
        Self { key, salt, check }
    }

    /// The id of the master key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn salt(&self) -> &[u8; KEY_BYTES] {
        &self.salt
    }

    pub(super) fn check(&self) -> &[u8; CHECK_BYTES] {
        &self.check
    }

    /// Appends the stored form: length of the id (one byte), id, salt, check.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.key.len()).expect("an id has at most 64 bytes"));
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.check);
    }

    /// Takes the stored form off the front; `None` when it is none.
    #[must_use]
    pub fn take(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&length, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_at_checked(usize::from(length))?;
        let key = std::str::from_utf8(key).ok().filter(|key| is_key_id(key))?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (check, rest) = rest.split_first_chunk()?;
        Some((Self::new(key.to_owned(), *salt, *check), rest))
    }

    /// The key metadata of a Parquet file.
    pub(crate) fn to_key_metadata(&self) -> String {
        let material = KeyMaterial {
            key_material_type: KEY_MATERIAL_TYPE.to_owned(),
            internal_storage: true,
            is_footer_key: true,
            kms_instance_id: "DEFAULT".to_owned(),
            kms_instance_url: "DEFAULT".to_owned(),
            master_key_id: self.key.clone(),
            wrapped_dek: self.wrapped(),
            double_wrapping: false,
        };
        serde_json::to_string(&material).expect("texts and truths can be written")
    }

    /// Reads the key metadata of a Parquet file; `None` when it is not ours.
    pub(crate) fn of_key_metadata(bytes: &[u8]) -> Option<Self> {
        let material: KeyMaterial = serde_json::from_slice(bytes).ok()?;
        if material.key_material_type != KEY_MATERIAL_TYPE || material.double_wrapping {
            return None;
        }
        Self::of_wrapped(&material.master_key_id, &material.wrapped_dek)
    }

    /// Salt and check as text.
    pub(crate) fn wrapped(&self) -> String {
        STANDARD.encode([&self.salt[..], &self.check[..]].concat())
    }

    /// Reads id, and salt and check as text.
    pub(crate) fn of_wrapped(key: &str, wrapped: &str) -> Option<Self> {
        let bytes = STANDARD.decode(wrapped).ok()?;
        let (salt, check) = bytes.split_first_chunk()?;
        is_key_id(key).then_some(())?;
        Some(Self::new(key.to_owned(), *salt, check.try_into().ok()?))
    }
}
