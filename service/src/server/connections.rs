//! Accepting connections and letting go of them: of all when the process ends, of one when its client is stuck or when there is no
//! room for another.
//!
//! `axum::serve` would do but for what it has no setting for: a client that never ends its head or never reads its answer would be
//! held for ever, and so many of them would keep out everybody else. Bodies are bounded by the routes that read them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::serve::Listener as AcceptAnyway;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tower::{ServiceExt, service_fn};

use super::Listener;
use super::room::{Place, Room};
use super::watched::Watched;
use crate::shutdown::Shutdown;

/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often a connection is looked at that has begun like HTTP/2 and may be anything.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What one connection of HTTP/1 may hold of a head or a body that nobody has taken yet. A longer head is refused.
const BUFFER_BYTES: usize = 64 << 10;

/// The same for HTTP/2: what may be sent before it is taken, and what may wait to be sent.
const WINDOW_BYTES: u32 = 256 << 10;

/// Serves until `shutdown` is triggered and every request in flight is answered.
pub(super) async fn serve(listener: Listener, router: Router, shutdown: &Shutdown) {
    let Listener { mut tcp, web } = listener;
    let builder = Arc::new(builder(web.read_timeout));
    let mut room = Room::new(web.max_connections);
    let open = GracefulShutdown::new();
    loop {
        let (connection, _) = tokio::select! {
            // Waits a moment after an error such as too many open files, and tries again.
            accepted = AcceptAnyway::accept(&mut tcp) => accepted,
            () = shutdown.triggered() => break,
        };
        // One more than there is room for is accepted: only then it is known that somebody has to go.
        let place = tokio::select! {
            place = room.place() => place,
            () = shutdown.triggered() => break,
        };
        // Frames of a streamed answer must not wait for the acknowledgement of the one before.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(err = &error as &dyn std::error::Error, "cannot set TCP_NODELAY");
        }
        let (watcher, shutdown) = (open.watcher(), shutdown.clone());
        let (builder, router) = (builder.clone(), router.clone());
        tokio::spawn(async move {
            let place = Arc::new(place);
            let served = async {
                let speaks = tokio::select! {
                    speaks = tokio::time::timeout(web.read_timeout, speaks(&connection)) => speaks.unwrap_or(false),
                    () = shutdown.triggered() => false,
                };
                if speaks {
                    converse(connection, &builder, router, &place, watcher).await;
                }
            };
            tokio::select! {
                () = served => {}
                () = place.told_to_go() => tracing::debug!("a silent connection made room for another"),
            }
        });
    }
    drop(tcp);
    open.shutdown().await;
}

fn builder(read_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        // Over HTTP/2 a client that is alive answers pings.
        .keep_alive_interval(Some(read_timeout))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(WINDOW_BYTES as usize);
    builder
}

/// Answers the requests of one connection until it ends.
async fn converse(
    connection: TcpStream,
    builder: &Builder<TokioExecutor>,
    router: Router,
    place: &Arc<Place>,
    watcher: Watcher,
) {
    let working = place.clone();
    let service = service_fn(move |request: Request<_>| {
        let (router, at_work) = (router.clone(), working.at_work());
        async move {
            let answer = router.oneshot(request.map(Body::new)).await;
            drop(at_work);
            answer
        }
    });
    let io = TokioIo::new(Watched::new(connection, place.clone()));
    let served = builder.serve_connection(io, TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(served.into_owned()).await {
        tracing::debug!(error, "a connection broke off");
    }
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
