//! The envelope of catalog objects: JSON with `version` first and the CRC-32C of everything before it last (`docs/formats/catalog.md`).
//!
//! Unknown fields are refused, because a program that does not know a field cannot know what ignoring it would destroy. A
//! newer version is refused by name. Bytes from the store never panic and never allocate more than [`MAX_BYTES`].

use std::io::Read;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::keys::refuse_sealed;
use crate::{ArchiveError, crc32c};

/// Larger objects are compressed.
const COMPRESS_FROM_BYTES: usize = 64 << 10;

/// No catalog object may be larger than this once decompressed.
const MAX_BYTES: u64 = 512 << 20;

/// `,"crc32c":"` 8 hexadecimal digits `"}`.
const TRAILER_START: &str = ",\"crc32c\":\"";
const TRAILER_BYTES: usize = TRAILER_START.len() + 8 + 2;

const VERSION_START: &str = "{\"version\":";
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A kind of object of the catalog: a JSON object with a fixed set of fields.
pub trait CatalogObject: Serialize + DeserializeOwned {
    /// The version that this program writes, and the newest that it reads.
    const VERSION: u64;
}

/// The bytes to store for an object.
///
/// # Errors
/// [`ArchiveError::Invalid`] when it does not serialize as a JSON object.
pub fn seal_envelope<T: CatalogObject>(object: &T) -> Result<Bytes, ArchiveError> {
    let invalid = |reason: String| ArchiveError::Invalid(format!("catalog object cannot be written: {reason}"));
    let body = serde_json::to_string(object).map_err(|error| invalid(error.to_string()))?;
    let fields = body
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|fields| !fields.is_empty());
    let fields = fields.ok_or_else(|| invalid("it has no fields".to_owned()))?;
    let mut text = format!("{VERSION_START}{},{fields}", T::VERSION);
    let crc = crc32c(text.as_bytes());
    text.push_str(&format!("{TRAILER_START}{crc:08x}\"}}"));
    if text.len() < COMPRESS_FROM_BYTES {
        return Ok(text.into());
    }
    Ok(zstd::bulk::compress(text.as_bytes(), 3)
        .map_err(|error| invalid(error.to_string()))?
        .into())
}

/// Checks and reads what was stored under the name `object`.
///
/// # Errors
/// [`ArchiveError::NewerVersion`] for a version that this program does not know, [`ArchiveError::Corrupt`] for anything else
/// that is not exactly what [`seal_envelope`] writes.
pub fn open_envelope<T: CatalogObject>(object: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    let json = checked_json(object, bytes, T::VERSION)?;
    serde_json::from_str(&json).map_err(|error| ArchiveError::corrupt(object, error))
}

/// The nonce in a stored object of any kind up to the version `supported`.
pub(crate) fn nonce_in(object: &str, bytes: &[u8], supported: u64) -> Result<String, ArchiveError> {
    #[derive(serde::Deserialize)]
    struct Nonce {
        nonce: String,
    }
    let json = checked_json(object, bytes, supported)?;
    let parsed: Nonce = serde_json::from_str(&json).map_err(|error| ArchiveError::corrupt(object, error))?;
    Ok(parsed.nonce)
}

/// Takes the envelope off: what is left is the JSON that the object's own type wrote.
fn checked_json(object: &str, bytes: &[u8], supported: u64) -> Result<String, ArchiveError> {
    refuse_sealed(object, bytes)?;
    let text = plain_text(object, bytes, MAX_BYTES)?;
    let version_digits = text.strip_prefix(VERSION_START).and_then(|rest| rest.split_once(','));
    let version = version_digits.and_then(|(digits, rest)| Some((digits.parse::<u64>().ok()?, rest)));
    let (found, fields) = version.ok_or_else(|| ArchiveError::corrupt(object, "it does not start with a version"))?;
    let checked = fields
        .len()
        .checked_sub(TRAILER_BYTES)
        .filter(|&end| fields.is_char_boundary(end));
    let stored = checked.and_then(|end| {
        let (fields, trailer) = fields.split_at(end);
        let digits = trailer.strip_prefix(TRAILER_START)?.strip_suffix("\"}")?;
        Some((fields, u32::from_str_radix(digits, 16).ok()?))
    });
    match stored {
        // A checksum that does not fit comes before the version: a damaged digit must not ask for an upgrade.
        Some((_, crc)) if crc != crc32c(&text.as_bytes()[..text.len() - TRAILER_BYTES]) => {
            Err(ArchiveError::corrupt(object, "its CRC-32C does not match"))
        }
        _ if found > supported => Err(ArchiveError::NewerVersion {
            object: object.to_owned(),
            found,
            supported,
        }),
        Some((fields, _)) => Ok(format!("{{{fields}}}")),
        None => Err(ArchiveError::corrupt(object, "it does not end with a CRC-32C")),
    }
}

fn plain_text(object: &str, bytes: &[u8], max_bytes: u64) -> Result<String, ArchiveError> {
    let not_utf8 = |_| ArchiveError::corrupt(object, "it is not UTF-8");
    if !bytes.starts_with(&ZSTD_MAGIC) {
        return std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|error| not_utf8(error.to_string()));
    }
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::with_buffer(bytes).map_err(|error| ArchiveError::corrupt(object, error))?;
    let read = decoder.take(max_bytes.saturating_add(1)).read_to_end(&mut plain);
    let count = read.map_err(|error| ArchiveError::corrupt(object, error))?;
    if count as u64 > max_bytes {
        return Err(ArchiveError::corrupt(
            object,
            format!("it has more than {max_bytes} bytes"),
        ));
    }
    String::from_utf8(plain).map_err(|error| not_utf8(error.to_string()))
}

#[cfg(test)]
mod tests;
