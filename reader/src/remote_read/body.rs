//! The way of an answer's bytes from the task that makes them to the connection.
//!
//! A bounded channel, so that a slow client slows the reading down. The end is a message of its own: a body ends cleanly only
//! when the task says that the answer is complete. After a failure, or when the task is lost, the body fails, and with it the
//! connection, because a clean end at a frame boundary means to Prometheus that this was all.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;

use crate::{ReaderError, ReaderMetrics};

/// Bytes that are sent together: waking the connection costs, and this many are made in two milliseconds.
const BATCH_BYTES: usize = 512 * 1024;
/// Batches that may wait for the connection.
const BATCHES_WAITING: usize = 2;

/// What the task says.
#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    Complete,
    Failed(ReaderError),
}

/// The end that the task holds.
#[derive(Debug)]
pub(super) struct BodySender {
    parts: mpsc::Sender<Part>,
    batch: Vec<u8>,
    /// Bytes written so far.
    written: u64,
    metrics: ReaderMetrics,
}

/// The end that becomes a body.
#[derive(Debug)]
pub(super) struct BodyReceiver {
    parts: mpsc::Receiver<Part>,
    metrics: ReaderMetrics,
}

/// A pair of ends.
pub(super) fn channel(metrics: &ReaderMetrics) -> (BodySender, BodyReceiver) {
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    let sender = BodySender {
        parts: sender,
        // Most answers are smaller than a batch.
        batch: Vec::new(),
        written: 0,
        metrics: metrics.clone(),
    };
    (
        sender,
        BodyReceiver {
            parts: receiver,
            metrics: metrics.clone(),
        },
    )
}

impl BodySender {
    /// Bytes written so far, sent or not.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Adds bytes, and waits while the client is behind.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ReaderError> {
        self.written += bytes.len() as u64;
        while self.batch.len() + bytes.len() >= BATCH_BYTES {
            let (now, later) = bytes.split_at(BATCH_BYTES - self.batch.len());
            self.batch.extend_from_slice(now);
            self.flush().await?;
            bytes = later;
        }
        self.batch.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds a piece that need not be copied.
    pub(super) async fn write_whole(&mut self, bytes: Bytes) -> Result<(), ReaderError> {
        self.written += bytes.len() as u64;
        self.flush().await?;
        self.send(Part::Bytes(bytes)).await
    }

    /// Ends when nobody listens any more, however long the task has nothing to send.
    pub(super) fn abandoned(&self) -> impl Future<Output = ()> + use<> {
        let parts = self.parts.clone();
        async move { parts.closed().await }
    }

    /// Ends the answer: complete, or with the reason why it is not.
    pub(super) async fn conclude(mut self, result: Result<(), ReaderError>) {
        let result = match result {
            Ok(()) => self.flush().await,
            failed => failed,
        };
        // Nobody is left to be told when the client is gone.
        let _ = self.send(result.map_or_else(Part::Failed, |()| Part::Complete)).await;
    }

    async fn flush(&mut self) -> Result<(), ReaderError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_BYTES));
        self.send(Part::Bytes(batch.into())).await
    }

    async fn send(&mut self, part: Part) -> Result<(), ReaderError> {
        if let Part::Bytes(bytes) = &part {
            self.metrics.bytes(bytes.len());
        }
        self.parts.send(part).await.map_err(|_| ReaderError::Gone)
    }
}

impl BodyReceiver {
    /// Waits for the first bytes, so that a failure before them can still be a status.
    pub(super) async fn into_body(mut self) -> Result<Body, ReaderError> {
        match self.parts.recv().await {
            Some(Part::Bytes(first)) => {
                let first = stream::iter([Ok(first)]);
                Ok(Body::from_stream(futures::StreamExt::chain(first, self.rest())))
            }
            Some(Part::Complete) => Ok(Body::empty()),
            Some(Part::Failed(error)) => Err(error),
            None => Err(ReaderError::Inconsistent(
                "the task that reads the answer was lost".to_owned(),
            )),
        }
    }

    fn rest(self) -> impl stream::Stream<Item = Result<Bytes, io::Error>> + Send {
        stream::unfold(Some(self), async |receiver| {
            let mut receiver = receiver?;
            let why = match receiver.parts.recv().await {
                Some(Part::Bytes(bytes)) => return Some((Ok(bytes), Some(receiver))),
                Some(Part::Complete) => return None,
                Some(Part::Failed(error)) => error.told(),
                None => "the task that reads the answer was lost".to_owned(),
            };
            receiver.metrics.aborted();
            tracing::error!(error = %why, "remote read failed after its first byte, the connection is aborted");
            Some((Err(io::Error::other(why)), None))
        })
    }
}
