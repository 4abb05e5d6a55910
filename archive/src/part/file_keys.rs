//! How a decoder of an encrypted file gets the file's key: it hands over the key metadata, and the keys of the store know the rest.

use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::ParquetError;

use crate::keys::{KeyPurpose, KeyStamp, Keys};
use crate::{ArchiveError, KeyError};

/// The keys for one file, and why none of them was its own.
pub(super) struct FileKeys {
    keys: Keys,
    refusal: Mutex<Option<KeyError>>,
    stamp: Mutex<Option<KeyStamp>>,
}

impl FileKeys {
    pub(super) fn new(keys: Keys) -> Arc<Self> {
        Arc::new(Self {
            keys,
            refusal: Mutex::new(None),
            stamp: Mutex::new(None),
        })
    }

    /// What a decoder needs.
    pub(super) fn properties(self: &Arc<Self>) -> Result<Arc<FileDecryptionProperties>, ParquetError> {
        let retriever: Arc<dyn KeyRetriever> = Arc::clone(self) as _;
        FileDecryptionProperties::with_key_retriever(retriever).build()
    }

    /// With which key the file is encrypted, once its footer was read.
    pub(super) fn stamp(&self) -> Option<KeyStamp> {
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An error of the decoder, unless it was about the key.
    pub(super) fn judge(&self, location: &Path, error: ArchiveError) -> ArchiveError {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        refusal.map_or(error, ArchiveError::key(location))
    }
}

impl KeyRetriever for FileKeys {
    fn retrieve_key(&self, key_metadata: &[u8]) -> Result<Vec<u8>, ParquetError> {
        let foreign = || ParquetError::General("its key metadata is not of this program".to_owned());
        let stamp = KeyStamp::of_key_metadata(key_metadata).ok_or_else(foreign)?;
        match self.keys.derived(&stamp, KeyPurpose::File) {
            Ok(key) => {
                *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
                Ok(key.secret().to_vec())
            }
            Err(refused) => {
                let text = refused.to_string();
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
                Err(ParquetError::General(text))
            }
        }
    }
}
