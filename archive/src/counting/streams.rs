//! Listings and uploads in parts, counted as they go.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_trait::async_trait;
use futures::stream::{BoxStream, Stream, StreamExt};
use object_store::{MultipartUpload, ObjectMeta, PutPayload, PutResult, Result, UploadPart};

use super::{StoreOperation, StoreTraffic};

/// Names on one page of a listing, in every store that has pages.
const PAGE: u64 = 1000;

/// A listing. It counts when it is first polled: clients ask for nothing before.
pub(super) struct CountedListing {
    inner: BoxStream<'static, Result<ObjectMeta>>,
    traffic: StoreTraffic,
    began: Instant,
    polled: bool,
    answered: bool,
    names: u64,
}

impl CountedListing {
    pub(super) fn new(inner: BoxStream<'static, Result<ObjectMeta>>, traffic: StoreTraffic, began: Instant) -> Self {
        Self {
            inner,
            traffic,
            began,
            polled: false,
            answered: false,
            names: 0,
        }
    }
}

impl Stream for CountedListing {
    type Item = Result<ObjectMeta>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !std::mem::replace(&mut self.polled, true) {
            self.traffic.count(StoreOperation::List, 1);
        }
        let polled = self.inner.poll_next_unpin(cx);
        if polled.is_ready() && !std::mem::replace(&mut self.answered, true) {
            self.traffic.took(StoreOperation::List, self.began);
        }
        match &polled {
            Poll::Ready(Some(Ok(_))) => {
                self.names += 1;
                // The first name of a further page.
                if self.names % PAGE == 1 && self.names > 1 {
                    self.traffic.count(StoreOperation::List, 1);
                }
            }
            // There is no listing that is absent: whatever the error says, the names are not known.
            Poll::Ready(Some(Err(_))) => self.traffic.failed(StoreOperation::List),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

/// An upload in parts.
#[derive(Debug)]
pub(super) struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    traffic: StoreTraffic,
}

impl CountedUpload {
    pub(super) fn new(inner: Box<dyn MultipartUpload>, traffic: StoreTraffic) -> Self {
        Self { inner, traffic }
    }
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.traffic.sent(data.content_length());
        let (traffic, part) = (self.traffic.clone(), self.inner.put_part(data));
        Box::pin(async move { traffic.time(StoreOperation::MultipartPart, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.traffic
            .time(StoreOperation::MultipartComplete, self.inner.complete())
            .await
    }

    async fn abort(&mut self) -> Result<()> {
        self.traffic
            .time(StoreOperation::MultipartAbort, self.inner.abort())
            .await
    }
}
