//! The simulated object store: every request waits until the scheduler lets it happen, and happens as the scheduler says.
//!
//! Requests take effect one at a time and listings are strongly consistent, as S3 promises. Everything else that a network does is up to
//! the scheduler: requests that fail before or after they took effect, that take effect long after the caller gave up, or twice.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use emberkeep_archive::{CondemnedList, names, open_envelope, seal_envelope};
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::planted::Lie;

/// What an actor wants.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Put {
        path: Path,
        bytes: Bytes,
        create: bool,
    },
    Get(Path),
    Delete(Path),
    /// A page of a listing: what comes after the first so many names.
    List(Path, After),
    /// Nothing but to go on later.
    Pause,
}

/// Where a page of a listing begins.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Nothing,
    /// The last name of the page before, and when that object was made.
    Name(Path, u64),
}

/// What the store says.
#[derive(Debug)]
pub(crate) enum Reply {
    Done,
    Object(ObjectMeta, Bytes),
    /// A page, and where the next one begins.
    Listed(Vec<ObjectMeta>, Option<After>),
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) actor: usize,
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Result<Reply>>,
}

/// A change of the store, for the model.
#[derive(Debug)]
pub(crate) enum Event {
    Created(Path, Bytes),
    Deleted(Path),
}

#[derive(Debug)]
struct Stored {
    bytes: Bytes,
    at: i64,
    /// Objects with random names are listed in the order in which they were made, so that a run does not depend on the names.
    born: u64,
}

/// Objects, time, and what waits.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Milliseconds since 1970.
    pub(crate) now: i64,
    /// Who is being polled.
    pub(crate) actor: usize,
    pub(crate) pending: Vec<Pending>,
    pub(crate) events: Vec<Event>,
    /// Names on a page of a listing; what changes between two pages is seen on one and not on the other.
    pub(crate) page: usize,
    objects: BTreeMap<Path, Stored>,
    births: u64,
}

impl World {
    /// An empty world at a moment.
    pub(crate) fn at(now: i64) -> Self {
        Self {
            now,
            page: 1000,
            ..Self::default()
        }
    }

    /// Lets a request happen.
    pub(crate) fn execute(&mut self, request: &Request) -> Result<Reply> {
        match request {
            Request::Pause => Ok(Reply::Done),
            Request::Put { path, create: true, .. } if self.objects.contains_key(path) => Err(exists(path)),
            Request::Put { path, bytes, .. } => {
                self.births += 1;
                let stored = Stored {
                    bytes: bytes.clone(),
                    at: self.now,
                    born: self.births,
                };
                self.objects.insert(path.clone(), stored);
                self.events.push(Event::Created(path.clone(), bytes.clone()));
                Ok(Reply::Done)
            }
            Request::Get(path) => {
                let stored = self.objects.get(path).ok_or_else(|| not_found(path))?;
                Ok(Reply::Object(meta(path, stored), stored.bytes.clone()))
            }
            Request::Delete(path) => {
                if self.objects.remove(path).is_some() {
                    self.events.push(Event::Deleted(path.clone()));
                }
                Ok(Reply::Done)
            }
            Request::List(prefix, after) => {
                let below = self.objects.iter().filter(|(path, _)| path.prefix_matches(prefix));
                let mut found: Vec<_> = below.collect();
                let is_by_name = ["_archive/roots", "_archive/log"].contains(&prefix.as_ref());
                if !is_by_name {
                    found.sort_by_key(|(_, stored)| stored.born);
                }
                found.retain(|(path, stored)| match after {
                    After::Nothing => true,
                    After::Name(name, _) if is_by_name => *path > name,
                    After::Name(_, born) => stored.born > *born,
                });
                let next = found.get(self.page - 1).filter(|_| found.len() > self.page);
                let next = next.map(|(path, stored)| After::Name((*path).clone(), stored.born));
                let page = found.into_iter().take(self.page);
                Ok(Reply::Listed(
                    page.map(|(path, stored)| meta(path, stored)).collect(),
                    next,
                ))
            }
        }
    }

    /// An accident, of which the model hears nothing: the object is gone.
    pub(crate) fn lose(&mut self, path: &Path) {
        self.objects.remove(path);
    }

    /// An accident: the object holds something else.
    pub(crate) fn damage(&mut self, path: &Path) {
        if let Some(stored) = self.objects.get_mut(path) {
            stored.bytes = Bytes::from_static(b"damaged");
        }
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.objects.contains_key(path)
    }

    /// Names below a prefix.
    pub(crate) fn names(&self, prefix: &str) -> Vec<Path> {
        let names = self.objects.keys().filter(|path| path.as_ref().starts_with(prefix));
        names.cloned().collect()
    }
}

/// How an actor sees the store.
#[derive(Debug, Clone)]
pub(crate) struct SimStore {
    world: Arc<Mutex<World>>,
    /// Whether requests happen at once and for sure: so looks the model.
    is_oracle: bool,
    lie: Option<Lie>,
    /// What whoever lies must remember.
    memory: Arc<Mutex<Memory>>,
}

/// What whoever lies must remember.
#[derive(Debug, Default)]
struct Memory {
    listed: Option<Vec<ObjectMeta>>,
    /// The root that was created last.
    root: Option<u64>,
}

impl SimStore {
    pub(crate) fn for_actors(world: &Arc<Mutex<World>>, lie: Option<Lie>) -> Self {
        Self {
            world: Arc::clone(world),
            is_oracle: false,
            lie,
            memory: Arc::default(),
        }
    }

    pub(crate) fn for_model(world: &Arc<Mutex<World>>) -> Self {
        Self {
            world: Arc::clone(world),
            is_oracle: true,
            lie: None,
            memory: Arc::default(),
        }
    }

