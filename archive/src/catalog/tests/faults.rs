//! A store that lies, stalls and counts: what the catalog must survive.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
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
    pub(super) inner: Arc<InMemory>,
    faults: Mutex<Vec<PutFault>>,
    /// The next put of a name that begins so.
    fault_of: Mutex<Option<(Path, PutFault)>>,
    meanwhile: Mutex<Option<Meanwhile>>,
    /// Runs after the next put of a name that begins so.
    afterwards: Mutex<Option<(Path, Meanwhile)>>,
    /// How many more requests are answered; no limit without.
    budget: Arc<Mutex<Option<usize>>>,
    /// What the store's clock shows, milliseconds since 1970; the real time without.
    clock: Mutex<Option<i64>>,
    times: Arc<Mutex<HashMap<Path, i64>>>,
    deletes: Arc<AtomicUsize>,
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

    /// The next put below the prefix meets this fault.
    pub(super) fn fail_put_below(&self, prefix: &Path, fault: PutFault) {
        *self.fault_of.lock() = Some((prefix.clone(), fault));
    }

    /// Something happens after the next put below the prefix, before its maker goes on.
    pub(super) fn after_put_below(
        &self,
        prefix: &Path,
        afterwards: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static,
    ) {
        *self.afterwards.lock() = Some((prefix.clone(), Box::new(afterwards)));
    }

    /// So many requests are answered from now on, and no others.
    pub(super) fn answer_only(&self, budget: Option<usize>) {
        *self.budget.lock() = budget;
    }

    /// What is written from now on has this time.
    pub(super) fn set_clock(&self, now_ms: i64) {
        *self.clock.lock() = Some(now_ms);
    }

    /// Deletions since the last call.
    pub(super) fn take_deletes(&self) -> usize {
        self.deletes.swap(0, Ordering::Relaxed)
    }

    fn timed(times: &Mutex<HashMap<Path, i64>>, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(at) = times.lock().get(&meta.location) {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at.unsigned_abs());
            meta.last_modified = at.into();
        }
        meta
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

/// Takes one request out of the budget.
fn spend(budget: &Mutex<Option<usize>>) -> Result<()> {
    match &mut *budget.lock() {
        Some(0) => Err(lost()),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: "connection lost".into(),
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        spend(&self.budget)?;
        let meanwhile = self.meanwhile.lock().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile().await;
        }
        let aimed = self
            .fault_of
            .lock()
            .take_if(|(prefix, _)| location.prefix_matches(prefix));
        let fault = aimed.map(|(_, fault)| fault).or_else(|| self.faults.lock().pop());
        let now = *self.clock.lock();
        if let (Some(now), Err(_)) = (now, self.inner.head(location).await) {
            self.times.lock().insert(location.clone(), now);
        }
        match fault {
            None => {
                let answer = self.inner.put_opts(location, payload, opts).await;
                let afterwards = self
                    .afterwards
                    .lock()
                    .take_if(|(prefix, _)| location.prefix_matches(prefix));
                if let Some((_, afterwards)) = afterwards {
                    afterwards().await;
                }
                answer
            }
            Some(PutFault::FailBefore) => Err(lost()),
            Some(PutFault::FailAfter) => self.inner.put_opts(location, payload, opts).await.and(Err(lost())),
            Some(PutFault::PretendExists) => Err(object_store::Error::AlreadyExists {
                path: location.to_string(),
                source: "409".into(),
            }),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        spend(&self.budget)?;
        let mut found = self.inner.get_opts(location, options).await?;
        found.meta = Self::timed(&self.times, found.meta);
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (budget, deletes) = (Arc::clone(&self.budget), Arc::clone(&self.deletes));
        let counted = locations.and_then(move |path| {
            deletes.fetch_add(1, Ordering::Relaxed);
            std::future::ready(spend(&budget).map(|()| path))
        });
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = spend(&self.budget) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let times = Arc::clone(&self.times);
        let listing = self.inner.list(prefix);
        listing.map_ok(move |meta| Self::timed(&times, meta)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
