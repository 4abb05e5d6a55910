//! An upload in parts: a temporary file that grows, and gets its name at the end.

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use std::sync::Arc;

use super::files::{Temporary, error_of, generic};
use super::{DirectoryStore, put_result};

/// An upload in progress. Aborted or dropped without an end it leaves nothing; a process that dies leaves a file that no listing
/// shows.
#[derive(Debug)]
pub(super) struct DirectoryUpload {
    store: DirectoryStore,
    location: Path,
    temporary: Option<Arc<Temporary>>,
    /// Where the next part begins; parts are written at their places in any order.
    offset: u64,
}

impl DirectoryUpload {
    pub(super) fn new(store: DirectoryStore, location: Path, temporary: Temporary) -> Self {
        Self {
            store,
            location,
            temporary: Some(Arc::new(temporary)),
            offset: 0,
        }
    }

    fn take(&mut self) -> Result<Arc<Temporary>> {
        self.temporary
            .take()
            .ok_or_else(|| generic("the upload has ended already"))
    }
}

#[async_trait]
impl MultipartUpload for DirectoryUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut offset = self.offset;
        self.offset += data.content_length() as u64;
        let (store, location, temporary) = (self.store.clone(), self.location.clone(), self.temporary.clone());
        Box::pin(async move {
            let temporary = temporary.ok_or_else(|| generic("the upload has ended already"))?;
            if temporary.is_linked {
                return Err(generic("the upload has all its bytes already"));
            }
            let write = move |_: &super::Files| {
                for bytes in &data {
                    temporary
                        .file
                        .write_all_at(bytes, offset)
                        .map_err(error_of(&location))?;
                    offset += bytes.len() as u64;
                }
                Ok(())
            };
            store.run(write).await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (temporary, location) = (self.take()?, self.location.clone());
        let publish = move |files: &super::Files| {
            let published = files.publish(&location, &temporary);
            if published.is_err() {
                let _ = files.discard(&location, &temporary);
            }
            published
        };
        self.store.run(publish).await?;
        Ok(put_result())
    }

    async fn abort(&mut self) -> Result<()> {
        let (temporary, location) = (self.take()?, self.location.clone());
        self.store.run(move |files| files.discard(&location, &temporary)).await
    }
}

impl Drop for DirectoryUpload {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            // Nobody is left who could be told.
            let _ = self.store.files.discard(&self.location, &temporary);
        }
    }
}
