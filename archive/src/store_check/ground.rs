//! Where one check works: a folder of its own, and what a check needs again and again.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::ArchiveError;

/// What a check came to when it did not pass.
#[derive(Debug)]
pub(super) enum Shortfall {
    /// The store did something else than it must.
    Broken(String),
    /// The store did not do what was asked, or did not answer; nothing follows from that.
    Store(ArchiveError),
}

/// Says what the store did wrong.
pub(super) fn broken<T>(what: impl Into<String>) -> Result<T, Shortfall> {
    Err(Shortfall::Broken(what.into()))
}

/// The folder of one check.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) area: Path,
}

impl Ground {
    pub(super) fn new(store: Arc<dyn ObjectStore>, area: Path) -> Self {
        Self { store, area }
    }

    /// A name in the folder.
    pub(super) fn path(&self, name: &str) -> Path {
        self.area.clone().join(name)
    }

    pub(super) async fn put(&self, path: &Path, content: Bytes) -> Result<(), Shortfall> {
        let put = self.store.put(path, PutPayload::from_bytes(content)).await;
        put.map(drop).map_err(at(path))
    }

    /// A creation, with the store's own answer.
    pub(super) async fn create(&self, path: &Path, content: Bytes) -> object_store::Result<()> {
        let payload = PutPayload::from_bytes(content);
        self.store
            .put_opts(path, payload, PutMode::Create.into())
            .await
            .map(drop)
    }

    /// The content, `None` when there is no such object.
    pub(super) async fn get(&self, path: &Path) -> Result<Option<Bytes>, Shortfall> {
        let read = async { self.store.get(path).await?.bytes().await }.await;
        match read {
            Ok(content) => Ok(Some(content)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(at(path)(error)),
        }
    }
}

/// Names the object in an error.
pub(super) fn at(path: &Path) -> impl FnOnce(object_store::Error) -> Shortfall {
    let path = path.clone();
    move |error| Shortfall::Store(ArchiveError::store(path)(error))
}

/// Bytes that repeat nowhere, different for each seed.
pub(super) fn noise(seed: u64, length: usize) -> Bytes {
    let words = (0..length.div_ceil(8) as u64).flat_map(|i| {
        let word = xxhash_rust::xxh3::xxh3_64_with_seed(&i.to_le_bytes(), seed);
        word.to_le_bytes()
    });
    words.take(length).collect::<Vec<u8>>().into()
}
