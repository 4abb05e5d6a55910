//! `/api/v1/metadata`, byte for byte as Prometheus writes it.

use emberkeep_model::MetricType::{Counter, Gauge, Histogram, Unknown};
use emberkeep_model::{Metadata, SeenMetadata, TenantId};
use emberkeep_reader::ReaderSettings;
use reqwest::StatusCode;
use serde_json::json;

use super::{data, get, raw};
use crate::support::{Row, Rows, TestArchive, TestHead, labels, sample, seen, serve};

/// A part with metadata of families, one with some of series, and a head.
async fn server() -> (TestArchive, String) {
    let mut archive = TestArchive::new();
    let row = |pairs: &[(&str, &str)], row: Row| (TenantId::default(), labels(pairs), row);
    let family = |name: &str, said: SeenMetadata| row(&[("__name__", name)], Row::Family(said));
    let in_seconds = SeenMetadata {
        metadata: Metadata {
            metric_type: Histogram,
            unit: "seconds".to_owned(),
            help: "A \"quoted\" <help>.".to_owned(),
        },
        first_seen: 100,
        last_seen: 100,
    };
    let first: Rows = vec![
        family("requests", seen(Counter, "Requests.", 100, 500)),
        family("requests", seen(Gauge, "Requests.", 100, 400)),
        family("latency", in_seconds),
        row(&[("__name__", "up")], sample(1_000, 1.0)),
        (
            TenantId::parse("other").unwrap(),
            labels(&[("__name__", "secret")]),
            Row::Family(seen(Gauge, "Hidden.", 1, 1)),
        ),
    ];
    let second: Rows = vec![
        family("requests", seen(Gauge, "Requests.", 600, 700)),
        row(
            &[("__name__", "requests"), ("a", "1")],
            Row::Metadata(seen(Counter, "Of one.", 650, 650)),
        ),
        row(
            &[("__name__", "requests"), ("a", "2")],
            Row::Metadata(seen(Counter, "Of one.", 650, 660)),
        ),
        family("silent", seen(Unknown, "", 650, 650)),
        family("latency", seen(Unknown, "", 650, 650)),
    ];
    archive.flush(&first).await;
    archive.flush(&second).await;
    let fresh: Rows = vec![
        family("requests", seen(Counter, "Requests.", 800, 800)),
        row(
            &[("__name__", "fresh"), ("a", "1")],
            Row::Metadata(seen(Unknown, "New.", 800, 800)),
        ),
    ];
    let head = TestHead::source(fresh, archive.committed());
    let url = serve(archive.reader(vec![head], ReaderSettings::default())).await;
    (archive, url)
}

const FRESH: &str = r#""fresh":[{"type":"unknown","unit":"","help":"New."}]"#;
/// What says nothing comes last, although it was said later.
const LATENCY: &str = concat!(
    r#""latency":[{"type":"histogram","unit":"seconds","help":"A \"quoted\" <help>."},"#,
    r#"{"type":"unknown","unit":"","help":""}]"#
);
const SILENT: &str = r#""silent":[{"type":"unknown","unit":"","help":""}]"#;
/// Said last: the counter by the head, the gauge by the second part, the series at 660.
const REQUESTS: &str = concat!(
    r#""requests":[{"type":"counter","unit":"","help":"Requests."},"#,
    r#"{"type":"gauge","unit":"","help":"Requests."},"#,
    r#"{"type":"counter","unit":"","help":"Of one."}]"#
);

#[tokio::test]
async fn every_variant_is_given_once() {
    let (_archive, url) = server().await;
    let success = |families: &[&str]| format!(r#"{{"status":"success","data":{{{}}}}}"#, families.join(","));
    for (path, families) in [
        ("metadata", vec![FRESH, LATENCY, REQUESTS, SILENT]),
        ("metadata?limit=2", vec![FRESH, LATENCY]),
        ("metadata?limit=0", vec![]),
        (
            "metadata?limit=-1&limit_per_metric=0",
            vec![FRESH, LATENCY, REQUESTS, SILENT],
        ),
        ("metadata?metric=requests", vec![REQUESTS]),
        ("metadata?metric=request", vec![]),
        ("metadata?metric=silent", vec![SILENT]),
        ("metadata?metric=secret", vec![]),
    ] {
        let (status, body) = raw(&url, path).await;
        assert_eq!((status, body), (StatusCode::OK, success(&families)), "{path}");
    }
}

#[tokio::test]
async fn the_limit_of_a_metric_keeps_what_was_said_last() {
    let (_archive, url) = server().await;
    for (limit, kept) in [(1, vec!["counter"]), (2, vec!["counter", "gauge"])] {
        let answer = data(&url, &format!("metadata?metric=requests&limit_per_metric={limit}")).await;
        let types: Vec<&str> = answer["requests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variant| variant["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, kept);
    }
}

#[tokio::test]
async fn a_limit_must_be_a_number() {
    let (_archive, url) = server().await;
    for name in ["limit", "limit_per_metric"] {
        let (status, answer) = get(&url, &format!("metadata?{name}=many")).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!(format!("{name} must be a number")))
        );
    }
}
