//! The key of one thing, and AES-256-GCM under it.

use std::fmt;
use std::fmt::Write as _;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::KEY_BYTES;

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = NONCE_LEN;

/// Length of the tag behind encrypted bytes.
pub const TAG_BYTES: usize = 16;

/// The key of one file, segment or object.
pub struct DerivedKey {
    secret: Zeroizing<[u8; KEY_BYTES]>,
    cipher: LessSafeKey,
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(<secret>)")
    }
}

impl DerivedKey {
    pub(super) fn new(secret: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, &secret[..]).expect("a key of AES-256 has 32 bytes");
        Self {
            cipher: LessSafeKey::new(unbound),
            secret,
        }
    }

    /// Encrypts `bytes` where they lie; what comes back belongs behind them. A nonce must never be used twice with one key.
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), bytes);
        let tag = sealed.expect("AES-GCM takes 64 GiB under one nonce, and a thing of ours is smaller");
        *tag.as_ref().first_chunk().expect("a tag of AES-GCM has 16 bytes")
    }

    /// Decrypts bytes with their tag behind them; `None` when they are not what was encrypted.
    #[must_use]
    pub fn open<'b>(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.cipher.open_in_place(nonce, Aad::from(aad), bytes).ok()
    }

    /// The key itself, for a Parquet decoder.
    pub(crate) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }

    /// The key itself as text, to be given to another program: whoever has it can read that one thing.
    #[must_use]
    pub fn reveal_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES));
        for byte in self.secret.iter() {
            write!(text, "{byte:02x}").expect("a text takes all that is written");
        }
        text
    }
}
