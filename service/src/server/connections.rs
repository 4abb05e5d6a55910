//! Accepting connections and letting go of them: of all when the process ends, of one when its client is stuck.
//!
//! `axum::serve` would do but for the one thing that it has no setting for: a client that never ends its head would be held for ever.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::shutdown::Shutdown;

/// How long a connection may wait for the whole head of a request, idle time between requests included. Longer than clients keep
/// idle connections (Go: five minutes), so that it is never the server that closes one under a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(6 * 60);

/// Serves until `shutdown` is triggered and every request in flight is answered.
pub(super) async fn serve(mut listener: TcpListener, router: Router, shutdown: &Shutdown) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    // Over HTTP/2 a client that is alive answers pings.
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(HEAD_TIMEOUT));
    let open = GracefulShutdown::new();
    loop {
        let (connection, _) = tokio::select! {
            // Waits a moment after an error such as too many open files, and tries again.
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.triggered() => break,
        };
        // Frames of a streamed answer must not wait for the acknowledgement of the one before.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(err = &error as &dyn std::error::Error, "cannot set TCP_NODELAY");
        }
        let service = router.clone().map_request(|request: Request<_>| request.map(Body::new));
        let (builder, watcher, shutdown) = (builder.clone(), open.watcher(), shutdown.clone());
        tokio::spawn(async move {
            // Until it says something, a connection is of no version, and no timeout of either applies.
            let mut first = [0];
            let speaks = tokio::select! {
                speaks = tokio::time::timeout(HEAD_TIMEOUT, connection.peek(&mut first)) => matches!(speaks, Ok(Ok(1))),
                () = shutdown.triggered() => false,
            };
            if !speaks {
                return;
            }
            let served = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(service));
            if let Err(error) = watcher.watch(served.into_owned()).await {
                tracing::debug!(error, "a connection broke off");
            }
        });
    }
    drop(listener);
    open.shutdown().await;
}
