//! A directory as an object store, durable at every step.
//!
//! Used for archives of type FILESYSTEM and for local staging. When an operation returns, a crash of the machine cannot take
//! it back: content is synced before it gets its name, and every directory that got a name is synced before the answer.
//! An object is visible under its name either whole or not at all, and is never changed in place.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Extensions, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, Result,
};

use emberkeep_disk::FileSystem;

use crate::ArchiveError;
use crate::local_file::{LocalFile, LocalSource};

mod files;
mod listing;
mod upload;

#[cfg(test)]
mod tests;

use files::Files;
use upload::DirectoryUpload;

/// Bytes that a streamed read holds at once.
const STREAM_BYTES: u64 = 1 << 20;

/// Bytes that count as one of the steps after which a task gives way.
const BYTES_OF_A_STEP: usize = 64 << 10;

/// An [`ObjectStore`] over a directory.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    files: Arc<Files>,
}

impl fmt::Display for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryStore({})", self.files.root().display())
    }
}

impl DirectoryStore {
    /// Opens a directory, creating it when it is missing.
    ///
    /// A process that died between naming an object and syncing the name leaves an object that can be read and is not durable
    /// yet; so all directories of the catalog are synced once here, before anybody can draw conclusions from what they hold.
    ///
    /// # Errors
    /// [`ArchiveError::Config`] when the directory cannot be used.
    pub fn open(fs: Arc<dyn FileSystem>, root: impl Into<PathBuf>) -> Result<Self, ArchiveError> {
        let root = root.into();
        let files = Files::open(fs, root.clone());
        let files = files.map_err(|error| ArchiveError::Config(format!("directory `{}`: {error}", root.display())))?;
        Ok(Self { files: Arc::new(files) })
    }

    /// Runs file I/O where it may block: on the blocking pool inside a runtime, right here outside of one.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Files) -> Result<T> + Send + 'static) -> Result<T> {
        let files = Arc::clone(&self.files);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(move || work(&files)).await?,
            Err(_) => work(&files),
        }
    }
}

#[async_trait]
impl ObjectStore for DirectoryStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let location = location.clone();
        self.run(move |files| {
            match opts.mode {
                PutMode::Create => files.create(&location, &payload)?,
                PutMode::Overwrite => files.overwrite(&location, &payload)?,
                PutMode::Update(_) => return Err(files::not_implemented("conditional update")),
            }
            Ok(put_result())
        })
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let location = location.clone();
        let target = location.clone();
        let begin = move |files: &Files| match LocalSource::offered(&opts) {
            Some(source) => files.begin_with(&target, &source),
            None => files.begin(&target),
        };
        let temporary = self.run(begin).await?;
        let upload = DirectoryUpload::new(self.clone(), location, temporary);
        Ok(Box::new(upload) as Box<dyn MultipartUpload>)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = location.clone();
        let (meta, range, file) = self
            .run(move |files| {
                let (meta, file) = files.open_object(&path)?;
                options.check_preconditions(&meta)?;
                LocalFile::answer(&options, files.path_of(&path)?);
                let range = match &options.range {
                    Some(range) => range.as_range(meta.size).map_err(files::generic)?,
                    None => 0..meta.size,
                };
                Ok((meta, range, if options.head { None } else { Some(Arc::from(file)) }))
            })
            .await?;
        let payload = match file {
            Some(file) => GetResultPayload::Stream(self.stream(file, range.clone())),
            None => GetResultPayload::Stream(stream::empty().boxed()),
        };
        let (attributes, extensions) = (Attributes::default(), Extensions::default());
        Ok(GetResult {
            payload,
            meta,
            range,
            attributes,
            extensions,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(found) = self.files.cached_ranges(location, ranges) {
            let bytes: usize = found.iter().map(Bytes::len).sum();
            give_way(bytes).await;
            return Ok(found);
        }
        let (location, ranges) = (location.clone(), ranges.to_vec());
        self.run(move |files| files.read_ranges(&location, &ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.run(move |files| files.delete(&location).map(|()| location)).await
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.run(move |files| {
            let (objects, common_prefixes) = files.list_level(prefix.as_ref())?;
            Ok(ListResult {
                common_prefixes,
                objects,
                extensions: Extensions::default(),
            })
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |files| files.copy(&from, &to, options.mode == CopyMode::Create))
            .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |files| {
            // A copy is a second name, so this is a rename that also knows how to refuse.
            files.copy(&from, &to, options.target_mode == RenameTargetMode::Create)?;
            if from == to { Ok(()) } else { files.delete(&from) }
        })
        .await
    }
}

impl DirectoryStore {
    fn list_from(&self, prefix: Option<&Path>, offset: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let all = async move {
            let listed = store
                .run(move |files| files.list(prefix.as_ref(), offset.as_ref()))
                .await;
            match listed {
                Ok(objects) => stream::iter(objects.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(all).flatten().boxed()
    }

    fn stream(&self, file: Arc<dyn emberkeep_disk::File>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let store = self.clone();
        let pieces = stream::unfold(range, move |left| {
            let (store, file) = (store.clone(), Arc::clone(&file));
            async move {
                let piece = left.start..left.end.min(left.start.saturating_add(STREAM_BYTES));
                if piece.is_empty() {
                    return None;
                }
                let rest = piece.end..left.end;
                Some((store.run(move |_| files::read_range(&*file, &piece)).await, rest))
            }
        });
        // An empty object is polled once more than it has pieces.
        pieces.fuse().boxed()
    }
}

/// Lets others run now and then: a reader that never has to wait would keep its thread, and not see that nobody wants its answer.
async fn give_way(bytes: usize) {
    for _ in 0..=bytes / BYTES_OF_A_STEP {
        tokio::task::consume_budget().await;
    }
}

/// There are no tags: nothing here is ever updated under a condition.
fn put_result() -> PutResult {
    PutResult {
        e_tag: None,
        version: None,
        extensions: Extensions::default(),
    }
}
