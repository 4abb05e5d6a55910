//! Limits of a write over HTTP: what passes one is answered as documented, nothing that an answer calls refused is kept, and who stops in the middle
//! of a request is cut off.

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::write_v2 as v2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Emberkeep;
use crate::requests::Requests;
use crate::wire::{self, V2_TYPE};

/// A request of so many series of so many samples, with a label of so many bytes that cannot be compressed away.
fn request(series: usize, samples: i64, label: usize) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    // A generator's digits: snappy finds nothing in them to shorten.
    let mut state = 1_u64;
    let digits: String = (0..label)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + ((state >> 40) % 90) as u8)
        })
        .collect();
    for n in 0..series {
        let mut one = v2::TimeSeries {
            labels_refs: request.refs(&[("__name__", format!("limited_{n}").as_str()), ("digits", &digits)]),
            ..Default::default()
        };
        one.samples.extend((1..=samples).map(|timestamp| v2::Sample {
            value: 1.0,
            timestamp,
            start_timestamp: 0,
        }));
        request.push(&one, &[]);
    }
    request.body()
}

#[tokio::test]
async fn each_limit_of_a_request_has_the_documented_answer() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let server = Emberkeep::start(
        scratch.path(),
        &[
            "--write.body-limit=8KB",
            "--write.decoded-limit=32KB",
            "--write.series-limit=40",
            "--write.samples-limit=300",
            "--write.label-value-limit=1KB",
        ],
    )?;
    let url = server.url("/api/v1/write");
    for (what, body, expected) in [
        ("a large body", request(1, 1, 9000)?, 413),
        ("many series, but not too many", request(39, 1, 0)?, 204),
        ("many series", request(41, 1, 0)?, 400),
        ("many samples", request(3, 101, 0)?, 400),
        ("a long label", request(1, 1, 2000)?, 400),
        ("all within limits", request(3, 100, 900)?, 204),
    ] {
        let (status, headers, text) = wire::post(&client, &url, V2_TYPE, body).await?;
        ensure!(status == expected, "{what}: {status} {text}");
        let written = headers.get("x-prometheus-remote-write-samples-written");
        ensure!(
            status != 400 || written.is_some_and(|w| w == "0"),
            "{what}: {headers:?} {text}"
        );
        ensure!(text.is_empty() == (status == 204), "{what}: {text:?}");
    }
    // A declared length is refused before anything is made of it: four gigabytes in six bytes.
    let declared = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let (status, _, text) = wire::post(&client, &url, V2_TYPE, declared).await?;
    ensure!(status == 400 && !text.is_empty(), "{status} {text}");
    let found = wire::read_samples(&client, &server.url("/api/v1/read"), 0, 1000, wire::everything()).await?;
    ensure!(found.len() == 39 + 3, "{} series are stored", found.len());
    Ok(())
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_body_is_cut_off_and_told_to_come_again() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &["--write.timeout=1s"])?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await?;
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-type: {V2_TYPE}\r\ncontent-encoding: snappy\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&[0; 10]).await?;
    // Ends only because the server closes the connection.
    let mut answer = Vec::new();
    tokio::time::timeout(crate::process::PATIENCE, stream.read_to_end(&mut answer))
        .await
        .context("the connection stays open")??;
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    ensure!(
        answer.starts_with("http/1.1 503") && answer.contains("retry-after:"),
        "{answer}"
    );
    let client = wire::client();
    let (status, _, text) = wire::post(&client, &server.url("/api/v1/write"), V2_TYPE, request(1, 1, 0)?).await?;
    ensure!(status == 204, "others are served: {status} {text}");
    Ok(())
}
