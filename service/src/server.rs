//! Serving HTTP: binding with an error that helps, the routes that every server has, ending without dropping requests.
//!
//! Limits on bodies, time and concurrency are the routes' own matter. Ending means: no new connection, every request
//! in flight is answered, idle connections are closed; after [`GRACE`] whatever still hangs is given up.

mod connections;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::metrics::{Exposition, Metrics};
use crate::shutdown::Shutdown;

/// Longest time that requests in flight get when the process ends, out of [`crate::SHUTDOWN_BUDGET`].
pub const GRACE: Duration = Duration::from_secs(7);

/// Why a server cannot run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}` ({})", advice(.source))]
    Bind {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has it: stop that, or give another `--web.listen-address`",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: give a higher one by `--web.listen-address`"
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: see `--web.listen-address`",
        _ => "`--web.listen-address` takes `host:port` or `:port`",
    }
}

/// Listens on `host:port`, or on `:port` for all addresses of the machine. Port 0 takes a free one.
///
/// # Errors
/// [`ServerError::Bind`] with the address and what to do.
pub async fn bind(address: &str) -> Result<TcpListener, ServerError> {
    let attempt = match address.strip_prefix(':') {
        // IPv6 takes IPv4 as well, where the machine has it at all.
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            bound => bound,
        },
        None => TcpListener::bind(address).await,
    };
    attempt.map_err(|source| ServerError::Bind {
        address: address.to_owned(),
        source,
    })
}

/// `/-/healthy`, `/-/ready` and `/metrics`.
///
/// `ready` is asked at each request and must not block; its `Err` is the reason that goes with the 503.
pub fn admin_routes<R>(ready: R, metrics: Arc<Metrics>) -> Router
where
    R: Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(async move || ready_answer(ready())))
        .route(
            "/metrics",
            get(async move |headers: HeaderMap| metrics_answer(&metrics, &headers)),
        )
}

fn ready_answer(ready: Result<(), String>) -> Response {
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

fn metrics_answer(metrics: &Metrics, headers: &HeaderMap) -> Response {
    // A sender may spread `Accept` over several header lines.
    let accept: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let exposition = Exposition::for_accept(&accept.join(","));
    (
        [(header::CONTENT_TYPE, exposition.content_type())],
        metrics.expose(exposition),
    )
        .into_response()
}

/// Serves in a task of its own, with [`GRACE`].
pub fn spawn(listener: TcpListener, router: Router, shutdown: &Shutdown) -> JoinHandle<Result<Ended, ServerError>> {
    let shutdown = shutdown.clone();
    tokio::spawn(async move { serve(listener, router, &shutdown, GRACE).await })
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request was answered.
    AllAnswered,
    /// Requests were still running after the grace; they end with the runtime, and their senders see a broken connection.
    GaveUp,
}

/// Serves until `shutdown` is triggered, then answers what is in flight for at most `grace` ([`GRACE`]).
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: &Shutdown,
    grace: Duration,
) -> Result<Ended, ServerError> {
    tokio::select! {
        () = connections::serve(listener, router, shutdown) => Ok(Ended::AllAnswered),
        () = given_up(shutdown, grace) => {
            tracing::warn!(grace_seconds = grace.as_secs_f64(), "requests still in flight are given up");
            Ok(Ended::GaveUp)
        }
    }
}

async fn given_up(shutdown: &Shutdown, grace: Duration) {
    shutdown.triggered().await;
    tokio::time::sleep(grace).await;
}
