//! A store whose catalog objects are encrypted on the way in and decrypted on the way out.
//!
//! Parquet files pass as they are: they are encrypted inside, so that ranges of them can be read. `format` stays clear, because it says that
//! the archive is encrypted. What is clear already is handed out as it is: an archive may hold both while it is being encrypted.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

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
        let stored = self.inner.get_opts(location, options).await?;
        let (mut meta, attributes, extensions) = (
            stored.meta.clone(),
            stored.attributes.clone(),
            stored.extensions.clone(),
        );
        let bytes = stored.bytes().await?;
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

impl ObjectStore for KeyedStore {
    fn put_opts<'s, 'p, 'f>(
        &'s self,
        location: &'p Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> BoxFuture<'f, Result<PutResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        if !names::is_sealable(location) {
            return self.inner.put_opts(location, payload, opts);
        }
        async move {
            let sealed = seal_object(&self.keys, location.as_ref(), payload.into()).map_err(fault)?;
            self.inner.put_opts(location, sealed.into(), opts).await
        }
        .boxed()
    }

    fn put_multipart_opts<'s, 'p, 'f>(
        &'s self,
        location: &'p Path,
        opts: PutMultipartOptions,
    ) -> BoxFuture<'f, Result<Box<dyn MultipartUpload>>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        if names::is_sealable(location) && self.keys.write_id().is_some() {
            let reason = format!("`{location}` is to be encrypted, which is not done in pieces");
            return async { Err(fault(ArchiveError::Invalid(reason))) }.boxed();
        }
        self.inner.put_multipart_opts(location, opts)
    }

    fn get_opts<'s, 'p, 'f>(&'s self, location: &'p Path, options: GetOptions) -> BoxFuture<'f, Result<GetResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        KeySlot::answer(&options, &self.keys);
        match names::is_sealable(location) && !options.head {
            true => self.get_object(location, options).boxed(),
            false => self.inner.get_opts(location, options),
        }
    }

    fn get_ranges<'s, 'p, 'r, 'f>(
        &'s self,
        location: &'p Path,
        ranges: &'r [Range<u64>],
    ) -> BoxFuture<'f, Result<Vec<Bytes>>>
    where
        's: 'f,
        'p: 'f,
        'r: 'f,
        Self: 'f,
    {
        if !names::is_sealable(location) {
            return self.inner.get_ranges(location, ranges);
        }
        async move {
            let whole = self.get_object(location, GetOptions::default()).await?;
            let size = whole.meta.size;
            let clear = whole.bytes().await?;
            let cut = |range: &Range<u64>| slice(&clear, &within(Some(GetRange::Bounded(range.clone())), size));
            Ok(ranges.iter().map(cut).collect())
        }
        .boxed()
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

    fn list_with_delimiter<'s, 'p, 'f>(&'s self, prefix: Option<&'p Path>) -> BoxFuture<'f, Result<ListResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'a, 'b, 'f>(
        &'s self,
        from: &'a Path,
        to: &'b Path,
        options: CopyOptions,
    ) -> BoxFuture<'f, Result<()>>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        self.inner.copy_opts(from, to, options)
    }

    fn rename_opts<'s, 'a, 'b, 'f>(
        &'s self,
        from: &'a Path,
        to: &'b Path,
        options: RenameOptions,
    ) -> BoxFuture<'f, Result<()>>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        self.inner.rename_opts(from, to, options)
    }
}
