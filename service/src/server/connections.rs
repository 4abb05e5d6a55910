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
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::shutdown::Shutdown;

/// How long a connection may wait for the whole head of a request, idle time between requests included. Longer than clients keep
/// idle connections (Go: five minutes), so that it is never the server that closes one under a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(6 * 60);

/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often a connection is looked at that has begun like HTTP/2 and may be anything.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
            let speaks = tokio::select! {
                speaks = tokio::time::timeout(HEAD_TIMEOUT, speaks(&connection)) => speaks.unwrap_or(false),
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

/// Returns when a connection has said enough to be of one version of HTTP, true, or has ended, false. Before that no timeout of either
/// version applies.
async fn speaks(connection: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    loop {
        match connection.peek(&mut first).await {
            Ok(0) | Err(_) => return false,
            // `P` may become `POST` or HTTP/2. What was seen stays unread, so the next look would return at once.
            Ok(n) if n < PREFACE.len() && PREFACE.starts_with(&first[..n]) => tokio::time::sleep(LOOK_EVERY).await,
            Ok(_) => return true,
        }
    }
}
