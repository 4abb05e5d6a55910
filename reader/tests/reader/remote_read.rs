//! Remote read over HTTP: both answers decoded by other code than wrote them, and every way in which it must fail.

use std::fs;
use std::sync::Arc;

use emberkeep_archive::FileKind;
use emberkeep_model::{Labels, Run, STALE_MARKER_BITS, TenantId, TimeRange};
use emberkeep_proto::frame::FrameReader;
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_proto::{WireError, snappy};
use emberkeep_reader::{HeadSource, ReaderSettings};
use emberkeep_tsdb::chunk::xor;
use prost::Message;
use reqwest::{Response, StatusCode};

use crate::support::{Rows, Series, TestArchive, TestHead, all_bits, client, labels, naive, sample, serve};

const STREAMED: i32 = 1;
const SAMPLED: i32 = 0;

fn query(start: i64, end: i64, matchers: &[(i32, &str, &str)]) -> wire::Query {
    let matchers = matchers.iter().map(|&(r#type, name, value)| wire::LabelMatcher {
        r#type,
        name: name.to_owned(),
        value: value.to_owned(),
    });
    wire::Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: matchers.collect(),
        hints: None,
    }
}

async fn post(url: &str, queries: Vec<wire::Query>, accepted: &[i32]) -> Response {
    post_as(url, None, queries, accepted).await
}

async fn post_as(url: &str, tenant: Option<&str>, queries: Vec<wire::Query>, accepted: &[i32]) -> Response {
    let request = wire::ReadRequest {
        queries,
        accepted_response_types: accepted.to_vec(),
    };
    let mut post = client()
        .post(format!("{url}/api/v1/read"))
        .header("Content-Encoding", "snappy");
    if let Some(tenant) = tenant {
        post = post.header("X-Scope-OrgID", tenant);
    }
    post.body(snappy::compress(&request.encode_to_vec()))
        .send()
        .await
        .unwrap()
}

fn labels_of(pairs: &[wire::Label]) -> Labels {
    let sorted = pairs.is_sorted_by(|a, b| a.name < b.name);
    assert!(sorted, "labels are sorted by name");
    Labels::from_pairs(pairs.iter().map(|label| (label.name.as_str(), label.value.as_str()))).unwrap()
}

