//! What a sender and a remote-read client see, decoded by prost alone: none of the product's decoders is trusted here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;

/// Labels in the order of their names.
pub(crate) type LabelSet = Vec<(String, String)>;

/// Samples by label set and timestamp: value bits and start timestamp.
pub(crate) type Samples = BTreeMap<LabelSet, BTreeMap<i64, (u64, i64)>>;

pub(crate) const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Adds a sample as the total order of the design wants it: stale least, then larger bits, then larger start timestamp.
pub(crate) fn add(samples: &mut Samples, labels: &LabelSet, timestamp: i64, bits: u64, start: i64) {
    let key = |(bits, start): (u64, i64)| (bits != STALE, bits, start);
    let kept = samples
        .entry(labels.clone())
        .or_default()
        .entry(timestamp)
        .or_insert((bits, start));
    if key((bits, start)) > key(*kept) {
        *kept = (bits, start);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "bodies of this test, and answers of the program under test"
)]
pub(crate) fn uncompressed(body: &[u8]) -> Result<Vec<u8>> {
    Ok(snap::raw::Decoder::new().decompress_vec(body)?)
}

/// Float samples of a 1.0 body.
pub(crate) fn decode_v1(body: &[u8], samples: &mut Samples) -> Result<()> {
    let request = v1::WriteRequest::decode(&*uncompressed(body)?)?;
    for series in request.timeseries {
        let labels = normal(series.labels.into_iter().map(|l| (l.name, l.value)));
        for sample in series.samples {
            add(samples, &labels, sample.timestamp, sample.value.to_bits(), 0);
        }
    }
    Ok(())
}

/// Float samples of a 2.0 body.
pub(crate) fn decode_v2(body: &[u8], samples: &mut Samples) -> Result<()> {
    let request = v2::Request::decode(&*uncompressed(body)?)?;
    for series in request.timeseries {
        let symbol = |r: &u32| request.symbols.get(*r as usize).cloned().context("symbol out of range");
        let pairs: Result<Vec<_>> = series
            .labels_refs
            .chunks(2)
            .map(|pair| Ok((symbol(&pair[0])?, symbol(&pair[1])?)))
            .collect();
        let labels = normal(pairs?.into_iter());
        for sample in series.samples {
            add(
                samples,
                &labels,
                sample.timestamp,
                sample.value.to_bits(),
                sample.start_timestamp,
            );
        }
    }
    Ok(())
}

/// Sorted, without empty values.
pub(crate) fn normal(pairs: impl Iterator<Item = (String, String)>) -> LabelSet {
    let mut labels: LabelSet = pairs.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort();
    labels
}

/// The bodies of a recorded corpus file.
pub(crate) fn corpus(name: &str) -> Result<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/corpus")
        .join(name);
    let bytes = std::fs::read(&path).with_context(|| {
        format!(
            "`{}` is missing: the recorded corpus must lie in `shared/corpus` beside the repository",
            path.display()
        )
    })?;
    let mut bodies = Vec::new();
    let mut rest = &bytes[..];
    while let Some((header, tail)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes(header[..4].try_into()?) as usize;
        let (body, tail) = tail.split_at_checked(length).context("the corpus file is cut off")?;
        bodies.push(body.to_vec());
        rest = tail;
    }
    ensure!(rest.is_empty(), "the corpus file has trailing bytes");
    Ok(bodies)
}

/// Content types of the two protocols.
pub(crate) const V1_TYPE: &str = "application/x-protobuf;proto=prometheus.WriteRequest";
pub(crate) const V2_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Sends one body; returns status, headers and text.
pub(crate) async fn post(
    client: &reqwest::Client,
    url: &str,
    content_type: &str,
    body: Vec<u8>,
) -> Result<(u16, reqwest::header::HeaderMap, String)> {
    let request = client
        .post(url)
        .header("content-type", content_type)
        .header("content-encoding", "snappy");
    let answer = request.body(body).send().await?;
    Ok((answer.status().as_u16(), answer.headers().clone(), answer.text().await?))
}

/// Reads everything of a time range back by remote read in SAMPLES mode.
pub(crate) async fn read_samples(
    client: &reqwest::Client,
    url: &str,
    start: i64,
    end: i64,
    matchers: Vec<v1::LabelMatcher>,
) -> Result<Samples> {
    let mut samples = Samples::new();
    for series in &read_series(client, url, start, end, matchers).await? {
        let labels: LabelSet = series
            .labels
            .iter()
            .map(|l| (l.name.clone(), l.value.clone()))
            .collect();
        ensure!(!samples.contains_key(&labels), "series {labels:?} comes twice");
        for sample in &series.samples {
            add(&mut samples, &labels, sample.timestamp, sample.value.to_bits(), 0);
        }
    }
    Ok(samples)
}

