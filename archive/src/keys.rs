//! Encryption at rest: the keys that this process may read with, and the one it writes with (`docs/formats/encryption.md`).
//!
//! No master key ever encrypts anything. Each file, each segment of the log and each catalog object has a key of its own, derived from a
//! master key, its id, 32 random bytes and what the key is for; the id and those bytes lie beside what they encrypt. So a nonce need only be
//! unique inside one thing, and one thing's key can be given away without the rest. A secret must never reach a message, a log or `Debug`.

mod derived_key;
mod key_id;
mod key_slot;
mod key_source;
mod key_stamp;
mod keyed_store;
mod keys_error;
mod sealed_object;
mod stored_key;

use std::fmt;
use std::sync::Arc;

use object_store::{GetOptions, ObjectStore};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::names;

pub use derived_key::{DerivedKey, NONCE_BYTES, TAG_BYTES};
pub use key_id::is_key_id;
pub(crate) use key_slot::KeySlot;
pub use key_source::{KeyPlace, KeySource};
pub use key_stamp::{KeyStamp, STAMP_BYTES_MAX};
pub use keyed_store::KeyedStore;
pub use keys_error::KeyError;
pub(crate) use sealed_object::refuse_sealed;
pub use sealed_object::{open_object, seal_object};
pub use stored_key::{object_key, part_key, reseal};

/// Length of a master key, of a salt and of a derived key, in bytes.
pub const KEY_BYTES: usize = 32;

/// What a derived key is for; two purposes never share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// A Parquet file.
    File,
    /// An object of the catalog, or a small file beside a part.
    Object,
    /// A segment of the log.
    Segment,
    /// Proof that a key is the right one, which is stored in the clear.
    Check,
}

impl KeyPurpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::File => b"emberkeep 1 file\0",
            Self::Object => b"emberkeep 1 object\0",
            Self::Segment => b"emberkeep 1 segment\0",
            Self::Check => b"emberkeep 1 check\0",
        }
    }
}

/// The keys of one process. Cheap to clone. Without any, nothing is encrypted, and nothing encrypted can be read.
#[derive(Clone, Default)]
pub struct Keys(Arc<Ring>);

#[derive(Default)]
struct Ring {
    keys: Vec<MasterKey>,
    /// Index of the one that is written with.
    write: Option<usize>,
}

struct MasterKey {
    id: String,
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

/// Ids, never secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.ids().collect();
        f.debug_struct("Keys")
            .field("ids", &ids)
            .field("write", &self.write_id())
            .finish()
    }
}

/// The same keys are those that came from one reading of the configuration.
impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.keys.is_empty() && other.0.keys.is_empty())
    }
}

impl Eq for Keys {}

impl Keys {
    /// Reads all keys from where they lie. Blocks: files, and commands that are waited for.
    ///
    /// # Errors
    /// [`KeyError`] names the key that cannot be had, and why.
    pub fn read(write: Option<&str>, sources: &[KeySource]) -> Result<Self, KeyError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for source in sources {
            if keys.iter().any(|key| key.id == source.id) {
                return Err(source.unusable("it is configured twice"));
            }
            keys.push(MasterKey {
                id: source.id.clone(),
                secret: source.read()?,
            });
        }
        let write = match write {
            None => None,
            Some(id) => {
                let found = keys.iter().position(|key| key.id == id);
                Some(found.ok_or_else(|| KeyError::Unknown { key: id.to_owned() })?)
            }
        };
        Ok(Self(Arc::new(Ring { keys, write })))
    }

    /// One key, to read and to write with.
    ///
    /// # Errors
    /// As [`Keys::read`], for an id that is none.
    pub fn single(id: &str, secret: [u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let keys = vec![MasterKey {
            id: key_id::checked(id)?,
            secret: Zeroizing::new(secret),
        }];
        Ok(Self(Arc::new(Ring { keys, write: Some(0) })))
    }

    /// The keys with which a store is read; one request.
    pub async fn of(store: &dyn ObjectStore) -> Self {
        let slot = KeySlot::default();
        let options = GetOptions::new().with_head(true);
        // Whatever the answer is: the slot is filled on the way.
        let _ = store.get_opts(&names::format(), slot.ask(options)).await;
        slot.keys()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// The ids of all keys, in the order of the configuration.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys.iter().map(|key| key.id.as_str())
    }

    /// The id of the key that is written with; `None` when what is written stays clear.
    #[must_use]
    pub fn write_id(&self) -> Option<&str> {
        Some(self.0.keys[self.0.write?].id.as_str())
    }

    /// A new key under which one thing is written, and what must lie beside that thing; `None` when it stays clear.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the system has none.
    pub fn fresh(&self, purpose: KeyPurpose) -> Result<Option<(KeyStamp, DerivedKey)>, KeyError> {
        let Some(write) = self.0.write else {
            return Ok(None);
        };
        let mut salt = [0; KEY_BYTES];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| KeyError::NoRandomness)?;
        let key = &self.0.keys[write];
        let stamp = KeyStamp::new(key.id.clone(), salt, check_of(key, &salt));
        Ok(Some((stamp, DerivedKey::new(derive(key, &salt, purpose)))))
    }

    /// The key of something that was written.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] when the key with that id is not configured, [`KeyError::Wrong`] when another one is configured under its id.
    pub fn derived(&self, stamp: &KeyStamp, purpose: KeyPurpose) -> Result<DerivedKey, KeyError> {
        let found = self.0.keys.iter().find(|key| key.id == stamp.key());
        let key = found.ok_or_else(|| KeyError::Unknown {
            key: stamp.key().to_owned(),
        })?;
        // The check is public, so a comparison in constant time would protect nothing.
        if check_of(key, stamp.salt()) != *stamp.check() {
            return Err(KeyError::Wrong {
                key: stamp.key().to_owned(),
            });
        }
        Ok(DerivedKey::new(derive(key, stamp.salt(), purpose)))
    }
}

/// HKDF-SHA256: the salt is the random one, the info says what for and under which id.
fn derive(key: &MasterKey, salt: &[u8; KEY_BYTES], purpose: KeyPurpose) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&key.secret[..]);
    let info = [purpose.label(), key.id.as_bytes()];
    let filled = extracted
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut derived[..]));
    filled.expect("one block of SHA-256 is 32 bytes");
    derived
}

fn check_of(key: &MasterKey, salt: &[u8; KEY_BYTES]) -> [u8; 8] {
    let derived = derive(key, salt, KeyPurpose::Check);
    *derived.first_chunk().expect("32 bytes begin with 8")
}

#[cfg(test)]
mod tests;
