//! `/api/v1/query_exemplars`, byte for byte as Prometheus writes it.

use emberkeep_model::TenantId;
use emberkeep_reader::ReaderSettings;
use reqwest::StatusCode;
use serde_json::json;

use super::{encoded, get, raw};
use crate::support::{Row, Rows, TestArchive, TestHead, client, exemplar, labels, sample, serve};

const BUCKET: &[(&str, &str)] = &[("__name__", "x_bucket"), ("job", "a"), ("le", "0.5")];
const QUOTED: &[(&str, &str)] = &[("__name__", "y"), ("job", "say \"é\"")];

/// Two parts and a head that overlap.
async fn server() -> (TestArchive, String) {
    let mut archive = TestArchive::new();
    let row = |pairs: &[(&str, &str)], row: Row| (TenantId::default(), labels(pairs), row);
    let first: Rows = vec![
        row(BUCKET, sample(1_000, 1.0)),
        row(
            BUCKET,
            exemplar(1_600_096_945_479, 6.0, &[("traceID", "EpTxMJ40fUus7aGY")]),
        ),
        row(BUCKET, exemplar(1_600_096_955_000, 0.1, &[])),
        row(QUOTED, exemplar(-1, f64::NAN, &[("a b", "<é>\n")])),
        (
            TenantId::parse("other").unwrap(),
            labels(BUCKET),
            exemplar(1_600_096_945_479, 7.0, &[("traceID", "secret")]),
        ),
    ];
    let second: Rows = vec![
        row(
            BUCKET,
            exemplar(1_600_096_945_479, 6.0, &[("traceID", "EpTxMJ40fUus7aGY")]),
        ),
        row(BUCKET, exemplar(1_600_096_945_479, 6.0, &[("traceID", "other")])),
    ];
    archive.flush(&first).await;
    archive.flush(&second).await;
    let fresh: Rows = vec![
        row(BUCKET, exemplar(1_600_096_955_000, 0.1, &[])),
        row(BUCKET, exemplar(1_600_096_964_095, 1e-7, &[("traceID", "new")])),
        row(&[("__name__", "z")], exemplar(5, f64::INFINITY, &[])),
    ];
    let head = TestHead::source(fresh, archive.committed());
    let url = serve(archive.reader(vec![head], ReaderSettings::default())).await;
    (archive, url)
}

const BUCKET_FULL: &str = concat!(
    r#"{"seriesLabels":{"__name__":"x_bucket","job":"a","le":"0.5"},"exemplars":["#,
    r#"{"labels":{"traceID":"EpTxMJ40fUus7aGY"},"value":"6","timestamp":1600096945.479},"#,
    r#"{"labels":{"traceID":"other"},"value":"6","timestamp":1600096945.479},"#,
    r#"{"labels":{},"value":"0.1","timestamp":1600096955},"#,
    r#"{"labels":{"traceID":"new"},"value":"1e-07","timestamp":1600096964.095}]}"#,
);
const QUOTED_FULL: &str = concat!(
    r#"{"seriesLabels":{"__name__":"y","job":"say \"é\""},"exemplars":["#,
    r#"{"labels":{"a b":"<é>\n"},"value":"NaN","timestamp":-0.001}]}"#,
);
const FRESH_FULL: &str =
    r#"{"seriesLabels":{"__name__":"z"},"exemplars":[{"labels":{},"value":"+Inf","timestamp":0.005}]}"#;

