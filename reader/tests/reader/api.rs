//! The query API as a client of Prometheus sees it.

mod cardinality;
mod exemplars;
mod metadata;

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use emberkeep_model::TenantId;
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadQuery};
use emberkeep_reader::{HeadSource, ReaderSettings};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Rows, TestArchive, TestHead, client, labels, sample, serve};

async fn server() -> (TestArchive, String) {
    let mut archive = TestArchive::new();
    let tenant = TenantId::default();
    let row = |pairs: &[(&str, &str)], timestamp: i64| (tenant.clone(), labels(pairs), sample(timestamp, 1.0));
    let first: Rows = vec![
        row(&[("__name__", "up"), ("job", "a")], 1_000),
        row(&[("__name__", "up"), ("job", "b")], 2_000),
        row(&[("__name__", "my.dotted"), ("label.with.dots", "é")], 1_000),
    ];
    let second: Rows = vec![
        row(&[("__name__", "up"), ("job", "a")], 500_000),
        (
            TenantId::parse("other").unwrap(),
            labels(&[("__name__", "secret"), ("x", "y")]),
            sample(1_000, 1.0),
        ),
    ];
    archive.flush(&first).await;
    archive.flush(&second).await;
    let head = TestHead::source(
        vec![row(&[("__name__", "fresh"), ("job", "c")], 600_000)],
        archive.committed(),
    );
    let url = serve(archive.reader(vec![head], ReaderSettings::default())).await;
    (archive, url)
}

/// The status and the bytes of an answer.
async fn raw(url: &str, path: &str) -> (StatusCode, String) {
    let response = client().get(format!("{url}/api/v1/{path}")).send().await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()["Content-Type"], "application/json");
    (status, response.text().await.unwrap())
}

/// A parameter as a URL carries it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

async fn get(url: &str, path: &str) -> (StatusCode, Value) {
    let (status, body) = raw(url, path).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn data(url: &str, path: &str) -> Value {
    let (status, mut answer) = get(url, path).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::OK, &json!("success")),
        "{path}: {answer}"
    );
    answer["data"].take()
}

