//! A store that counts: requests by operation, bytes in both directions, failures, and how long answers take.
//!
//! Requests cost money and are the first thing that is wrong when something loops, so every process wraps its store in this one, and tests hold the
//! catalog to exact numbers with it. A request here is one that a store would bill: a listing counts once for each page of 1,000 names, a
//! read of several ranges once for each piece that neighbouring ranges are joined to. What a client repeats by itself after an error is not seen here. It
//! must never change what is asked or answered.

mod streams;
mod traffic;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use streams::{CountedListing, CountedUpload};
pub use traffic::{StoreOperation, StoreTraffic};

/// An [`ObjectStore`] that counts what goes through it.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    traffic: StoreTraffic,
}

impl CountingStore {
    /// Wraps a store; the traffic is that of the store returned.
    #[must_use]
    pub fn wrap(inner: Arc<dyn ObjectStore>) -> (Arc<dyn ObjectStore>, StoreTraffic) {
        let traffic = StoreTraffic::default();
        let store = Self {
            inner,
            traffic: traffic.clone(),
        };
        (Arc::new(store), traffic)
    }
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Requests that a read of ranges comes to: clients join those that lie near each other.
fn joined(ranges: &[Range<u64>]) -> u64 {
    let mut sorted: Vec<_> = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let (mut requests, mut end) = (0, None);
    for range in sorted {
        match end {
            Some(end) if range.start.saturating_sub(end) <= OBJECT_STORE_COALESCE_DEFAULT => {}
            _ => requests += 1,
        }
        end = Some(end.map_or(range.end, |end: u64| end.max(range.end)));
    }
    requests
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let operation = match opts.mode {
            PutMode::Create => StoreOperation::Create,
            PutMode::Overwrite | PutMode::Update(_) => StoreOperation::Put,
        };
        self.traffic.sent(payload.content_length());
        let put = self.inner.put_opts(location, payload, opts);
        self.traffic.time(operation, put).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(location, opts);
        let inner = self.traffic.time(StoreOperation::MultipartStart, begun).await?;
        Ok(Box::new(CountedUpload::new(inner, self.traffic.clone())) as Box<dyn MultipartUpload>)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = match (options.head, &options.range) {
            (true, _) => StoreOperation::Head,
            (false, Some(_)) => StoreOperation::GetRange,
            (false, None) => StoreOperation::Get,
        };
        let answer = self.inner.get_opts(location, options);
        let answer = self.traffic.time(operation, answer).await?;
        // Counted as they come, so that a body that nobody reads costs nothing.
        let (meta, range) = (answer.meta.clone(), answer.range.clone());
        let (attributes, extensions) = (answer.attributes.clone(), answer.extensions.clone());
        let traffic = self.traffic.clone();
        let counted = answer.into_stream().inspect(move |piece| match piece {
            Ok(piece) => traffic.received(piece.len()),
            Err(_) => traffic.failed(operation),
        });
        Ok(GetResult {
            payload: GetResultPayload::Stream(counted.boxed()),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let pieces = self.inner.get_ranges(location, ranges);
        let found = self.traffic.time(StoreOperation::GetRange, pieces).await?;
        // The first was counted above.
        self.traffic
            .count(StoreOperation::GetRange, joined(ranges).saturating_sub(1));
        self.traffic.received(found.iter().map(Bytes::len).sum());
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let traffic = self.traffic.clone();
        let answers = self.inner.delete_stream(locations);
        let counted = answers.inspect(move |answer| {
            traffic.count(StoreOperation::Delete, 1);
            if let Err(error) = answer {
                traffic.judge(StoreOperation::Delete, error);
            }
        });
        counted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        CountedListing::new(self.inner.list(prefix), self.traffic.clone(), Instant::now()).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = self.inner.list_with_offset(prefix, offset);
        CountedListing::new(listing, self.traffic.clone(), Instant::now()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listing = self.inner.list_with_delimiter(prefix);
        self.traffic.time(StoreOperation::List, listing).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = self.inner.copy_opts(from, to, options);
        self.traffic.time(StoreOperation::Copy, copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let rename = self.inner.rename_opts(from, to, options);
        self.traffic.time(StoreOperation::Copy, rename).await
    }
}

#[cfg(test)]
mod tests;