fn success(series: &[&str]) -> String {
    format!(r#"{{"status":"success","data":[{}]}}"#, series.join(","))
}

#[tokio::test]
async fn exemplars_of_the_series_of_an_expression() {
    let (_archive, url) = server().await;
    for (expression, series) in [
        (
            r#"histogram_quantile(0.9, sum by (le) (rate(x_bucket{job=~"a"}[5m])))"#,
            vec![BUCKET_FULL],
        ),
        (
            r#"sum(y) / on(job) group_left z + {le="0.5"}"#,
            vec![BUCKET_FULL, QUOTED_FULL, FRESH_FULL],
        ),
        (r#"x_bucket{le="0.5"} or x_bucket"#, vec![BUCKET_FULL]),
        (r#"{__name__=~".+",le!="0.5"}"#, vec![QUOTED_FULL, FRESH_FULL]),
        (r#"info(x_bucket, {data=~".*"})"#, vec![BUCKET_FULL]),
        (
            r#"info(x_bucket, {__name__=~"y|z",data=~".*"})"#,
            vec![BUCKET_FULL, QUOTED_FULL, FRESH_FULL],
        ),
        ("none", vec![]),
    ] {
        let (status, body) = raw(&url, &format!("query_exemplars?query={}", encoded(expression))).await;
        assert_eq!((status, body), (StatusCode::OK, success(&series)), "{expression}");
    }
}

#[tokio::test]
async fn without_a_selector_there_is_no_content_as_in_prometheus() {
    let (_archive, url) = server().await;
    for expression in ["1", "vector(1) > time()", r#"info(vector(1), {data=~".*"})"#] {
        let request = client().get(format!("{url}/api/v1/query_exemplars?query={}", encoded(expression)));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{expression}");
        assert_eq!(response.bytes().await.unwrap(), "");
    }
}

#[tokio::test]
async fn both_ends_of_the_range_are_inside() {
    let (_archive, url) = server().await;
    for (range, timestamps) in [
        (
            "start=1600096955&end=1600096964.095",
            json!([1600096955, 1600096964.095]),
        ),
        ("start=1600096955.001&end=1600096964.094", json!([])),
        ("start=1600096955&end=2020-09-14T15:22:35Z", json!([1600096955])),
        ("end=1600096945.478", json!([])),
    ] {
        let (_, answer) = get(&url, &format!("query_exemplars?query=x_bucket&{range}")).await;
        let found = match answer["data"].as_array().unwrap().as_slice() {
            [] => json!([]),
            [only] => {
                let exemplars = only["exemplars"].as_array().unwrap();
                exemplars.iter().map(|exemplar| exemplar["timestamp"].clone()).collect()
            }
            more => panic!("{more:?}"),
        };
        assert_eq!(found, timestamps, "{range}");
    }
}

#[tokio::test]
async fn forms_and_tenants() {
    let (_archive, url) = server().await;
    let post = client().post(format!("{url}/api/v1/query_exemplars"));
    let post = post.header("X-Scope-OrgID", "other");
    let post = post.header("Content-Type", "application/x-www-form-urlencoded");
    let body = post.body("query=rate(x_bucket%5B5m%5D)").send().await.unwrap().text();
    assert_eq!(
        body.await.unwrap(),
        success(&[concat!(
            r#"{"seriesLabels":{"__name__":"x_bucket","job":"a","le":"0.5"},"exemplars":["#,
            r#"{"labels":{"traceID":"secret"},"value":"7","timestamp":1600096945.479}]}"#
        )])
    );
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let (_archive, url) = server().await;
    for (path, said) in [
        ("query_exemplars", "no expression found"),
        (
            "query_exemplars?query=sum(",
            "`query`: a value is missing at character 5",
        ),
        ("query_exemplars?query=%7B%7D", "at least one matcher"),
        ("query_exemplars?query=x%7Ba%3D~%22(%22%7D", "`x{a=~\"(\"}`"),
        ("query_exemplars?query=x&start=then", "`start`"),
        (
            "query_exemplars?query=x&start=2&end=1",
            "end timestamp must not be before start timestamp",
        ),
    ] {
        let (status, answer) = get(&url, path).await;
        assert_eq!(
            (status, &answer["errorType"]),
            (StatusCode::BAD_REQUEST, &json!("bad_data")),
            "{path}"
        );
        assert!(answer["error"].as_str().unwrap().contains(said), "{path}: {answer}");
    }
    let many: Vec<String> = (0..1001).map(|i| format!("m{i}")).collect();
    let (status, answer) = get(&url, &format!("query_exemplars?query={}", many.join("%2B"))).await;
    assert_eq!(
        (status, &answer["errorType"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("execution"))
    );
}

#[tokio::test]
async fn a_limit_fails_the_request() {
    let (archive, _) = server().await;
    let settings = ReaderSettings {
        series_limit: 1,
        ..ReaderSettings::default()
    };
    let url = serve(archive.reader(Vec::new(), settings)).await;
    assert_eq!(get(&url, "query_exemplars?query=y").await.0, StatusCode::OK);
    let (status, answer) = get(&url, "query_exemplars?query=x_bucket%2By").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        answer["error"].as_str().unwrap().contains("--read.series-limit"),
        "{answer}"
    );
}
