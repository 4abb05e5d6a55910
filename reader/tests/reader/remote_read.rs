//! Remote read over HTTP: both answers decoded by other code than wrote them, and every way in which it must fail.

use std::fs;
use std::sync::Arc;

use emberkeep_archive::FileKind;
use emberkeep_model::{Histogram, MatchOp, Matcher, ResetHint, Run, STALE_MARKER_BITS, TenantId, TimeRange};
use emberkeep_proto::WireError;
use emberkeep_proto::frame::FrameReader;
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_reader::{HeadSource, ReaderSettings};
use reqwest::StatusCode;

use crate::answers::{SAMPLED, STREAMED, decode_sampled, decode_streamed, post, post_as, query};
use crate::bits::{all_bits, all_observed, all_told};
use crate::histograms::{self, SORTS};
use crate::model::naive;
use crate::support::{
    Row, Rows, Series, TestArchive, TestHead, client, exemplar, float, floats, histogram, labels, sample, serve,
};

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
                let row = match series % 5 {
                    // A counter of histograms, with start timestamps that nobody must see.
                    3 => Row::Histogram(timestamp * 100, 7, Arc::new(histograms::counter(timestamp))),
                    // Every sort of histogram, and floats between them.
                    4 if timestamp % 7 != 0 => {
                        let sort = (timestamp + series) as usize % SORTS;
                        Row::Histogram(timestamp * 100, 0, Arc::new(histograms::sort(sort)))
                    }
                    _ => sample(timestamp * 100, value),
                };
                rows.push((tenant.clone(), labels(&pairs), row));
            }
        }
        let traced = labels(&[("__name__", "metric"), ("instance", "host-1-traced"), ("job", "a")]);
        rows.push((tenant.clone(), traced, exemplar(from * 100, 1.0, &[("trace_id", "x")])));
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
    let a = Matcher::new("job", MatchOp::Equal, "a").unwrap();
    let b = Matcher::new("instance", MatchOp::Regex, "host-1.*").unwrap();
    let none = Matcher::new("job", MatchOp::Equal, "none").unwrap();
    let asked = vec![
        query(5_000, 71_000, &[(0, "job", "a")]),
        query(0, 100_000, &[(0, "job", "none")]),
        query(i64::MIN, i64::MAX, &[(2, "instance", "host-1.*")]),
    ];
    let tenant = TenantId::default();
    let expected = [
        naive(&rows, &tenant, TimeRange::from_inclusive(5_000, 71_000), &[a]),
        naive(&rows, &tenant, TimeRange::from_inclusive(0, 100_000), &[none]),
        naive(&rows, &tenant, TimeRange::ALL, &[b]),
    ];
    assert_eq!((expected[0].len(), expected[1].len()), (20, 0));
    let has_histograms = |series: &Series| series.values().any(|runs| !runs.histograms.is_empty());
    assert!(has_histograms(&expected[0]) && has_histograms(&expected[2]));

    let response = post(&url, asked.clone(), &[STREAMED, SAMPLED]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let kind = response.headers()["Content-Type"].to_str().unwrap().to_owned();
    assert_eq!(
        kind,
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert!(!response.headers().contains_key("Content-Encoding"));
    let streamed = decode_streamed(&response.bytes().await.unwrap(), 3);
    let all = |answers: &[Series], form: fn(&Series) -> _| answers.iter().map(form).collect::<Vec<_>>();
    assert_eq!(all(&streamed, all_observed), all(&expected, all_observed));

    for accepted in [&[][..], &[SAMPLED], &[9, SAMPLED, STREAMED]] {
        let response = post(&url, asked.clone(), accepted).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["Content-Type"], "application/x-protobuf");
        assert_eq!(response.headers()["Content-Encoding"], "snappy");
        let sampled = decode_sampled(&response.bytes().await.unwrap());
        assert_eq!(all(&sampled, all_bits), all(&expected, all_told));
    }
}