/// Decodes frames and checks the rules that Prometheus' client silently relies on.
fn decode_streamed(body: &[u8], queries: usize) -> Vec<Series> {
    let mut answers: Vec<Vec<(Labels, Run)>> = vec![Vec::new(); queries];
    let mut last_query = 0;
    for payload in FrameReader::new(body, 50_000_000) {
        let frame = wire::ChunkedReadResponse::decode(payload.unwrap()).unwrap();
        let [series] = frame.chunked_series.as_slice() else {
            panic!("a frame holds exactly one series")
        };
        let index = usize::try_from(frame.query_index).unwrap();
        assert!(index >= last_query, "queries come one after another");
        last_query = index;
        assert!(!series.chunks.is_empty());
        let mut run = Run::default();
        for chunk in &series.chunks {
            assert_eq!(chunk.r#type, 1);
            let from = run.len();
            xor::decode(&chunk.data, &mut run).unwrap();
            assert!(run.len() > from && run.len() - from <= 120);
            assert_eq!(
                run.timestamps[from], chunk.min_time_ms,
                "min_time is the first sample's"
            );
            assert_eq!(
                *run.timestamps.last().unwrap(),
                chunk.max_time_ms,
                "max_time is the last sample's"
            );
        }
        assert!(run.is_settled(), "chunks rise and do not overlap");
        answers[index].push((labels_of(&series.labels), run));
    }
    answers
        .into_iter()
        .map(|series| {
            assert!(
                series.is_sorted_by(|a, b| a.0 < b.0),
                "frames are sorted by labels, each series once"
            );
            series.into_iter().collect()
        })
        .collect()
}

fn decode_sampled(body: &[u8]) -> Vec<Series> {
    let mut message = Vec::new();
    snappy::decompress_capped(body, 1 << 30, &mut message).unwrap();
    let response = wire::ReadResponse::decode(message.as_slice()).unwrap();
    let series_of = |result: wire::QueryResult| {
        let series = result.timeseries.into_iter().map(|series| {
            let run: Run = series
                .samples
                .iter()
                .map(|found| sample(found.timestamp, found.value))
                .collect();
            assert!(run.is_settled() && !run.is_empty());
            (labels_of(&series.labels), run)
        });
        series.collect()
    };
    response.results.into_iter().map(series_of).collect()
}

/// Rows with every kind of value, of several chunks for some series, in overlapping sources.
fn example() -> (Vec<Rows>, Rows) {
    let tenant = TenantId::default();
    let values = [
        0.0,
        -0.0,
        f64::from_bits(STALE_MARKER_BITS),
        f64::NAN,
        f64::INFINITY,
        1.5,
        5e-324,
        -123.456,
    ];
    let rows_of = |from: i64, to: i64, step: i64| -> Rows {
        let mut rows = Rows::new();
        for series in 0..40i64 {
            let instance = format!("host-{series}");
            let pairs = [
                ("__name__", "metric"),
                ("instance", instance.as_str()),
                ("job", ["a", "b"][series as usize % 2]),
            ];
            for timestamp in (from..to).step_by(step as usize) {
                let value = values[((timestamp + series) % 8) as usize];
                rows.push((tenant.clone(), labels(&pairs), sample(timestamp * 100, value)));
            }
        }
        rows.push((
            TenantId::parse("other").unwrap(),
            labels(&[("__name__", "secret")]),
            sample(from * 100, 1.0),
        ));
        rows
    };
    (
        vec![rows_of(0, 300, 1), rows_of(200, 500, 2), rows_of(700, 710, 1)],
        rows_of(690, 800, 3),
    )
}

async fn example_server(settings: ReaderSettings) -> (TestArchive, Rows, String) {
    let mut archive = TestArchive::new();
    let (parts, head) = example();
    for rows in &parts {
        archive.flush(rows).await;
    }
    let everything = parts.iter().chain([&head]).flatten().cloned().collect();
    let heads = vec![TestHead::source(head, archive.committed())];
    let url = serve(archive.reader(heads, settings)).await;
    (archive, everything, url)
}

#[tokio::test]
async fn both_answers_hold_what_the_definition_says() {
    let (_archive, rows, url) = example_server(ReaderSettings::default()).await;
    let a = emberkeep_model::Matcher::new("job", emberkeep_model::MatchOp::Equal, "a").unwrap();
    let b = emberkeep_model::Matcher::new("instance", emberkeep_model::MatchOp::Regex, "host-1.*").unwrap();
    let none = emberkeep_model::Matcher::new("job", emberkeep_model::MatchOp::Equal, "none").unwrap();
    let asked = vec![
        query(5_000, 71_000, &[(0, "job", "a")]),
        query(0, 100_000, &[(0, "job", "none")]),
        query(i64::MIN, i64::MAX, &[(2, "instance", "host-1.*")]),
    ];
    let tenant = TenantId::default();
    let expected: Vec<_> = [
        naive(&rows, &tenant, TimeRange::from_inclusive(5_000, 71_000), &[a]),
        naive(&rows, &tenant, TimeRange::from_inclusive(0, 100_000), &[none]),
        naive(&rows, &tenant, TimeRange::ALL, &[b]),
    ]
    .iter()
    .map(all_bits)
    .collect();
    assert_eq!((expected[0].len(), expected[1].len()), (20, 0));

    let response = post(&url, asked.clone(), &[STREAMED, SAMPLED]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let kind = response.headers()["Content-Type"].to_str().unwrap().to_owned();
    assert_eq!(
        kind,
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert!(!response.headers().contains_key("Content-Encoding"));
    let streamed = decode_streamed(&response.bytes().await.unwrap(), 3);
    assert_eq!(streamed.iter().map(all_bits).collect::<Vec<_>>(), expected);

    for accepted in [&[][..], &[SAMPLED], &[9, SAMPLED, STREAMED]] {
        let response = post(&url, asked.clone(), accepted).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["Content-Type"], "application/x-protobuf");
        assert_eq!(response.headers()["Content-Encoding"], "snappy");
        let sampled = decode_sampled(&response.bytes().await.unwrap());
        assert_eq!(sampled.iter().map(all_bits).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn hints_narrow_the_range_only_when_they_name_one() {
    let (_archive, rows, url) = example_server(ReaderSettings::default()).await;
    let tenant = TenantId::default();
    for (start_ms, end_ms, expected) in [
        (10_000, 20_000, TimeRange::from_inclusive(10_000, 20_000)),
        (20_000, 90_000, TimeRange::from_inclusive(20_000, 50_000)),
        (0, 0, TimeRange::from_inclusive(0, 50_000)),
        (9, 5, TimeRange::from_inclusive(0, 50_000)),
    ] {
        let mut asked = query(0, 50_000, &[]);
        asked.hints = Some(wire::ReadHints {
            start_ms,
            end_ms,
            func: "series".to_owned(),
            ..Default::default()
        });
        let body = post(&url, vec![asked], &[STREAMED]).await.bytes().await.unwrap();
        let found = decode_streamed(&body, 1).remove(0);
        assert_eq!(
            all_bits(&found),
            all_bits(&naive(&rows, &tenant, expected, &[])),
            "hints {start_ms}..{end_ms}"
        );
    }
}

#[tokio::test]
async fn a_series_of_megabytes_stays_in_one_frame() {
    let mut archive = TestArchive::new();
    // Values without any pattern, so that chunks are as large as they get.
    let run: Run = (0..300_000i64)
        .map(|i| {
            sample(
                i * 1_000,
                f64::from_bits((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2),
            )
        })
        .collect();
    let name = labels(&[("__name__", "wild")]);
    archive
        .flush_runs([(TenantId::default(), name.clone(), run.clone())])
        .await;
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    let body = post(&url, vec![query(0, i64::MAX, &[])], &[STREAMED])
        .await
        .bytes()
        .await
        .unwrap();
    assert!(body.len() > 2 << 20, "more than one segment: {}", body.len());
    assert_eq!(FrameReader::new(&body, 50_000_000).count(), 1);
    assert_eq!(
        all_bits(&decode_streamed(&body, 1)[0]),
        all_bits(&[(name.clone(), run.clone())].into())
    );
    let body = post(&url, vec![query(0, i64::MAX, &[])], &[SAMPLED])
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(all_bits(&decode_sampled(&body)[0]), all_bits(&[(name, run)].into()));
}

#[tokio::test]
async fn tenants_see_only_their_own() {
    let (_archive, _, url) = example_server(ReaderSettings::default()).await;
    let all = || vec![query(i64::MIN, i64::MAX, &[])];
    let names = |series: &Series| {
        series
            .keys()
            .map(|labels| labels.metric_name().to_owned())
            .collect::<Vec<_>>()
    };
    let body = post_as(&url, Some("other"), all(), &[STREAMED])
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(names(&decode_streamed(&body, 1)[0]), ["secret"]);
    let body = post_as(&url, Some("nobody"), all(), &[STREAMED])
        .await
        .bytes()
        .await
        .unwrap();
    assert!(body.is_empty());
    assert_eq!(
        post_as(&url, Some("../x"), all(), &[STREAMED]).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn what_the_client_did_wrong_is_400_with_the_reason() {
    let settings = ReaderSettings {
        sample_limit: 100,
        ..ReaderSettings::default()
    };
    let (_archive, _, url) = example_server(settings).await;
    let all = query(0, 100_000, &[]);
    for (queries, accepted, said) in [
        (vec![query(0, 1, &[(2, "job", "(")])], STREAMED, "job"),
        (vec![query(0, 1, &[(7, "job", "x")])], STREAMED, "matcher"),
        (vec![all.clone()], 9, "response types"),
        (vec![all.clone()], SAMPLED, "limit of 100"),
    ] {
        let response = post(&url, queries, &[accepted]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = response.text().await.unwrap();
        assert!(text.contains(said), "{text}");
    }
    // The limit is of the sampled answer alone.
    assert_eq!(post(&url, vec![all], &[STREAMED]).await.status(), StatusCode::OK);
    let response = client()
        .post(format!("{url}/api/v1/read"))
        .body("no snappy")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x07, 0, 0];
    let response = client()
        .post(format!("{url}/api/v1/read"))
        .body(bomb.to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        client()
            .get(format!("{url}/api/v1/read"))
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn a_head_or_part_that_is_missing_is_never_a_shorter_answer() {
    let mut archive = TestArchive::new();
    let (parts, head) = example();
    let part = archive.flush(&parts[0]).await;
    let down = HeadSource::Local(Arc::new(TestHead {
        rows: head,
        committed: 1,
        is_down: true,
    }));
    let url = serve(archive.reader(vec![down], ReaderSettings::default())).await;
    let all = || vec![query(i64::MIN, i64::MAX, &[])];
    let response = post(&url, all(), &[STREAMED]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.text().await.unwrap().contains("replaying"));

    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    fs::remove_file(archive.file(&part, FileKind::Samples)).unwrap();
    for accepted in [STREAMED, SAMPLED] {
        assert_eq!(
            post(&url, all(), &[accepted]).await.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}

/// A part that is damaged near its end: the first frames are sent before anybody can know.
#[tokio::test]
async fn a_failure_after_the_first_byte_aborts_the_connection() {
    let mut archive = TestArchive::new();
    let runs = (0..400u64).map(|series| {
        let name = format!("m{series:04}");
        let values =
            (0..1_000u64).map(|i| f64::from_bits((series * 1_000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2));
        let run: Run = values
            .enumerate()
            .map(|(i, value)| sample(i as i64 * 1_000, value))
            .collect();
        (TenantId::default(), labels(&[("__name__", name.as_str())]), run)
    });
    let part = archive.flush_runs(runs.collect::<Vec<_>>()).await;
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    let all = || vec![query(i64::MIN, i64::MAX, &[])];
    let whole = post(&url, all(), &[STREAMED]).await.bytes().await.unwrap();
    assert_eq!(decode_streamed(&whole, 1)[0].len(), 400);

    let path = archive.file(&part, FileKind::Samples);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() * 7 / 10;
    // More than a page, so that a page's head is hit: values alone carry no checksum.
    bytes[at..at + 200_000].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    let mut response = post(&url, all(), &[STREAMED]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut received = Vec::new();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => received.extend_from_slice(&bytes),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(
        ended.is_err(),
        "a clean end would say that these {} bytes are all",
        received.len()
    );
    // What did arrive is the beginning of the answer; its last frame may be cut.
    let frames = FrameReader::new(&received, 50_000_000)
        .take_while(Result::is_ok)
        .count();
    assert!((1..400).contains(&frames), "{frames}");
    assert_eq!(received, whole[..received.len()]);

    // The sampled answer is sent only when it is whole, so its failure is a status.
    let response = post(&url, all(), &[SAMPLED]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let cut: Result<Vec<_>, WireError> = FrameReader::new(&whole[..whole.len() - 1], 50_000_000).collect();
    assert!(cut.is_err(), "the frame reader of this test notices a cut");
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let mut archive = TestArchive::new();
    let runs = (0..300u64).map(|series| {
        let name = format!("m{series:04}");
        let wild = |i: u64| f64::from_bits((series * 2_000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
        let run: Run = (0..2_000u64).map(|i| sample(i as i64 * 1_000, wild(i))).collect();
        (TenantId::default(), labels(&[("__name__", name.as_str())]), run)
    });
    archive.flush_runs(runs.collect::<Vec<_>>()).await;
    let settings = ReaderSettings {
        concurrency: 1,
        ..ReaderSettings::default()
    };
    let url = serve(archive.reader(Vec::new(), settings)).await;
    for _ in 0..3 {
        let mut left = post(&url, vec![query(0, i64::MAX, &[])], &[STREAMED]).await;
        assert!(left.chunk().await.unwrap().is_some());
        drop(left);
    }
    let whole = post(&url, vec![query(0, i64::MAX, &[])], &[STREAMED])
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(decode_streamed(&whole, 1)[0].len(), 300);
}
