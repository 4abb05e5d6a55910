//! A server between a sender and Emberkeep: it answers the requests it is told to by itself and hands all others on. What a sender does with
//! an answer can be seen only so, because Emberkeep gives no wrong answer on purpose.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Headers of a request that decide how it is read.
const REQUEST_HEADERS: [&str; 4] = [
    "content-type",
    "content-encoding",
    "x-prometheus-remote-write-version",
    "user-agent",
];

/// Longest body that a sender of these tests sends.
const BODY_MAX: usize = 32 << 20;

/// One request that came by.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) content_type: String,
    pub(crate) content_encoding: String,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The server; it ends with the runtime of its test.
#[derive(Clone)]
pub(crate) struct Middle {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    client: reqwest::Client,
    plan: Mutex<VecDeque<u16>>,
    seen: Mutex<Vec<Seen>>,
}

impl Middle {
    /// Starts it before a server; the first requests get the planned answers.
    pub(crate) async fn start(target: String, plan: &[u16]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target,
            client: crate::wire::client(),
            plan: Mutex::new(plan.iter().copied().collect()),
            seen: Mutex::default(),
        });
        let middle = Self {
            port,
            shared: shared.clone(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A sender that goes away in the middle is no failure of the test.
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Ok(middle)
    }

    /// The next request gets this answer.
    pub(crate) fn plan(&self, status: u16) {
        self.shared.plan.lock().push_back(status);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }
}

/// One request of one connection; the connection is closed after its answer.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> Result<()> {
    let mut received = Vec::new();
    let head_length = loop {
        if let Some(at) = received.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        anyhow::ensure!(received.len() < 65_536, "a head without end");
        anyhow::ensure!(stream.read_buf(&mut received).await? > 0, "the sender went away");
    };
    let head = String::from_utf8_lossy(&received[..head_length]).into_owned();
    let header = |name: &str| {
        let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
        pairs
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let length: usize = header("content-length").context("no content length")?.parse()?;
    anyhow::ensure!(length <= BODY_MAX, "a body of {length} bytes");
    let mut body = received.split_off(head_length);
    while body.len() < length {
        anyhow::ensure!(stream.read_buf(&mut body).await? > 0, "the sender went away");
    }
    let planned = shared.plan.lock().pop_front();
    let (status, headers, text) = match planned {
        Some(503) => (503, "retry-after: 1\r\n".to_owned(), "planned: later".to_owned()),
        Some(status) => (status, String::new(), "planned: never".to_owned()),
        None => {
            let mut request = shared.client.post(&shared.target).body(body.clone());
            for name in REQUEST_HEADERS {
                if let Some(value) = header(name) {
                    request = request.header(name, value);
                }
            }
            let answer = request.send().await?;
            let kept = answer.headers().iter().filter(|(n, _)| {
                n.as_str().starts_with("x-prometheus") || matches!(n.as_str(), "retry-after" | "content-type")
            });
            let headers = kept.map(|(n, v)| format!("{n}: {}\r\n", v.to_str().unwrap_or("")));
            (answer.status().as_u16(), headers.collect(), answer.text().await?)
        }
    };
    shared.seen.lock().push(Seen {
        content_type: header("content-type").unwrap_or("").to_owned(),
        content_encoding: header("content-encoding").unwrap_or("").to_owned(),
        status,
        body,
    });
    let length = if status == 204 {
        String::new()
    } else {
        format!("content-length: {}\r\n", text.len())
    };
    let answer = format!("HTTP/1.1 {status} Planned\r\n{headers}{length}connection: close\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