/// The series of a remote read in SAMPLES mode, as they are on the wire.
pub(crate) async fn read_series(
    client: &reqwest::Client,
    url: &str,
    start: i64,
    end: i64,
    matchers: Vec<v1::LabelMatcher>,
) -> Result<Vec<v1::TimeSeries>> {
    let (content_type, body) = read_body(client, url, start, end, matchers, vec![]).await?;
    ensure!(content_type == "application/x-protobuf", "content type {content_type}");
    let mut response = v1::ReadResponse::decode(&*uncompressed(&body)?)?;
    ensure!(response.results.len() == 1, "one result per query");
    Ok(response.results.remove(0).timeseries)
}

/// The frames of a streamed remote read: length, checksum, one series each.
pub(crate) async fn read_frames(
    client: &reqwest::Client,
    url: &str,
    start: i64,
    end: i64,
    matchers: Vec<v1::LabelMatcher>,
) -> Result<Vec<v1::ChunkedSeries>> {
    let streamed = v1::read_request::ResponseType::StreamedXorChunks.into();
    let (content_type, body) = read_body(client, url, start, end, matchers, vec![streamed]).await?;
    let expected = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    ensure!(content_type == expected, "content type {content_type}");
    let mut frames = Vec::new();
    let mut rest = &body[..];
    while !rest.is_empty() {
        let length = usize::try_from(prost::encoding::decode_varint(&mut rest)?)?;
        let frame = rest.get(4..4 + length).context("a frame is cut off")?;
        let mut response = v1::ChunkedReadResponse::decode(frame)?;
        ensure!(
            response.chunked_series.len() == 1,
            "clients read one series of a frame and lose the others"
        );
        frames.push(response.chunked_series.remove(0));
        rest = &rest[4 + length..];
    }
    Ok(frames)
}

/// One remote read; returns the content type and the body.
pub(crate) async fn read_body(
    client: &reqwest::Client,
    url: &str,
    start: i64,
    end: i64,
    matchers: Vec<v1::LabelMatcher>,
    accepted: Vec<i32>,
) -> Result<(String, Vec<u8>)> {
    let query = v1::Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers,
        hints: None,
    };
    let request = v1::ReadRequest {
        queries: vec![query],
        accepted_response_types: accepted,
    };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
    let answer = client
        .post(url)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-read-version", "0.1.0")
        .body(body)
        .send()
        .await?;
    let status = answer.status();
    let content_type = answer
        .headers()
        .get("content-type")
        .map(|v| v.to_str().unwrap_or("").to_owned())
        .unwrap_or_default();
    let bytes = answer.bytes().await?.to_vec();
    ensure!(
        status.is_success(),
        "remote read answers {status}: {}",
        String::from_utf8_lossy(&bytes)
    );
    Ok((content_type, bytes))
}

/// A matcher that every series satisfies.
pub(crate) fn everything() -> Vec<v1::LabelMatcher> {
    vec![v1::LabelMatcher {
        r#type: 2,
        name: "__name__".to_owned(),
        value: ".+".to_owned(),
    }]
}

/// The same samples without their start timestamps, which remote read does not carry.
pub(crate) fn without_starts(samples: &Samples) -> Samples {
    let strip = |by_time: &BTreeMap<i64, (u64, i64)>| by_time.iter().map(|(t, (bits, _))| (*t, (*bits, 0))).collect();
    samples
        .iter()
        .map(|(labels, by_time)| (labels.clone(), strip(by_time)))
        .collect()
}

/// The first difference of two sets of samples, as a text that says enough.
pub(crate) fn difference(expected: &Samples, found: &Samples) -> Option<String> {
    for (labels, by_time) in expected {
        let Some(other) = found.get(labels) else {
            return Some(format!("{labels:?} is missing"));
        };
        if by_time != other {
            let sample = by_time.iter().find(|(t, v)| other.get(t) != Some(v));
            let extra = other.iter().find(|(t, _)| !by_time.contains_key(t));
            return Some(format!(
                "{labels:?}: expected {sample:x?}, found {:x?}; extra {extra:x?}",
                sample.map(|(t, _)| other.get(t))
            ));
        }
    }
    found
        .keys()
        .find(|labels| !expected.contains_key(*labels))
        .map(|labels| format!("{labels:?} is extra"))
}

/// An HTTP client that opens a connection for each request: the servers of these tests die and come back.
pub(crate) fn client() -> reqwest::Client {
    // Fails only when another test of this process was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .expect("plain settings make a client")
}