    /// Makes the request, and waits until it is answered.
    pub(crate) fn ask(&self, request: Request) -> BoxFuture<'static, Result<Reply>> {
        let (world, is_oracle) = (Arc::clone(&self.world), self.is_oracle);
        let asked = async move {
            if is_oracle {
                return world.lock().execute(&request);
            }
            let (answer, answered) = oneshot::channel();
            {
                let mut world = world.lock();
                let actor = world.actor;
                world.pending.push(Pending { actor, request, answer });
            }
            answered.await.unwrap_or_else(|_| Err(lost()))
        };
        asked.boxed()
    }
}

impl SimStore {
    async fn object(&self, location: &Path) -> Result<(ObjectMeta, Bytes)> {
        if self.lie == Some(Lie::NoNextRoot) {
            let mut memory = self.memory.lock();
            if memory.root.is_some_and(|n| names::root(n + 1) == *location) {
                memory.root = None;
                return Err(not_found(location));
            }
        }
        let found = match self.ask(Request::Get(location.clone())).await {
            Ok(Reply::Object(meta, bytes)) => (meta, bytes),
            Err(error) => return Err(error),
            Ok(_) => return Err(lost()),
        };
        Ok(self.list_as_told(location, found))
    }

    /// A list of condemned files, as whoever is lied to sees it.
    fn list_as_told(&self, location: &Path, (meta, bytes): (ObjectMeta, Bytes)) -> (ObjectMeta, Bytes) {
        let is_list = location.prefix_matches(&names::condemned_lists());
        let list = open_envelope::<CondemnedList>(location.as_ref(), &bytes)
            .ok()
            .filter(|_| is_list);
        let told = match (self.lie, list) {
            // Whatever is there is all that came in the place of what was removed.
            (Some(Lie::NothingInPlace), Some(list)) if !list.by.is_empty() => {
                let is_there = |ulid: &&String| {
                    self.world
                        .lock()
                        .objects
                        .keys()
                        .any(|path| path.as_ref().contains(*ulid))
                };
                CondemnedList {
                    by: list.by.iter().filter(is_there).cloned().collect(),
                    ..list
                }
            }
            _ => return (meta, bytes),
        };
        let bytes = seal_envelope(&told).expect("it was one");
        let size = bytes.len() as u64;
        (ObjectMeta { size, ..meta }, bytes)
    }

    /// A page of a listing, as whoever is lied to sees it.
    fn as_told(&self, prefix: &Path, page: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        let mut memory = self.memory.lock();
        match self.lie {
            Some(Lie::FirstPins) if *prefix == names::pins() => memory.listed.get_or_insert(page).clone(),
            Some(Lie::FirstLog) if *prefix == names::log() => memory.listed.get_or_insert(page).clone(),
            Some(Lie::NoRoots) if *prefix == names::roots() => Vec::new(),
            Some(Lie::NoLocks) if *prefix == names::locks() => Vec::new(),
            Some(Lie::OldLists) if [names::manifests(), names::condemned_lists()].contains(prefix) => {
                let old = |object: ObjectMeta| ObjectMeta {
                    last_modified: SystemTime::UNIX_EPOCH.into(),
                    ..object
                };
                page.into_iter().map(old).collect()
            }
            _ => page,
        }
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |n: u64| usize::try_from(n).expect("files are small").min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated store")
    }
}

/// No answer came.
pub(crate) fn lost() -> Error {
    Error::Generic {
        store: "simulated",
        source: "connection lost".into(),
    }
}

/// The key is taken.
pub(crate) fn exists(path: &Path) -> Error {
    Error::AlreadyExists {
        path: path.to_string(),
        source: "409".into(),
    }
}

fn not_found(path: &Path) -> Error {
    Error::NotFound {
        path: path.to_string(),
        source: "404".into(),
    }
}

fn meta(path: &Path, stored: &Stored) -> ObjectMeta {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(stored.at.unsigned_abs());
    ObjectMeta {
        location: path.clone(),
        last_modified: at.into(),
        size: stored.bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let request = Request::Put {
            path: location.clone(),
            bytes: payload.into(),
            create: opts.mode == PutMode::Create,
        };
        let asked = self.ask(request);
        match asked.await {
            Err(Error::AlreadyExists { .. }) if self.lie == Some(Lie::Created) => {}
            put => drop(put?),
        }
        self.memory.lock().root = names::parse_root(location);
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: opts.extensions,
        })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("simulated files are small")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (meta, bytes) = self.object(location).await?;
        let whole = 0..meta.size;
        let range = match options.range.filter(|_| !options.head) {
            Some(range) => range.as_range(meta.size).map_err(|_| lost())?,
            None => whole,
        };
        let bytes = if options.head { bytes } else { slice(&bytes, &range) };
        Ok(GetResult {
            range,
            meta,
            payload: GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed()),
            attributes: Attributes::default(),
            extensions: options.extensions,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (_, bytes) = self.object(location).await?;
        Ok(ranges.iter().map(|range| slice(&bytes, range)).collect())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Path| {
            let asked = store.ask(Request::Delete(path.clone()));
            async move { asked.await.map(|_| path) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let pages = futures::stream::try_unfold(Some(After::Nothing), move |after| {
            let (store, prefix) = (store.clone(), prefix.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let Reply::Listed(page, next) = store.ask(Request::List(prefix.clone(), after)).await? else {
                    return Err(lost());
                };
                let page = store.as_told(&prefix, page);
                Ok(Some((futures::stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        unreachable!("the catalog lists flat")
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        unreachable!("the catalog copies nothing")
    }
}
