//! The answer of the writer thread, on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::{AppendError, Position, SegmentRange};

/// Resolves to the position of a record once it is durable.
pub type PendingAppend = Pending<Position>;

/// Resolves to the closed segments once everything before the rotation is durable; `None` when nothing was appended
/// since the last rotation.
pub type PendingRotation = Pending<Option<SegmentRange>>;

/// An answer of the log that is awaited, or waited for with [`Pending::wait`]. Dropping it withdraws nothing.
#[derive(Debug)]
#[must_use = "nothing is durable before the answer is there"]
pub struct Pending<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Refused(AppendError),
    Queued(oneshot::Receiver<Result<T, AppendError>>),
}

impl<T> Pending<T> {
    pub(crate) fn refused(error: AppendError) -> Self {
        Self(State::Refused(error))
    }

    pub(crate) fn queued(receiver: oneshot::Receiver<Result<T, AppendError>>) -> Self {
        Self(State::Queued(receiver))
    }

    /// Blocks the thread until the answer is there; must not be called on a thread that runs async tasks.
    pub fn wait(self) -> Result<T, AppendError> {
        match self.0 {
            State::Refused(error) => Err(error),
            State::Queued(receiver) => receiver.blocking_recv().unwrap_or(Err(AppendError::Fatal)),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(*error)),
            // The writer answers everything it took; a lost sender means that its thread is gone.
            State::Queued(receiver) => Pin::new(receiver)
                .poll(context)
                .map(|answer| answer.unwrap_or(Err(AppendError::Fatal))),
        }
    }
}
