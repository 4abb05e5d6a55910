//! A store in memory that breaks one rule.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

/// The rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crookedness {
    RemembersAbsence,
    CreateOverwrites,
    CreateSaysYes,
    CreateRefused,
    CreateInTwoSteps,
    ListingLags,
    ListingSizes,
    ListingBackwards,
    LoosePrefix,
    NamesChange,
    RangesShift,
    PartsSwap,
    PartsShowEarly,
    AbortCompletes,
    DeleteKeeps,
    DeletedStayListed,
    Denies(Denied),
    Down,
}

/// What there are no rights for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    Create,
    List,
    Delete,
    Everything,
}

#[derive(Debug)]
pub(super) struct Crooked {
    inner: Arc<InMemory>,
    how: Crookedness,
    absent: Mutex<BTreeSet<Path>>,
    deleted: Arc<Mutex<Vec<ObjectMeta>>>,
    newest: Mutex<Option<Path>>,
}

impl Crooked {
    pub(super) fn new(how: Crookedness) -> Self {
        Self {
            inner: Arc::default(),
            how,
            absent: Mutex::default(),
            deleted: Arc::default(),
            newest: Mutex::default(),
        }
    }

    fn let_through(&self, what: Denied, path: &Path) -> Result<()> {
        match self.how {
            Crookedness::Down => Err(Error::Generic {
                store: "crooked",
                source: "connection refused".into(),
            }),
            Crookedness::Denies(denied) if denied == what || denied == Denied::Everything => {
                Err(Error::PermissionDenied {
                    path: path.to_string(),
                    source: "403".into(),
                })
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, path: &Path, payload: PutPayload) -> Result<PutResult> {
        self.let_through(Denied::Create, path)?;
        let mode = match self.how {
            Crookedness::CreateOverwrites => PutMode::Overwrite,
            Crookedness::CreateRefused => {
                return Err(Error::Generic {
                    store: "crooked",
                    source: "501 A header you provided implies functionality that is not implemented".into(),
                });
            }
            Crookedness::CreateInTwoSteps => {
                if self.inner.head(path).await.is_ok() {
                    PutMode::Create
                } else {
                    tokio::task::yield_now().await;
                    PutMode::Overwrite
                }
            }
            _ => PutMode::Create,
        };
        let created = self.inner.put_opts(path, payload, mode.into()).await;
        match created {
            Err(Error::AlreadyExists { .. }) if self.how == Crookedness::CreateSaysYes => {
                self.inner.put(&"elsewhere".into(), "".into()).await
            }
            created => created,
        }
    }
}

impl fmt::Display for Crooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crooked({:?})", self.how)
    }
}

#[async_trait]
impl ObjectStore for Crooked {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.let_through(Denied::Everything, location)?;
        *self.newest.lock() = Some(location.clone());
        if opts.mode == PutMode::Create {
            return self.create(location, payload).await;
        }
        let location = match self.how {
            Crookedness::NamesChange => Path::from(location.as_ref().replace(' ', "+")),
            _ => location.clone(),
        };
        self.inner.put_opts(&location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = Parts {
            store: self.inner.clone(),
            how: self.how,
            location: location.clone(),
            parts: Vec::new(),
        };
        Ok(Box::new(upload) as Box<dyn MultipartUpload>)
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        self.let_through(Denied::Everything, location)?;
        if let (Crookedness::RangesShift, Some(GetRange::Bounded(range))) = (self.how, &mut options.range) {
            let length = range.end - range.start;
            range.start = (range.start + 1).min(90_000);
            range.end = range.start + length;
        }
        let found = self.inner.get_opts(location, options).await;
        if self.how == Crookedness::RemembersAbsence {
            let mut absent = self.absent.lock();
            if found.is_err() {
                absent.insert(location.clone());
            } else if absent.contains(location) {
                return Err(Error::NotFound {
                    path: location.to_string(),
                    source: "kept".into(),
                });
            }
        }
        found
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if let Err(error) = self.let_through(Denied::Delete, &Path::default()) {
            return stream::once(async { Err(error) }).boxed();
        }
        if self.how == Crookedness::DeleteKeeps {
            return locations;
        }
        let (inner, deleted) = (self.inner.clone(), self.deleted.clone());
        let noted = locations.and_then(move |path| {
            let (inner, deleted) = (inner.clone(), deleted.clone());
            async move {
                let known = inner.head(&path).await.ok();
                deleted.lock().extend(known);
                Ok(path)
            }
        });
        self.inner.delete_stream(noted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.let_through(Denied::List, &Path::default()) {
            return stream::once(async { Err(error) }).boxed();
        }
        let (inner, how, newest) = (self.inner.clone(), self.how, self.newest.lock().clone());
        let (prefix, deleted) = (prefix.cloned().unwrap_or_default(), self.deleted.lock().clone());
        let listed = async move {
            let all: Vec<ObjectMeta> = inner.list(None).try_collect().await?;
            let is_below = |path: &Path| match how {
                Crookedness::LoosePrefix => path.as_ref().starts_with(prefix.as_ref()),
                _ => path.prefix_match(&prefix).is_some_and(|mut rest| rest.next().is_some()),
            };
            let mut found: Vec<_> = all.into_iter().filter(|object| is_below(&object.location)).collect();
            match how {
                Crookedness::ListingLags => found.retain(|object| Some(&object.location) != newest.as_ref()),
                Crookedness::ListingSizes => found.iter_mut().for_each(|object| object.size += 1),
                Crookedness::ListingBackwards => found.reverse(),
                Crookedness::DeletedStayListed => {
                    found.extend(deleted.into_iter().filter(|object| is_below(&object.location)));
                }
                _ => {}
            }
            Ok::<_, Error>(stream::iter(found.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload that holds its parts.
#[derive(Debug)]
struct Parts {
    store: Arc<InMemory>,
    how: Crookedness,
    location: Path,
    parts: Vec<PutPayload>,
}

impl Parts {
    fn whole(&self) -> PutPayload {
        let mut parts: Vec<_> = self.parts.iter().collect();
        if self.how == Crookedness::PartsSwap {
            parts.reverse();
        }
        parts.into_iter().flat_map(|part| part.iter().cloned()).collect()
    }

    fn write(&self) -> impl Future<Output = Result<PutResult>> + use<> {
        let (store, location, whole) = (self.store.clone(), self.location.clone(), self.whole());
        async move { store.put(&location, whole).await }
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(data);
        if self.how == Crookedness::PartsShowEarly {
            let write = self.write();
            return Box::pin(async move { write.await.map(drop) });
        }
        Box::pin(async { Ok(()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.write().await
    }

    async fn abort(&mut self) -> Result<()> {
        if self.how == Crookedness::AbortCompletes {
            self.write().await?;
        }
        Ok(())
    }
}
