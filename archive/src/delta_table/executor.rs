//! Where the kernel's requests run: on the runtime of whoever publishes, whatever that runtime is.
//!
//! The kernel blocks its own thread, which is one of the blocking pool, until an answer is there; the runtime itself never waits for it.

use std::future::Future;
use std::sync::mpsc;

use delta_kernel::{KernelError, KernelResult};
use delta_kernel_default_engine::executor::TaskExecutor;
use futures::TryFutureExt;
use futures::future::BoxFuture;
use tokio::runtime::{EnterGuard, Handle};

/// A runtime, used from one of its blocking threads.
#[derive(Debug)]
pub(super) struct OnRuntime(pub(super) Handle);

impl TaskExecutor for OnRuntime {
    type Guard<'a> = EnterGuard<'a>;

    fn block_on<T>(&self, task: T) -> T::Output
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        self.0.spawn(async move {
            // Nobody waits any more only if the waiting thread is gone.
            let _ = sender.send(task.await);
        });
        receiver
            .recv()
            .expect("a runtime that ends waits for its blocking threads")
    }

    fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(task);
    }

    fn spawn_blocking<T, R>(&self, task: T) -> BoxFuture<'_, KernelResult<R>>
    where
        T: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        Box::pin(self.0.spawn_blocking(task).map_err(KernelError::join_failure))
    }

    fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }
}
