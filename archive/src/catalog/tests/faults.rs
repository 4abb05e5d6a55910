//! A store that lies, stalls and counts: what the catalog must survive.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// What happens to the next put.
#[derive(Debug, Clone, Copy)]
pub(super) enum PutFault {
    /// It is not done, and the answer is an error.
    FailBefore,
    /// It is done, and the answer is an error all the same.
    FailAfter,
    /// It is not done, and the answer is that the key exists (S3's 409).
    PretendExists,
}

/// What runs just before the next put reaches the store.
type Meanwhile = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A store in memory with faults.
#[derive(Default)]
pub(super) struct FaultyStore {
    pub(super) inner: std::sync::Arc<InMemory>,
    faults: Mutex<Vec<PutFault>>,
    meanwhile: Mutex<Option<Meanwhile>>,
    puts: AtomicUsize,
    gets: AtomicUsize,
    lists: AtomicUsize,
}

/// How many requests were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) puts: usize,
    pub(super) gets: usize,
    pub(super) lists: usize,
}

impl FaultyStore {
    /// The next puts meet these faults, the first one first.
    pub(super) fn fail_puts(&self, faults: &[PutFault]) {
        *self.faults.lock() = faults.iter().rev().copied().collect();
    }

    /// Something happens between the decision of the caller to put and the put.
    pub(super) fn before_next_put(&self, meanwhile: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        *self.meanwhile.lock() = Some(Box::new(meanwhile));
    }

    /// Requests since the last call.
    pub(super) fn take_requests(&self) -> Requests {
        let take = |counter: &AtomicUsize| counter.swap(0, Ordering::Relaxed);
        Requests {
            puts: take(&self.puts),
            gets: take(&self.gets),
            lists: take(&self.lists),
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: "connection lost".into(),
    }
}

impl ObjectStore for FaultyStore {
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
        Box::pin(async move {
            self.puts.fetch_add(1, Ordering::Relaxed);
            let meanwhile = self.meanwhile.lock().take();
            if let Some(meanwhile) = meanwhile {
                meanwhile().await;
            }
            let fault = self.faults.lock().pop();
            match fault {
                None => self.inner.put_opts(location, payload, opts).await,
                Some(PutFault::FailBefore) => Err(lost()),
                Some(PutFault::FailAfter) => self.inner.put_opts(location, payload, opts).await.and(Err(lost())),
                Some(PutFault::PretendExists) => Err(object_store::Error::AlreadyExists {
                    path: location.to_string(),
                    source: "409".into(),
                }),
            }
        })
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
        self.inner.put_multipart_opts(location, opts)
    }

    fn get_opts<'s, 'p, 'f>(&'s self, location: &'p Path, options: GetOptions) -> BoxFuture<'f, Result<GetResult>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get_opts(location, options)
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
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get_ranges(location, ranges)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
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
}
