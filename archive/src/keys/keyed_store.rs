//! A store whose catalog objects are encrypted on the way in and decrypted on the way out.
//!
//! Parquet files pass as they are: they are encrypted inside, so that ranges of them can be read. `format` stays clear, because it says that
//! the archive is encrypted. What is clear already is handed out as it is: an archive may hold both while it is being encrypted.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::stored_key::SeenKey;
use super::{KeySlot, Keys, open_object, seal_object};
use crate::{ArchiveError, names};

/// An [`ObjectStore`] that encrypts the catalog, and tells who asks which keys files are read with.
#[derive(Debug)]
pub struct KeyedStore {
    inner: Arc<dyn ObjectStore>,
    keys: Keys,
}

impl KeyedStore {
    /// Wraps a store; without keys it stays as it is.
    #[must_use]
    pub fn wrap(inner: Arc<dyn ObjectStore>, keys: &Keys) -> Arc<dyn ObjectStore> {
        if keys.is_empty() {
            return inner;
        }
        Arc::new(Self {
            inner,
            keys: keys.clone(),
        })
    }

    async fn get_object(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        // A range is one of the content, which has other bytes in other places.
        let range = options.range.take();
        let seen = SeenKey::asked(&options);
        let stored = self.inner.get_opts(location, options).await?;
        let (mut meta, attributes, extensions) = (
            stored.meta.clone(),
            stored.attributes.clone(),
            stored.extensions.clone(),
        );
        let bytes = stored.bytes().await?;
        if let Some(seen) = seen {
            seen.note(&bytes);
        }
        let clear = open_object(&self.keys, location.as_ref(), bytes).map_err(fault)?;
        meta.size = clear.len() as u64;
        let range = within(range, meta.size);
        let piece = slice(&clear, &range);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(piece) }).boxed()),
            meta,
            range,
            attributes,
            extensions,
        })
    }
}

/// The part of an object of `size` bytes that a range is.
fn within(range: Option<GetRange>, size: u64) -> Range<u64> {
    let range = match range {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range,
        Some(GetRange::Offset(start)) => start..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(length)..size,
    };
    let end = range.end.min(size);
    range.start.min(end)..end
}

/// A part of what is in memory.
fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

/// Hands an error of ours through a trait that has none for it; [`ArchiveError::store`] takes it out again.
fn fault(error: ArchiveError) -> object_store::Error {
    object_store::Error::Generic {
        store: "encryption",
        source: Box::new(error),
    }
}

impl fmt::Display for KeyedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for KeyedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if !names::is_sealable(location) {
            return self.inner.put_opts(location, payload, opts).await;
        }
        let sealed = seal_object(&self.keys, location.as_ref(), payload.into()).map_err(fault)?;
        self.inner.put_opts(location, sealed.into(), opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if names::is_sealable(location) && self.keys.write_id().is_some() {
            let reason = format!("`{location}` is to be encrypted, which is not done in pieces");
            return Err(fault(ArchiveError::Invalid(reason)));
        }
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        KeySlot::answer(&options, &self.keys);
        match names::is_sealable(location) && !options.head {
            true => self.get_object(location, options).await,
            false => self.inner.get_opts(location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if !names::is_sealable(location) {
            return self.inner.get_ranges(location, ranges).await;
        }
        let whole = self.get_object(location, GetOptions::default()).await?;
        let size = whole.meta.size;
        let clear = whole.bytes().await?;
        let cut = |range: &Range<u64>| slice(&clear, &within(Some(GetRange::Bounded(range.clone())), size));
        Ok(ranges.iter().map(cut).collect())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
