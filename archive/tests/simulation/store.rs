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
    List(Path),
    /// Nothing but to go on later.
    Pause,
}

/// What the store says.
#[derive(Debug)]
pub(crate) enum Reply {
    Done,
    Object(ObjectMeta, Bytes),
    Listed(Vec<ObjectMeta>),
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
    objects: BTreeMap<Path, Stored>,
    births: u64,
}

impl World {
    /// An empty world at a moment.
    pub(crate) fn at(now: i64) -> Self {
        Self { now, ..Self::default() }
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
            Request::List(prefix) => {
                let below = self.objects.iter().filter(|(path, _)| path.prefix_matches(prefix));
                let mut found: Vec<_> = below.collect();
                let is_by_name = ["_archive/roots", "_archive/log"].contains(&prefix.as_ref());
                if !is_by_name {
                    found.sort_by_key(|(_, stored)| stored.born);
                }
                Ok(Reply::Listed(
                    found.into_iter().map(|(path, stored)| meta(path, stored)).collect(),
                ))
            }
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
}

impl SimStore {
    pub(crate) fn for_actors(world: &Arc<Mutex<World>>) -> Self {
        Self {
            world: Arc::clone(world),
            is_oracle: false,
        }
    }

    pub(crate) fn for_model(world: &Arc<Mutex<World>>) -> Self {
        Self {
            world: Arc::clone(world),
            is_oracle: true,
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
        asked.await?;
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
        let asked = self.ask(Request::Get(location.clone()));
        let Reply::Object(meta, bytes) = asked.await? else {
            return Err(lost());
        };
        Ok(GetResult {
            range: 0..meta.size,
            meta,
            payload: GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed()),
            attributes: Attributes::default(),
            extensions: options.extensions,
        })
    }

    async fn get_ranges(&self, _location: &Path, _ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        unreachable!("the catalog reads whole objects")
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
        let asked = self.ask(Request::List(prefix.cloned().unwrap_or_default()));
        let listed = asked.map(|reply| match reply {
            Ok(Reply::Listed(found)) => found.into_iter().map(Ok).collect(),
            Ok(_) => vec![Err(lost())],
            Err(error) => vec![Err(error)],
        });
        listed.map(futures::stream::iter).into_stream().flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        unreachable!("the catalog lists flat")
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        unreachable!("the catalog copies nothing")
    }
}
