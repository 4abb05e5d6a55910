//! Which store an archive lies in: Thanos' `objstore.config` read, checked, and opened.
//!
//! The form is Thanos', so that the file operators have works as it is. What we cannot honour and what would change what is stored (server-side
//! encryption, say) or whom we talk to is refused; what only tunes Thanos' own client is named in a warning and passed over. Secrets never reach a
//! message. `docs/stores.md` lists it all.

mod answers;
mod clients;
mod form;
mod http;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_disk::{FileSystem, RealFs};
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;

use crate::{ArchiveError, DirectoryStore, KeyedStore, Keys};
pub(crate) use answers::in_one_line;
use form::{Azure, Filesystem, Form, Gcs, S3};

/// The configuration of a store, not yet opened.
#[derive(Clone)]
pub struct StoreConfig {
    kind: StoreKind,
    prefix: String,
    keys: Keys,
}

/// The kinds of stores.
#[derive(Clone)]
enum StoreKind {
    Filesystem(Filesystem),
    S3(S3),
    Gcs(Gcs),
    Azure(Azure),
}

/// Says where, never with which key.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreConfig({})", self.location(""))
    }
}

impl StoreConfig {
    /// A directory on local disk.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        let directory = path.into();
        Self {
            kind: StoreKind::Filesystem(Filesystem { directory }),
            prefix: String::new(),
            keys: Keys::default(),
        }
    }

    /// With keys to encrypt and decrypt what lies in the store.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// The keys that were given.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Reads Thanos' form: `type`, `config` and optionally `prefix`.
    ///
    /// # Errors
    /// [`ArchiveError::Config`] says what is wrong and where: no YAML, several documents, an unknown type or field, a missing one.
    pub fn parse(yaml: &str) -> Result<Self, ArchiveError> {
        let Form { kind, prefix } = form::parse(yaml)?;
        let kind = match kind {
            form::Kind::Filesystem(config) => StoreKind::Filesystem(config),
            form::Kind::S3(config) => StoreKind::S3(*config),
            form::Kind::Gcs(config) => StoreKind::Gcs(config),
            form::Kind::Azure(config) => StoreKind::Azure(*config),
        };
        Ok(Self {
            kind,
            prefix,
            keys: Keys::default(),
        })
    }

    /// Opens the store; a directory lies on the real disk.
    ///
    /// # Errors
    /// [`ArchiveError::Config`] when the store's client refuses the settings or the directory cannot be used.
    pub fn open(&self) -> Result<Arc<dyn ObjectStore>, ArchiveError> {
        self.open_on(Arc::new(RealFs))
    }

    /// Opens the store; a directory lies on the given file system.
    ///
    /// # Errors
    /// As [`StoreConfig::open`].
    pub fn open_on(&self, fs: Arc<dyn FileSystem>) -> Result<Arc<dyn ObjectStore>, ArchiveError> {
        let refused = |error: object_store::Error| ArchiveError::Config(format!("{}: {error}", self.location("")));
        if !matches!(self.kind, StoreKind::Filesystem(_)) {
            // Another part of the process may have installed it already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let store: Arc<dyn ObjectStore> = match &self.kind {
            StoreKind::Filesystem(config) => Arc::new(DirectoryStore::open(fs, config.directory.clone())?),
            StoreKind::S3(config) => Arc::new(clients::s3(config)?.build().map_err(refused)?),
            StoreKind::Gcs(config) => Arc::new(clients::gcs(config)?.build().map_err(refused)?),
            StoreKind::Azure(config) => Arc::new(clients::azure(config)?.build().map_err(refused)?),
        };
        let store = if self.prefix.is_empty() {
            store
        } else {
            Arc::new(PrefixStore::new(store, self.prefix.as_str()))
        };
        Ok(KeyedStore::wrap(store, &self.keys))
    }

    /// Where an object lies, as other programs name it: an absolute path, or a URL such as `s3://bucket/prefix/object`.
    #[must_use]
    pub fn location(&self, object: &str) -> String {
        let inside = [self.prefix.as_str(), object]
            .iter()
            .filter(|s| !s.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("/");
        match &self.kind {
            StoreKind::Filesystem(config) => absolute(&config.directory).join(inside).display().to_string(),
            StoreKind::S3(config) => format!("s3://{}/{inside}", config.bucket),
            StoreKind::Gcs(config) => format!("gs://{}/{inside}", config.bucket),
            StoreKind::Azure(config) => format!("az://{}/{inside}", config.container),
        }
    }
}

/// Other programs run in other directories. A working directory that is gone leaves the path as it was given.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
