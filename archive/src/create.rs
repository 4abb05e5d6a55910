//! The one primitive of the catalog: create an object that must not exist yet, and find out who did.
//!
//! An answer of a store is not proof. `AlreadyExists` may mean this very attempt (the store's client retried after a lost
//! answer), another writer, or nobody (S3's 409); a timeout may have landed. So the key is read back and its nonce compared.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use ulid::Ulid;

use crate::ArchiveError;
use crate::envelope::{CatalogObject, nonce_in, seal_envelope};

/// How often a creation is tried when the key turns out to be absent after a failed attempt.
const ATTEMPTS: usize = 3;

/// Whose object lies at the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The object given, created now or by an earlier attempt with the same nonce.
    Ours,
    /// Somebody else's; these are its bytes.
    Theirs(Bytes),
}

/// A nonce: random text that no other attempt has.
#[must_use]
pub fn fresh_nonce() -> String {
    Ulid::generate().to_string()
}

/// Creates an object that holds `nonce` in its field of that name.
///
/// # Errors
/// [`ArchiveError::Store`] when the store does not say who owns the key; calling again with the same nonce is safe.
pub async fn put_create<T: CatalogObject>(
    store: &dyn ObjectStore,
    path: &Path,
    object: &T,
    nonce: &str,
) -> Result<Created, ArchiveError> {
    let bytes = seal_envelope(object)?;
    let mut failure = None;
    for _ in 0..ATTEMPTS {
        let payload = PutPayload::from_bytes(bytes.clone());
        let error = match store.put_opts(path, payload, PutMode::Create.into()).await {
            Ok(_) => return Ok(Created::Ours),
            Err(error) => error,
        };
        match read(store, path).await {
            Ok(stored) if stored == bytes || nonce_in(path.as_ref(), &stored, T::VERSION)? == nonce => {
                return Ok(Created::Ours);
            }
            Ok(stored) => return Ok(Created::Theirs(stored)),
            Err(absent) if absent.is_not_found() => failure = Some(error),
            Err(unreadable) => return Err(unreadable),
        }
    }
    let source = failure.expect("the loop ran at least once and did not return");
    Err(ArchiveError::Store {
        object: path.to_string(),
        source,
    })
}

/// Reads a whole object.
pub(crate) async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Bytes, ArchiveError> {
    let answer = store.get(path).await.map_err(ArchiveError::store(path))?;
    answer.bytes().await.map_err(ArchiveError::store(path))
}
