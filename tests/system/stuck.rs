//! Clients that are stuck or slow on purpose, against the real process: a thousand of them stop nobody, each is cut off in its time, and when files
//! run out the process goes on.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::gauges::Gauges;
use crate::load::Template;
use crate::process::{Emberkeep, PATIENCE, eventually, output};
use crate::wire::{self, V1_TYPE, V2_TYPE};

const SERIES: usize = 10;

/// Half of a head.
const HALF_A_HEAD: &str = "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-ty";

/// A head whose body never comes as a whole.
fn head_of_a_body(length: usize) -> String {
    format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-type: {V2_TYPE}\r\ncontent-encoding: snappy\r\ncontent-length: {length}\r\n\r\n"
    )
}

async fn connection_that_said(server: &Emberkeep, text: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream)
}

/// A write and a read over connections of their own, as honest clients make them.
async fn others_are_served(server: &Emberkeep, number: u64) -> Result<()> {
    let client = wire::client();
    let body = Template::new(0, SERIES).body(number)?;
    let (status, _, text) = wire::post(&client, &server.url("/api/v1/write"), V1_TYPE, body).await?;
    ensure!(status == 204, "{status} {text}");
    let found = wire::read_samples(&client, &server.url("/api/v1/read"), 0, i64::MAX, wire::everything()).await?;
    let rows: usize = found.values().map(std::collections::BTreeMap::len).sum();
    ensure!(found.len() == SERIES && rows > 0, "{} series, {rows} rows", found.len());
    Ok(())
}

#[tokio::test]
async fn a_thousand_stuck_connections_stop_nobody() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    // None of them is cut off before the end of the test, however slow the machine is.
    let server = Emberkeep::start(scratch.path(), &["--write.timeout=1h", "--web.read-timeout=1h"])?;
    others_are_served(&server, 0).await?;
    let mut stuck = Vec::new();
    // Answers that are not read: so many that they do not fit into the buffers of the sockets, then the server waits for the client.
    let many = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    for _ in 0..10 {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(([127, 0, 0, 1], server.port).into()).await?;
        stream.write_all(many.as_bytes()).await?;
        stuck.push(stream);
    }
    let body = head_of_a_body(1_000) + "half of it";
    for number in 0..1_000 {
        let said = match number % 10 {
            0..5 => HALF_A_HEAD,
            5..8 => &body,
            8 => "P",
            _ => "",
        };
        stuck.push(connection_that_said(&server, said).await?);
    }
    let (client, running) = (wire::client(), &server);
    let client = &client;
    eventually(|| async move {
        let open = Gauges::scrape(client, running).await?.of("http_connections")?;
        ensure!(open >= 1_010.0, "{open} connections are open");
        Ok(())
    })
    .await?;
    for number in 1..4 {
        others_are_served(&server, number).await?;
    }
    let now = Gauges::scrape(client, &server).await?;
    let (open, limit) = (now.of("http_connections")?, now.of("http_connections_limit")?);
    ensure!(open >= 1_010.0 && open <= limit, "{open} of {limit}");
    ensure!(
        now.of("http_connections_closed_for_others_total")? == 0.0,
        "there was room for all"
    );
    drop(stuck);
    ensure!(server.process.terminate()?.success(), "it ends in order");
    Ok(())
}

/// How long a connection lives to which one byte is sent each tenth of a second; and what is answered at its end.
async fn drip(mut stream: TcpStream) -> Result<(Duration, String)> {
    let (began, mut answer) = (Instant::now(), Vec::new());
    let dripping = async {
        loop {
            match tokio::time::timeout(Duration::from_millis(100), stream.read_buf(&mut answer)).await {
                Err(_) => {
                    // What a closed connection says to a write is nothing that matters.
                    let _ = stream.write_all(b"x").await;
                }
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(_)) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, dripping)
        .await
        .context("it is never cut off")?;
    Ok((began.elapsed(), String::from_utf8_lossy(&answer).to_lowercase()))
}

#[tokio::test]
async fn who_sends_byte_by_byte_is_cut_off_for_the_sum_of_it() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &["--web.read-timeout=1s", "--write.timeout=2s"])?;
    let (head, body) = tokio::try_join!(
        async { drip(connection_that_said(&server, "POST /api/v1/write HTTP/1.1\r\nx-slow: ").await?).await },
        async { drip(connection_that_said(&server, &head_of_a_body(100_000)).await?).await },
    )?;
    // Not before its time; each byte on its own would have been in time for ever.
    ensure!(head.0 >= Duration::from_secs(1), "a head after {:?}", head.0);
    ensure!(body.0 >= Duration::from_secs(2), "a body after {:?}", body.0);
    ensure!(
        body.1.starts_with("http/1.1 503") && body.1.contains("retry-after:"),
        "{}",
        body.1
    );
    others_are_served(&server, 0).await
}

#[tokio::test]
async fn connections_leave_files_for_the_log() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &["--web.max-connections=20", "--write.timeout=2s"])?;
    others_are_served(&server, 0).await?;
    // Stuck in a head: each makes room for the next one.
    let mut stuck = Vec::new();
    for _ in 0..60 {
        stuck.push(connection_that_said(&server, HALF_A_HEAD).await?);
    }
    others_are_served(&server, 1).await?;
    // Stuck in a body: a request is at work on each, until its time is over.
    let body = head_of_a_body(1_000) + "half of it";
    for _ in 0..60 {
        stuck.push(connection_that_said(&server, &body).await?);
    }
    others_are_served(&server, 2).await?;
    let now = Gauges::scrape(&wire::client(), &server).await?;
    let (open, limit) = (now.of("http_connections")?, now.of("http_connections_limit")?);
    ensure!(limit == 20.0 && open <= limit, "{open} of {limit} connections");
    ensure!(now.of("http_connections_closed_for_others_total")? >= 40.0, "{now:?}");
    Ok(())
}

/// Changes how many files a running process may have open.
fn allow_files(pid: u32, files: u64) -> Result<()> {
    output(
        Command::new("prlimit")
            .arg(format!("--pid={pid}"))
            .arg(format!("--nofile={files}:")),
    )?;
    Ok(())
}

#[tokio::test]
async fn when_no_file_can_be_opened_connections_wait_and_are_served_afterwards() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &["--flush.interval=1h"])?;
    others_are_served(&server, 0).await?;
    let client = wire::client();
    let now = Gauges::scrape(&client, &server).await?;
    let (open, most) = (now.of("process_open_fds")?, now.of("process_max_fds")?);
    // Room for three more; the limit is below what connections were counted on.
    allow_files(server.process.pid(), open as u64 + 3)?;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(
            connection_that_said(
                &server,
                "GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            )
            .await?,
        );
    }
    // Some are accepted, answered and closed, one after the other; a stuck one takes each free file.
    for _ in 0..50 {
        waiting.push(connection_that_said(&server, HALF_A_HEAD).await?);
    }
    let mut waits = connection_that_said(
        &server,
        "GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await?;
    let mut answer = String::new();
    let early = tokio::time::timeout(Duration::from_millis(300), waits.read_to_string(&mut answer)).await;
    ensure!(early.is_err(), "files did not run out: {answer}");
    allow_files(server.process.pid(), most as u64)?;
    let late = tokio::time::timeout(PATIENCE, waits.read_to_string(&mut answer)).await;
    late.context("nobody accepts any more")??;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(waiting);
    others_are_served(&server, 1).await
}
