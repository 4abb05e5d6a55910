//! `/api/v1/status/cardinality` and `/api/v1/status/tsdb`.

use emberkeep_model::TenantId;
use emberkeep_reader::ReaderSettings;
use emberkeep_service::clock::{Clock, SystemClock};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{data, encoded, get, raw};
use crate::support::{Rows, TestArchive, TestHead, labels, sample, serve};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A part of long ago, one of today, and a head. A series is in all three.
async fn server() -> (TestArchive, String) {
    let mut archive = TestArchive::new();
    let now = SystemClock.now_ms();
    let row = |pairs: &[(&str, &str)], timestamp: i64| (TenantId::default(), labels(pairs), sample(timestamp, 1.0));
    let up = |job: &str, timestamp: i64| row(&[("__name__", "up"), ("job", job)], timestamp);
    let old: Rows = vec![up("a", 1_000), up("old", 61_000), row(&[("__name__", "gone")], 1_000)];
    let today: Rows = vec![
        up("a", now - DAY_MS / 2),
        up("b", now - DAY_MS / 2),
        (
            TenantId::parse("other").unwrap(),
            labels(&[("__name__", "secret")]),
            sample(now, 1.0),
        ),
    ];
    archive.flush(&old).await;
    archive.flush(&today).await;
    let fresh: Rows = vec![
        up("a", now),
        row(&[("__name__", "requests"), ("job", "a")], now + 60_000),
    ];
    let head = TestHead::source(fresh, archive.committed());
    let url = serve(archive.reader(vec![head], ReaderSettings::default())).await;
    (archive, url)
}

#[tokio::test]
async fn the_json_is_that_of_prometheus() {
    let (_archive, url) = server().await;
    let expected = concat!(
        r#"{"status":"success","data":{"#,
        r#""headStats":{"numSeries":3,"numLabelPairs":4,"chunkCount":0,"minTime":1000,"maxTime":61000},"#,
        r#""seriesCountByMetricName":[{"name":"up","value":2},{"name":"gone","value":1}],"#,
        r#""labelValueCountByLabelName":[{"name":"__name__","value":2},{"name":"job","value":2}],"#,
        r#""memoryInBytesByLabelName":[{"name":"__name__","value":38},{"name":"job","value":14}],"#,
        r#""seriesCountByLabelValuePair":[{"name":"__name__=up","value":2},{"name":"__name__=gone","value":1},"#,
        r#"{"name":"job=a","value":1},{"name":"job=old","value":1}]}}"#,
    );
    for path in ["status/cardinality", "status/tsdb"] {
        let (status, body) = raw(&url, &format!("{path}?start=1&end=61")).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, expected), "{path}");
    }
}

#[tokio::test]
async fn the_last_day_is_looked_at_and_a_series_counts_once() {
    let (_archive, url) = server().await;
    let answer = data(&url, "status/cardinality").await;
    assert_eq!(
        answer["seriesCountByMetricName"],
        json!([{"name": "up", "value": 2}, {"name": "requests", "value": 1}])
    );
    assert_eq!(
        answer["seriesCountByLabelValuePair"],
        json!([
            {"name": "__name__=up", "value": 2},
            {"name": "job=a", "value": 2},
            {"name": "__name__=requests", "value": 1},
            {"name": "job=b", "value": 1}
        ])
    );
    let time = |name: &str| answer["headStats"][name].as_i64().unwrap();
    assert_eq!(time("maxTime") - time("minTime"), DAY_MS);
}

#[tokio::test]
async fn a_part_of_the_series_and_of_the_lists() {
    let (_archive, url) = server().await;
    let series = |answer: &Value| answer["headStats"]["numSeries"].as_u64().unwrap();
    let selector = encoded(r#"{job="a"}"#);
    for (query, count) in [
        (format!("match[]={selector}&start=0"), 2),
        (format!("match[]={selector}&match[]=gone&start=0"), 3),
        ("start=0".to_owned(), 5),
        // The day before an end.
        ("end=61".to_owned(), 3),
        ("start=0&end=0.999".to_owned(), 0),
    ] {
        assert_eq!(
            series(&data(&url, &format!("status/cardinality?{query}")).await),
            count,
            "{query}"
        );
    }
    let answer = data(&url, "status/cardinality?start=0&limit=1").await;
    assert_eq!(series(&answer), 5);
    assert_eq!(answer["seriesCountByMetricName"], json!([{"name": "up", "value": 3}]));
    assert_eq!(
        answer["seriesCountByLabelValuePair"],
        json!([{"name": "__name__=up", "value": 3}])
    );
}

#[tokio::test]
async fn limits_have_prometheus_words() {
    let (_archive, url) = server().await;
    for (limit, said) in [
        ("0", "limit must be a positive number"),
        ("-1", "limit must be a positive number"),
        ("ten", "limit must be a positive number"),
        ("10001", "limit must not exceed 10000"),
    ] {
        let (status, answer) = get(&url, &format!("status/tsdb?limit={limit}")).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!(said)));
    }
}