#[tokio::test]
async fn series_labels_and_values() {
    let (_archive, url) = server().await;
    assert_eq!(
        data(&url, "series?match[]=up").await,
        json!([{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}])
    );
    assert_eq!(
        data(
            &url,
            "series?match[]=up%7Bjob%3D%22b%22%7D&match%5B%5D=%7B%22my.dotted%22%7D&match[]=fresh"
        )
        .await,
        json!([
            {"__name__": "fresh", "job": "c"},
            {"__name__": "my.dotted", "label.with.dots": "é"},
            {"__name__": "up", "job": "b"}
        ])
    );
    assert_eq!(
        data(&url, "series?match[]=up&start=100").await,
        json!([{"__name__": "up", "job": "a"}])
    );
    assert_eq!(
        data(&url, "series?match[]=up&end=1970-01-01T00:00:00.5Z").await,
        json!([])
    );
    assert_eq!(
        data(&url, "labels").await,
        json!(["__name__", "job", "label.with.dots"])
    );
    assert_eq!(data(&url, "labels?match[]=fresh").await, json!(["__name__", "job"]));
    assert_eq!(data(&url, "label/job/values").await, json!(["a", "b", "c"]));
    assert_eq!(
        data(&url, "label/__name__/values?start=100").await,
        json!(["fresh", "up"])
    );
    assert_eq!(data(&url, "label/U__label_2e_with_2e_dots/values").await, json!(["é"]));
    assert_eq!(data(&url, "label/label.with.dots/values").await, json!(["é"]));
    assert_eq!(data(&url, "label/none/values").await, json!([]));
    assert_eq!(
        data(&url, "status/buildinfo").await["version"],
        json!(env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn forms_and_tenants() {
    let (_archive, url) = server().await;
    let form = "match%5B%5D=up&start=100&end=now";
    let post = |path: &str, tenant: &'static str, form: &'static str| {
        let post = client()
            .post(format!("{url}/api/v1/{path}"))
            .header("X-Scope-OrgID", tenant);
        post.header("Content-Type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
    };
    let answer: Value =
        serde_json::from_slice(&post("series", "anonymous", form).await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(answer["data"], json!([{"__name__": "up", "job": "a"}]));
    let answer: Value =
        serde_json::from_slice(&post("labels", "other", "").await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(answer["data"], json!(["__name__", "x"]));
}

#[tokio::test]
async fn a_limit_cuts_and_says_so() {
    let (_archive, url) = server().await;
    for (path, kept, whole) in [
        ("series?match[]=up", 1, 2),
        ("labels?", 2, 3),
        ("label/job/values?", 2, 3),
    ] {
        let (_, answer) = get(&url, &format!("{path}&limit={kept}")).await;
        assert_eq!(answer["data"].as_array().unwrap().len(), kept);
        assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
        for enough in [0, whole] {
            let (_, answer) = get(&url, &format!("{path}&limit={enough}")).await;
            assert_eq!(
                (answer["data"].as_array().unwrap().len(), answer.get("warnings")),
                (whole, None),
                "{path} {enough}"
            );
        }
    }
}

#[tokio::test]
async fn errors_have_prometheus_form() {
    let (_archive, url) = server().await;
    for (path, said) in [
        ("series", "no match[] parameter provided"),
        ("series?match[]=%7B%7D", "match[]"),
        ("series?match[]=up%7Bjob%3D~%22(%22%7D", "job"),
        ("labels?start=yesterday", "start"),
        ("labels?limit=-1", "limit"),
    ] {
        let (status, answer) = get(&url, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(
            (&answer["status"], &answer["errorType"]),
            (&json!("error"), &json!("bad_data"))
        );
        assert!(answer["error"].as_str().unwrap().contains(said), "{answer}");
        assert!(answer.get("data").is_none());
    }
}

#[tokio::test]
async fn a_head_that_is_down_is_unavailable() {
    let archive = TestArchive::new();
    let down = TestHead {
        rows: Rows::new(),
        committed: 0,
        is_down: true,
    };
    let heads = vec![HeadSource::Local(Arc::new(down))];
    let url = serve(archive.reader(heads, ReaderSettings::default())).await;
    for path in [
        "series?match[]=up",
        "labels",
        "label/job/values",
        "metadata",
        "query_exemplars?query=up",
        "status/cardinality",
    ] {
        let (status, answer) = get(&url, path).await;
        assert_eq!(
            (status, &answer["errorType"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")),
            "{path}"
        );
        assert!(
            answer["error"].as_str().unwrap().contains("replaying"),
            "{path}: {answer}"
        );
    }
}

/// A head that does not answer until the sender is gone.
#[derive(Debug)]
struct StuckHead(Mutex<Receiver<()>>);

impl Head for StuckHead {
    fn read(&self, _: &HeadQuery) -> Result<HeadAnswer, HeadError> {
        let _ = self.0.lock().unwrap().recv();
        Err(HeadError::Unavailable {
            who: "r1".to_owned(),
            why: "it was stuck".to_owned(),
        })
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let (_sender, receiver) = sync_channel(1);
    let heads = vec![HeadSource::Local(Arc::new(StuckHead(Mutex::new(receiver))))];
    let settings = ReaderSettings {
        timeout: Duration::from_millis(20),
        concurrency: 1,
        ..ReaderSettings::default()
    };
    let archive = TestArchive::new();
    let url = serve(archive.reader(heads, settings)).await;
    // Each gives back its place, or the next one would wait for that and say so.
    for path in [
        "series?match[]=up",
        "labels",
        "label/job/values",
        "metadata",
        "query_exemplars?query=up",
        "status/cardinality",
    ] {
        let (status, answer) = get(&url, path).await;
        assert_eq!(
            (status, &answer["errorType"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")),
            "{path}"
        );
        assert!(
            answer["error"].as_str().unwrap().contains("--read.timeout"),
            "{path}: {answer}"
        );
    }
}
