//! A store whose answers take a while, and what was under way in it: counted in turns of the scheduler, never by a clock.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// Turns that an answer takes; everybody who can do something does it meanwhile.
const TURNS: usize = 200;

/// What happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic {
    /// Ranges that were asked for.
    pub(super) requests: usize,
    /// Bytes of them.
    pub(super) bytes: u64,
    /// How often something was asked for while nothing was under way.
    pub(super) rounds: usize,
    pub(super) under_way: usize,
    pub(super) most_under_way: usize,
    bytes_under_way: u64,
    pub(super) most_bytes_under_way: u64,
}

#[derive(Debug)]
pub(super) struct FarStore {
    inner: Arc<dyn ObjectStore>,
    traffic: Mutex<Traffic>,
    /// Whether ranges are answered.
    is_broken: Mutex<bool>,
}

impl FarStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            traffic: Mutex::default(),
            is_broken: Mutex::new(false),
        })
    }

    /// What happened since the last call.
    pub(super) fn traffic(&self) -> Traffic {
        let mut traffic = self.traffic.lock();
        let under_way = traffic.under_way;
        let happened = std::mem::take(&mut *traffic);
        traffic.under_way = under_way;
        traffic.bytes_under_way = happened.bytes_under_way;
        happened
    }

    /// From now on ranges are not answered.
    pub(super) fn fail(&self) {
        *self.is_broken.lock() = true;
    }
}

/// A request, as long as somebody waits for it.
struct UnderWay<'a>(&'a FarStore, u64);

impl<'a> UnderWay<'a> {
    fn new(store: &'a FarStore, bytes: u64) -> Self {
        let mut traffic = store.traffic.lock();
        traffic.requests += 1;
        traffic.bytes += bytes;
        traffic.rounds += usize::from(traffic.under_way == 0);
        traffic.under_way += 1;
        traffic.bytes_under_way += bytes;
        traffic.most_under_way = traffic.most_under_way.max(traffic.under_way);
        traffic.most_bytes_under_way = traffic.most_bytes_under_way.max(traffic.bytes_under_way);
        Self(store, bytes)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut traffic = self.0.traffic.lock();
        traffic.under_way -= 1;
        traffic.bytes_under_way -= self.1;
    }
}

impl fmt::Display for FarStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("far store")
    }
}

#[async_trait]
impl ObjectStore for FarStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        let _under_way = UnderWay::new(self, bytes);
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        if *self.is_broken.lock() {
            return Err(object_store::Error::NotImplemented {
                operation: "get_ranges".to_owned(),
                implementer: "far store".to_owned(),
            });
        }
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
