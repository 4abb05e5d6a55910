//! Work that was begun before anybody waits for its end.
//!
//! What can be done at once, as a read of what is in memory, is done on the thread that begins it: a task would wake another thread for it. It
//! must never go on when nobody will take what comes of it.

use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Work that is under way, or done and not taken yet.
#[derive(Debug)]
pub(super) enum Begun<T> {
    Done(Option<T>),
    UnderWay(JoinHandle<T>),
}

impl<T: Send + 'static> Begun<T> {
    pub(super) fn new(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        let mut work = Box::pin(work);
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Self::Done(Some(done)),
            // Its first look there gives it a waker that is worth something.
            Poll::Pending => Self::UnderWay(runtime.spawn(work)),
        }
    }

    /// Waits for the end; none when it was lost, or taken before.
    pub(super) async fn end(&mut self) -> Option<T> {
        match self {
            Self::Done(done) => done.take(),
            Self::UnderWay(task) => task.await.ok(),
        }
    }
}

/// What nobody will take need not come.
impl<T> Drop for Begun<T> {
    fn drop(&mut self) {
        if let Self::UnderWay(task) = self {
            task.abort();
        }
    }
}
