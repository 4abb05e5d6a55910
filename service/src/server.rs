//! Serving HTTP: binding with an error that helps, the routes that every server has, ending without dropping requests.
//!
//! Connections have a bound, and so has the time for a head and for taking an answer; limits on bodies and on concurrency are the
//! routes' own matter. Ending means: no new connection, every request in flight is answered, idle connections are closed; after
//! [`GRACE`] whatever still hangs is given up.

mod connections;
mod room;
mod watched;

use std::io;
use std::net::SocketAddr;
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
use crate::open_files;
use crate::shutdown::Shutdown;

pub(crate) use room::counted;

/// Most connections when nothing is said.
pub const DEFAULT_MAX_CONNECTIONS: usize = 2_048;

/// Time for a head when nothing is said. Longer than clients keep idle connections (Go: five minutes), so that it is never the server
/// that closes one under a request.
pub const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(6 * 60);

/// Longest time that requests in flight get when the process ends, out of [`crate::SHUTDOWN_BUDGET`].
pub const GRACE: Duration = Duration::from_secs(7);

/// Where a server listens and what it bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// `host:port`, or `:port` for all addresses of the machine. Port 0 takes a free one.
    pub address: String,
    /// Most connections at a time. When one more comes, the one that has been silent for the longest time is closed; when a request is
    /// at work on all of them, it waits.
    pub max_connections: usize,
    /// How long a connection may wait for the whole head of a request, idle time between requests included.
    pub read_timeout: Duration,
}

impl From<&str> for WebSettings {
    fn from(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            read_timeout: DEFAULT_READ_TIMEOUT,
        }
    }
}

impl From<&String> for WebSettings {
    fn from(address: &String) -> Self {
        address.as_str().into()
    }
}

impl From<&WebSettings> for WebSettings {
    fn from(settings: &WebSettings) -> Self {
        settings.clone()
    }
}

/// A bound address, and how it is to be served.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    web: WebSettings,
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

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

/// Listens on an address. Takes as many file descriptors as the process may have, and no more connections than leave enough of them
/// for files.
///
/// # Errors
/// [`ServerError::Bind`] with the address and what to do.
pub async fn bind(web: impl Into<WebSettings>) -> Result<Listener, ServerError> {
    let mut web = web.into();
    if let Some(most) = open_files::raise().map(open_files::for_connections)
        && most < web.max_connections
    {
        tracing::warn!(
            connections = most,
            wanted = web.max_connections,
            "the limit of open files (`ulimit -n`) allows for fewer connections"
        );
        web.max_connections = most;
    }
    let address = web.address.as_str();
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
    match attempt {
        Ok(tcp) => Ok(Listener { tcp, web }),
        Err(source) => Err(ServerError::Bind {
            address: web.address,
            source,
        }),
    }
}

/// `/-/healthy`, `/-/ready` and `/metrics`.
///
/// `ready` is asked at each request and must not block; its `Err` is the reason that goes with the 503.
pub fn admin_routes<R>(ready: R, metrics: Arc<Metrics>) -> Router
where
    R: Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
{
    admin_routes_with_trouble(move || ready().map(|()| None), metrics)
}

/// As [`admin_routes`], for a server that can be ready and in trouble: what it is stands below `ready`, on a line of its own.
pub fn admin_routes_with_trouble<R>(ready: R, metrics: Arc<Metrics>) -> Router
where
    R: Fn() -> Result<Option<String>, String> + Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(async move || ready_answer(ready())))
        .route(
            "/metrics",
            get(async move |headers: HeaderMap| metrics_answer(&metrics, &headers)),
        )
}

fn ready_answer(ready: Result<Option<String>, String>) -> Response {
    match ready {
        Ok(None) => "ready\n".into_response(),
        Ok(Some(trouble)) => format!("ready\n{trouble}\n").into_response(),
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
pub fn spawn(listener: Listener, router: Router, shutdown: &Shutdown) -> JoinHandle<Result<Ended, ServerError>> {
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
    listener: Listener,
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
