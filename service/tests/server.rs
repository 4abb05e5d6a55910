//! The server over real sockets: its routes, and how it ends.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use emberkeep_service::metrics::Metrics;
use emberkeep_service::server::{self, Ended, GRACE, ServerError};
use emberkeep_service::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Longer than any step takes; a bound on failure, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: String,
    shutdown: Shutdown,
    serving: JoinHandle<Result<Ended, ServerError>>,
}

async fn start(router: Router, grace: Duration) -> Running {
    let listener = server::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let serving = tokio::spawn(async move { server::serve(listener, router, &stop, grace).await });
    Running {
        address,
        shutdown,
        serving,
    }
}

async fn ended(serving: JoinHandle<Result<Ended, ServerError>>) -> Ended {
    tokio::time::timeout(PATIENCE, serving)
        .await
        .expect("the server ends")
        .unwrap()
        .unwrap()
}

/// Sends one request and returns the whole answer, to the end of the connection.
async fn exchange(address: &str, method: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_routes_that_every_server_has() {
    let is_ready = Arc::new(AtomicBool::new(false));
    let asked = is_ready.clone();
    let ready = move || {
        if asked.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err("replaying the log".to_owned())
        }
    };
    let running = start(server::admin_routes(ready, Arc::new(Metrics::new("receiver"))), GRACE).await;
    let address = &running.address;

    let answer = exchange(address, "GET", "/-/healthy", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhealthy\n"),
        "{answer}"
    );
    let answer = exchange(address, "HEAD", "/-/healthy", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let answer = exchange(address, "POST", "/-/healthy", "Content-Length: 0\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");

    let answer = exchange(address, "GET", "/-/ready", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("not ready: replaying the log\n"),
        "{answer}"
    );
    is_ready.store(true, Ordering::SeqCst);
    let answer = exchange(address, "GET", "/-/ready", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let answer = exchange(address, "GET", "/metrics", "").await;
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\nemberkeep_build_info{"), "{answer}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\nAccept: text/plain\r\n";
    let answer = exchange(address, "GET", "/metrics", accept).await;
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");

    running.shutdown.trigger();
    assert_eq!(ended(running.serving).await, Ended::AllAnswered);
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_new_connections_are_not() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, release) = (entered.clone(), release.clone());
        async move || {
            entered.notify_one();
            release.notified().await;
            "late but whole"
        }
    };
    let running = start(Router::new().route("/slow", get(handler)), PATIENCE).await;
    let address = running.address.clone();
    let request = tokio::spawn(async move { exchange(&address, "GET", "/slow", "").await });
    entered.notified().await;
    running.shutdown.trigger();
    // The listener closes while the request still runs.
    tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(&running.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("new connections are refused");
    assert!(!running.serving.is_finished());
    release.notify_one();
    let answer = request.await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("late but whole"),
        "{answer}"
    );
    assert_eq!(ended(running.serving).await, Ended::AllAnswered);
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let running = start(Router::new().route("/", get(async || "ok")), PATIENCE * 10).await;
    // One that never said anything, and one kept alive after an answer, as senders keep theirs.
    let _silent = TcpStream::connect(&running.address).await.unwrap();
    let mut kept = TcpStream::connect(&running.address).await.unwrap();
    kept.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        assert_ne!(kept.read_buf(&mut answer).await.unwrap(), 0);
    }
    running.shutdown.trigger();
    assert_eq!(ended(running.serving).await, Ended::AllAnswered);
}

#[tokio::test]
async fn a_request_that_hangs_is_given_up() {
    let entered = Arc::new(Notify::new());
    let handler = {
        let entered = entered.clone();
        async move || {
            entered.notify_one();
            std::future::pending::<&str>().await
        }
    };
    let running = start(Router::new().route("/hang", get(handler)), Duration::from_millis(20)).await;
    let address = running.address.clone();
    let _request = tokio::spawn(async move { exchange(&address, "GET", "/hang", "").await });
    entered.notified().await;
    running.shutdown.trigger();
    assert_eq!(ended(running.serving).await, Ended::GaveUp);
}

#[tokio::test]
async fn a_taken_address_is_named_with_what_to_do() {
    let first = server::bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap().to_string();
    let error = server::bind(&address).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("`{address}`")) && text.contains("another process has it"),
        "{text}"
    );
    let text = server::bind("localhost").await.unwrap_err().to_string();
    assert!(
        text.contains("`localhost`") && text.contains("`host:port` or `:port`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_port_alone_listens_on_all_addresses() {
    let listener = server::bind(":0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(listener.local_addr().unwrap().ip().is_unspecified());
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_never_ends_its_head_is_cut_off() {
    for said in [&b""[..], b"P", b"PRI * HT", b"POST /api/v1/write HTTP/1.1\r\nHost:"] {
        let running = start(Router::new(), GRACE).await;
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        // Time moves on by itself while nothing else happens; the server ends the connection, not we.
        match stream.read_to_end(&mut answer).await {
            Ok(_) => {}
            // What the server left unread makes the end of the connection a reset.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        running.shutdown.trigger();
        assert_eq!(ended(running.serving).await, Ended::AllAnswered);
    }
}
