//! Status codes and headers of the write endpoint, as senders rely on them.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;

use crate::process::Emberkeep;
use crate::wire::{self, V1_TYPE, V2_TYPE};

fn snappy(message: &impl Message) -> Result<Vec<u8>> {
    Ok(snap::raw::Encoder::new().compress_vec(&message.encode_to_vec())?)
}

fn one_sample(name: &str, timestamp: i64) -> v1::TimeSeries {
    v1::TimeSeries {
        labels: vec![v1::Label {
            name: "__name__".to_owned(),
            value: name.to_owned(),
        }],
        samples: vec![v1::Sample { value: 1.0, timestamp }],
        ..Default::default()
    }
}

#[tokio::test]
async fn answers_are_those_that_senders_understand() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &[])?;
    let client = wire::client();
    let url = server.url("/api/v1/write");
    let good = snappy(&v1::WriteRequest {
        timeseries: vec![one_sample("up", 1)],
        ..Default::default()
    })?;

    ensure!(client.get(&url).send().await?.status() == 405, "GET");
    let junk = b"\xffjunk".to_vec();
    for content_type in ["application/json", "image/png", "application/x-protobuf;proto=unknown"] {
        let (status, _, text) = wire::post(&client, &url, content_type, junk.clone()).await?;
        ensure!(
            status == 415 && text.contains("content type"),
            "{content_type}: {status} {text}"
        );
    }
    let gzip = client
        .post(&url)
        .header("content-type", V1_TYPE)
        .header("content-encoding", "gzip")
        .body(junk.clone());
    ensure!(gzip.send().await?.status() == 415, "gzip");
    for content_type in [V1_TYPE, V2_TYPE] {
        let (status, _, text) = wire::post(&client, &url, content_type, junk.clone()).await?;
        ensure!(status == 400 && !text.is_empty(), "{content_type}: {status} {text}");
    }
    for path in ["/api/v1/write", "/api/v1/push", "/api/v1/receive"] {
        let (status, headers, text) =
            wire::post(&client, &server.url(path), "application/x-protobuf", good.clone()).await?;
        ensure!(status == 204 && text.is_empty(), "{path}: {status} {text}");
        ensure!(
            !headers.keys().any(|k| k.as_str().contains("written")),
            "1.0 answers have no 2.0 headers"
        );
    }
    let bad_tenant = client
        .post(&url)
        .header("content-type", V1_TYPE)
        .header("x-scope-orgid", "a/../b")
        .body(good.clone());
    ensure!(bad_tenant.send().await?.status() == 400, "tenant");

    // One bad series: the good rest is kept, and the sender hears which one and why.
    let nameless = v1::TimeSeries {
        labels: vec![v1::Label {
            name: "job".to_owned(),
            value: "x".to_owned(),
        }],
        samples: vec![v1::Sample {
            value: 1.0,
            timestamp: 2,
        }],
        ..Default::default()
    };
    let mixed = v1::WriteRequest {
        timeseries: vec![nameless, one_sample("kept", 2)],
        ..Default::default()
    };
    let (status, _, text) = wire::post(&client, &url, V1_TYPE, snappy(&mixed)?).await?;
    ensure!(
        status == 400 && text.contains("metric name") && text.contains("job"),
        "{status} {text}"
    );
    let found = wire::read_samples(&client, &server.url("/api/v1/read"), 0, 10, wire::everything()).await?;
    ensure!(found.keys().any(|l| l[0].1 == "kept") && found.len() == 2, "{found:?}");

    // 2.0: a sample and a histogram of one series in one message are both kept, a wrong histogram beside them is not; counts are true.
    let wrong = v2::Histogram {
        count: Some(v2::histogram::Count::CountInt(99)),
        timestamp: 5,
        ..Default::default()
    };
    let right = v2::Histogram {
        timestamp: 4,
        ..Default::default()
    };
    let request = v2::Request {
        symbols: vec![String::new(), "__name__".to_owned(), "both".to_owned()],
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2],
            samples: vec![v2::Sample {
                value: 2.0,
                timestamp: 3,
                start_timestamp: 0,
            }],
            histograms: vec![right, wrong],
            ..Default::default()
        }],
    };
    let (status, headers, text) = wire::post(&client, &url, V2_TYPE, snappy(&request)?).await?;
    ensure!(
        status == 400 && text.contains("both") && text.len() <= 1024,
        "{status} {text}"
    );
    let written = |kind: &str| headers[&format!("x-prometheus-remote-write-{kind}-written")].clone();
    ensure!(
        written("samples") == "1" && written("histograms") == "1" && written("exemplars") == "0",
        "{headers:?}"
    );

    // Most of a request in the future: our clock may be wrong, so the answer is "later".
    let future = v1::WriteRequest {
        timeseries: vec![one_sample("up", i64::MAX)],
        ..Default::default()
    };
    let (status, headers, text) = wire::post(&client, &url, V1_TYPE, snappy(&future)?).await?;
    ensure!(
        status == 503 && headers.contains_key("retry-after") && text.contains("clock"),
        "{status} {text}"
    );
    let mostly_now = v1::WriteRequest {
        timeseries: vec![one_sample("up", i64::MAX), one_sample("up", 7)],
        ..Default::default()
    };
    let (status, _, text) = wire::post(&client, &url, V1_TYPE, snappy(&mostly_now)?).await?;
    ensure!(status == 400 && text.contains("ahead"), "{status} {text}");

    for (path, text) in [
        ("/-/healthy", "healthy"),
        ("/-/ready", "ready"),
        ("/metrics", "emberkeep_build_info"),
    ] {
        let answer = client.get(server.url(path)).send().await?;
        ensure!(answer.status() == 200 && answer.text().await?.contains(text), "{path}");
    }
    let info: serde_json::Value = serde_json::from_str(
        &client
            .get(server.url("/api/v1/status/buildinfo"))
            .send()
            .await?
            .text()
            .await?,
    )?;
    ensure!(
        info["status"] == "success" && info["data"]["version"].is_string(),
        "{info}"
    );
    Ok(())
}
