//! Clients that are stuck, or slow on purpose: each is cut off in its time, and however many there are, others are answered.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::ErrorKind;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use emberkeep_service::server::{self, Ended, WebSettings};
use emberkeep_service::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Time for a head in these tests.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

struct Running {
    address: String,
    shutdown: Shutdown,
    serving: JoinHandle<Ended>,
}

async fn start(max_connections: usize, read_timeout: Duration) -> Running {
    let web = WebSettings {
        max_connections,
        read_timeout,
        ..WebSettings::from("127.0.0.1:0")
    };
    let listener = server::bind(&web).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (shutdown, large) = (Shutdown::new(), "x".repeat(64 << 20));
    let router = Router::new()
        .route("/", get(async || "ok"))
        .route("/large", get(async move || large.clone()))
        .route("/body", post(async |body: String| body.len().to_string()));
    let stop = shutdown.clone();
    let serving = tokio::spawn(async move { server::serve(listener, router, &stop, Duration::ZERO).await.unwrap() });
    Running {
        address,
        shutdown,
        serving,
    }
}

impl Running {
    /// A connection that has said this much.
    async fn said(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// One request on a connection of its own.
    async fn is_answered(&self) {
        let mut stream = self
            .said("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"),
            "{answer}"
        );
    }

    async fn end(self) {
        self.shutdown.trigger();
        self.serving.await.unwrap();
    }
}

/// Whether the server has ended a connection; what it sent before does not matter.
async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(_) => {}
        // What the server left unread makes the end of the connection a reset.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_of_one_byte_a_second_is_cut_off_in_its_time() {
    let running = start(10, READ_TIMEOUT).await;
    let began = Instant::now();
    let mut stream = running.said("GET / HTTP/1.1\r\nX-Slow: ").await;
    let slow = async {
        let mut closed = [0];
        loop {
            // The next byte of the head, unless the server has had enough.
            match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut closed)).await {
                Err(_) if stream.write_all(b"x").await.is_ok() => {}
                _ => return,
            }
        }
    };
    tokio::time::timeout(READ_TIMEOUT * 3, slow)
        .await
        .expect("it is cut off");
    let took = began.elapsed();
    assert!((READ_TIMEOUT..READ_TIMEOUT * 2).contains(&took), "{took:?}");
    running.is_answered().await;
    running.end().await;
}

#[tokio::test]
async fn stuck_connections_make_room_and_requests_at_work_do_not() {
    const ROOM: usize = 8;
    let running = start(ROOM, Duration::from_secs(600)).await;
    // It has sent half of its body: a request is at work.
    let mut half_a_body = running
        .said("POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n01234")
        .await;
    let mut stuck = Vec::new();
    for text in ["", "P", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        // As many as there is room for, of each kind.
        for _ in 0..ROOM {
            stuck.push(running.said(text).await);
        }
    }
    running.is_answered().await;
    let mut closed = 0;
    for stream in &mut stuck {
        // Those that are still open say nothing.
        if tokio::time::timeout(Duration::from_millis(1), is_closed(stream))
            .await
            .is_ok()
        {
            closed += 1;
        }
    }
    assert!(closed > stuck.len() - ROOM, "{closed} of {} made room", stuck.len());
    half_a_body.write_all(b"56789").await.unwrap();
    let mut answer = String::new();
    half_a_body.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("10"),
        "{answer}"
    );
    running.end().await;
}

#[tokio::test]
async fn connections_that_read_no_answers_make_room() {
    const ROOM: usize = 4;
    let running = start(ROOM, Duration::from_secs(600)).await;
    let mut unread = Vec::new();
    for _ in 0..ROOM * 2 {
        unread.push(running.said("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await);
    }
    running.is_answered().await;
    running.end().await;
}

#[tokio::test]
async fn who_talks_stays() {
    let running = start(2, Duration::from_secs(600)).await;
    let mut talking = TcpStream::connect(&running.address).await.unwrap();
    let _stuck = running.said("GET").await;
    let talk = async {
        loop {
            talking.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"ok") {
                assert_ne!(talking.read_buf(&mut answer).await.unwrap(), 0, "it was closed");
            }
        }
    };
    // The place for it is that of the stuck one.
    tokio::select! {
        () = talk => {}
        () = running.is_answered() => {}
    }
    running.end().await;
}