/// Every comparison, also those that the empty value satisfies, with which series without the label are meant.
#[tokio::test]
async fn a_label_that_is_missing_is_empty() {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    let rows: Rows = [
        &[("__name__", "m")][..],
        &[("__name__", "m"), ("job", "a")],
        &[("__name__", "m"), ("job", "b\nc")],
        &[("__name__", "other"), ("job", "a")],
        &[("job", "nameless")],
    ]
    .into_iter()
    .map(|pairs| (tenant.clone(), labels(pairs), sample(1_000, 1.0)))
    .collect();
    let (parts, head) = rows.split_at(3);
    archive.flush(&parts.to_vec()).await;
    let heads = vec![TestHead::source(head.to_vec(), archive.committed())];
    let url = serve(archive.reader(heads, ReaderSettings::default())).await;
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    for (op, name, value, count) in [
        (0, "job", "", 1),
        (0, "job", "a", 2),
        (0, "__name__", "", 1),
        (0, "none", "", 5),
        (1, "job", "", 4),
        (1, "job", "a", 3),
        (1, "none", "x", 5),
        (2, "job", "", 1),
        (2, "job", ".*", 5),
        (2, "job", "|a", 3),
        (2, "job", "b.c", 1),
        (2, "job", ".+", 4),
        (3, "job", "", 4),
        (3, "job", ".+", 1),
        (3, "job", "a|b.*", 2),
        (3, "none", "x", 5),
    ] {
        let matcher = Matcher::new(name, ops[op], value).unwrap();
        let expected = naive(&rows, &tenant, TimeRange::ALL, &[matcher]);
        assert_eq!(expected.len(), count, "{op} {name} {value:?}");
        let asked = || vec![query(0, 5_000, &[(i32::try_from(op).unwrap(), name, value)])];
        let streamed = post(&url, asked(), &[STREAMED]).await.bytes().await.unwrap();
        assert_eq!(all_bits(&decode_streamed(&streamed, 1)[0]), all_bits(&expected));
        let sampled = post(&url, asked(), &[SAMPLED]).await.bytes().await.unwrap();
        assert_eq!(all_bits(&decode_sampled(&sampled)[0]), all_bits(&expected));
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
            all_observed(&found),
            all_observed(&naive(&rows, &tenant, expected, &[])),
            "hints {start_ms}..{end_ms}"
        );
    }
}

#[tokio::test]
async fn a_series_of_megabytes_stays_in_one_frame() {
    let mut archive = TestArchive::new();
    // Values without any pattern, so that chunks are as large as they get.
    let wild = |i: i64| {
        float(
            i * 1_000,
            f64::from_bits((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2),
        )
    };
    let run = floats((0..300_000i64).map(wild).collect());
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

/// A request may be large, what is said of it is not.
#[tokio::test]
async fn the_reason_is_short_however_long_the_request() {
    let archive = TestArchive::new();
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    // Control characters grow when they are shown, and the cut is in the middle of a character.
    for filler in ["\u{1}", "\u{1f525}", "a"] {
        let pattern = format!("{}(", filler.repeat(1 << 20));
        let response = post(&url, vec![query(0, 1, &[(2, "job", &pattern)])], &[STREAMED]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = response.text().await.unwrap();
        assert!(text.starts_with("pattern \"") && text.contains("job"), "{text}");
        assert!(text.len() <= 1025, "{}", text.len());
        let selector = format!("up{{job=~\"{}(\"}}", filler.repeat((3 << 20) / filler.len() / 3));
        for (path, name) in [("series", "match[]"), ("query_exemplars", "query"), ("labels", "start")] {
            let mut form = reqwest::Url::parse("http://form").unwrap();
            form.query_pairs_mut().append_pair(name, &selector);
            let response = client()
                .post(format!("{url}/api/v1/{path}"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.query().unwrap().to_owned())
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
            let answer: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            let text = answer["error"].as_str().unwrap();
            assert!(text.contains(name) && text.len() <= 1024, "{}: {text}", text.len());
        }
    }
}

/// Of one series by two producers: the hint of the one is about its own sample before, which is not the one before it here.
#[tokio::test]
async fn a_reset_is_not_told_of_merged_producers() {
    let mut archive = TestArchive::new();
    let row = |timestamp, n, reset_hint| {
        let made = Histogram {
            reset_hint,
            ..histograms::counter(n)
        };
        (
            TenantId::default(),
            labels(&[("__name__", "m")]),
            histogram(timestamp, made),
        )
    };
    archive
        .flush(&vec![row(1, 100, ResetHint::Unknown), row(3, 5, ResetHint::Reset)])
        .await;
    archive.flush(&vec![row(2, 3, ResetHint::NotReset)]).await;
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    let body = post(&url, vec![query(0, 100, &[])], &[SAMPLED])
        .await
        .bytes()
        .await
        .unwrap();
    let found = decode_sampled(&body).remove(0);
    let hints: Vec<_> = found
        .values()
        .flat_map(|runs| runs.histograms.iter().map(|row| row.histogram().reset_hint))
        .collect();
    assert_eq!(hints, [ResetHint::Unknown; 3]);
}

#[tokio::test]
async fn what_the_client_did_wrong_is_400_with_the_reason() {
    let (_archive, _, url) = example_server(ReaderSettings::default()).await;
    for (queries, accepted, said) in [
        (vec![query(0, 1, &[(2, "job", "(")])], STREAMED, "job"),
        (vec![query(0, 1, &[(7, "job", "x")])], STREAMED, "matcher"),
        (vec![query(0, 100_000, &[])], 9, "response types"),
    ] {
        let response = post(&url, queries, &[accepted]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = response.text().await.unwrap();
        assert!(text.contains(said), "{text}");
    }
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
            .map(|(i, value)| float(i as i64 * 1_000, value))
            .collect();
        (TenantId::default(), labels(&[("__name__", name.as_str())]), floats(run))
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
