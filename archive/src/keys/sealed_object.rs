//! A small object or file as it is stored when it is encrypted (`docs/formats/encryption.md`).
//!
//! A clear header says which key; everything else is encrypted at once, and its name is part of what is proven, so that one object
//! cannot be put in another's place.

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};

use super::derived_key::{NONCE_BYTES, TAG_BYTES};
use super::{KeyError, KeyPurpose, KeyStamp, Keys};
use crate::{ArchiveError, crc32c};

/// No JSON and no ZSTD frame begins like this.
const MAGIC: [u8; 4] = *b"EKOB";
const VERSION: u8 = 1;

/// Encrypts an object under its name; without a key to write with it stays as it is.
///
/// # Errors
/// [`ArchiveError::Key`] when no key can be made.
pub fn seal_object(keys: &Keys, name: &str, clear: Bytes) -> Result<Bytes, ArchiveError> {
    let failed = ArchiveError::key(name);
    let Some((stamp, key)) = keys.fresh(KeyPurpose::Object).map_err(&failed)? else {
        return Ok(clear);
    };
    let mut nonce = [0; NONCE_BYTES];
    let random = SystemRandom::new().fill(&mut nonce);
    random.map_err(|_| failed(KeyError::NoRandomness))?;
    let mut sealed = Vec::with_capacity(clear.len() + 256);
    sealed.extend_from_slice(&MAGIC);
    sealed.push(VERSION);
    stamp.put(&mut sealed);
    sealed.extend_from_slice(&nonce);
    // The header's own checksum tells a damaged id from an unknown one.
    let crc = crc32c(&sealed);
    sealed.extend_from_slice(&crc.to_le_bytes());
    let start = sealed.len();
    sealed.extend_from_slice(&clear);
    let tag = key.seal(nonce, name.as_bytes(), &mut sealed[start..]);
    sealed.extend_from_slice(&tag);
    Ok(sealed.into())
}

/// Whether bytes are an encrypted object.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// With which key stored bytes are encrypted; none when they are clear, or too damaged to say.
pub(super) fn stamp_in(bytes: &[u8]) -> Option<KeyStamp> {
    let header = bytes.strip_prefix(&MAGIC)?;
    KeyStamp::take(header.get(1..)?).map(|(stamp, _)| stamp)
}

/// Says of an encrypted object that came as it lies in the store, because the store has no keys, which key it needs.
pub(crate) fn refuse_sealed(name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    match is_sealed(bytes) {
        true => open_object(&Keys::default(), name, Bytes::copy_from_slice(bytes)).map(drop),
        false => Ok(()),
    }
}

/// Decrypts an object that was encrypted under this name; one that is clear comes back as it is.
///
/// # Errors
/// [`ArchiveError::Key`] for a key that is missing or wrong, [`ArchiveError::NewerVersion`], and [`ArchiveError::Corrupt`] for bytes that are
/// not what was written.
pub fn open_object(keys: &Keys, name: &str, bytes: Bytes) -> Result<Bytes, ArchiveError> {
    if !is_sealed(&bytes) {
        return Ok(bytes);
    }
    let cut = || ArchiveError::corrupt(name, "its encryption header cannot be read");
    let version = *bytes.get(MAGIC.len()).ok_or_else(cut)?;
    let (stamp, rest) = KeyStamp::take(&bytes[MAGIC.len() + 1..]).ok_or_else(cut)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(cut)?;
    let (crc, content) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let header = &bytes[..bytes.len() - rest.len()];
    if crc32c(header) != u32::from_le_bytes(*crc) {
        return Err(ArchiveError::corrupt(
            name,
            "the CRC-32C of its encryption header does not match",
        ));
    }
    if version != VERSION {
        return Err(ArchiveError::NewerVersion {
            object: name.to_owned(),
            found: u64::from(version),
            supported: u64::from(VERSION),
        });
    }
    let key = keys
        .derived(&stamp, KeyPurpose::Object)
        .map_err(ArchiveError::key(name))?;
    let mut content = content.to_vec();
    let opened = (content.len() >= TAG_BYTES).then(|| key.open(*nonce, name.as_bytes(), &mut content));
    let length = opened.flatten().map(|clear| clear.len());
    let length = length.ok_or_else(|| {
        let key = stamp.key();
        ArchiveError::corrupt(
            name,
            format!("it is not what was encrypted with key `{key}`: changed, cut or moved"),
        )
    })?;
    content.truncate(length);
    Ok(content.into())
}
