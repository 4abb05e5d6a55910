//! Coverage of archives: what is held, what was down, what is missing, and what was removed on purpose.

use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{ArchiveError, Catalog, Change, Mask, MatcherText, Ulid, apply, fold, fresh_nonce};
use emberkeep_model::{MatchOp, Matcher, STALE_MARKER_BITS, TenantId, TimeRange};
use emberkeep_reader::coverage::{Coverage, CoverageReport, OtherSources, RangeEnd, SeenBy};
use emberkeep_reader::{ReaderSettings, Selection, Sources};
use emberkeep_service::problem::Outcome;
use serde_json::Value;

use crate::support::{Rows, TestArchive, TestHead, client, labels, sample, serve};

const MINUTE: i64 = 60_000;
const START: i64 = 1_000 * 86_400_000;

fn at(minute: i64) -> i64 {
    START + minute * MINUTE
}

/// `up` of an instance, each 15 s, from one minute to another.
fn up(instance: &str, from: i64, to: i64, value: f64) -> Rows {
    let of = labels(&[
        ("__name__", "up"),
        ("cluster", "c"),
        ("instance", instance),
        ("job", "node"),
    ]);
    let times = (at(from)..at(to)).step_by(15_000);
    times
        .map(|time| (TenantId::default(), of.clone(), sample(time, value)))
        .collect()
}

fn asked() -> Coverage {
    Coverage {
        tenant: TenantId::default(),
        range: TimeRange {
            start: at(0),
            end: at(60),
        },
        end: RangeEnd::Exact,
        selection: Selection::all(),
        source_labels: Vec::new(),
        interval_ms: None,
        step_ms: Some(5 * MINUTE),
        min_gap_ms: MINUTE,
        others: OtherSources::LeftOut,
        keep: None,
        now_ms: at(60),
    }
}

async fn answer(archive: &TestArchive, asked: Coverage) -> CoverageReport {
    let sources = Sources::new(Arc::clone(&archive.store), Vec::new());
    asked.run(&sources, usize::MAX).await.unwrap()
}

fn maps(report: &CoverageReport) -> Vec<(&str, &str)> {
    let sources = report.sources.iter();
    sources
        .map(|source| (source.labels["instance"].as_str(), source.states.as_str()))
        .collect()
}

/// An hour of three targets: one whole, one that was down, one whose sender was cut off.
async fn archive() -> TestArchive {
    let mut archive = TestArchive::new();
    let mut first = [up("a", -10, 30, 1.0), up("b", -10, 10, 1.0), up("c", -10, 20, 1.0)].concat();
    first.extend(up("b", 10, 20, 0.0));
    first.extend(up("b", 20, 30, 1.0));
    // Something without `up`, in two parts that are far apart.
    let push = labels(&[
        ("__name__", "batch"),
        ("cluster", "c"),
        ("instance", "p"),
        ("job", "push"),
    ]);
    first.push((TenantId::default(), push.clone(), sample(at(5), 1.0)));
    let mut second = [up("a", 30, 60, 1.0), up("b", 30, 45, 1.0), up("c", 35, 60, 1.0)].concat();
    let gone = labels(&[("__name__", "up"), ("cluster", "c"), ("instance", "b"), ("job", "node")]);
    second.push((
        TenantId::default(),
        gone,
        sample(at(45), f64::from_bits(STALE_MARKER_BITS)),
    ));
    second.push((TenantId::default(), push, sample(at(50), 1.0)));
    archive.flush(&first).await;
    archive.flush(&second).await;
    archive
}

#[tokio::test]
async fn held_down_missing_and_gone() {
    let archive = archive().await;
    let report = answer(&archive, asked()).await;
    let expected = [("a", "############"), ("b", "##oo#####..."), ("c", "####!!!#####")];
    assert_eq!(maps(&report), expected);
    assert_eq!(report.source_labels, ["job", "instance", "cluster"]);
    assert_eq!((report.gap_count, report.gap_seconds), (1, 900.0));
    let of_c = &report.sources[2];
    assert_eq!(
        (of_c.seconds.held, of_c.seconds.missing, of_c.by),
        (2_700.0, 900.0, SeenBy::Up)
    );
    assert_eq!(report.outcome(), Outcome::DifferenceFound);
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("####!!!#####") && text.contains("3 sources, 1 gaps of 60 s or more, 900 s together"),
        "{text}"
    );
    assert!(text.contains("--series"), "what was not looked at is said: {text}");

    let patient = Coverage {
        min_gap_ms: 20 * MINUTE,
        ..asked()
    };
    let report = answer(&archive, patient).await;
    assert_eq!((report.gap_count, report.outcome()), (0, Outcome::Done));
    let chosen = Coverage {
        selection: Selection::parse(&["{instance=\"b\"}"]).unwrap(),
        ..asked()
    };
    assert_eq!(maps(&answer(&archive, chosen).await).len(), 1);
}

#[tokio::test]
async fn series_of_one_source_are_one_account() {
    let archive = archive().await;
    let by_job = Coverage {
        source_labels: vec!["job".to_owned()],
        ..asked()
    };
    let report = answer(&archive, by_job).await;
    assert_eq!(report.sources.len(), 1);
    assert_eq!(
        (report.sources[0].states.as_str(), report.gap_count),
        ("############", 0)
    );
}

#[tokio::test]
async fn what_was_removed_on_purpose_is_no_gap() {
    let archive = archive().await;
    let catalog = Catalog::new(Arc::clone(&archive.store));
    fold(&*archive.store, &catalog, &fresh_nonce(), 1).await.unwrap();
    let matcher = Matcher::new("instance", MatchOp::Equal, "c").unwrap();
    let mask = Mask {
        id: Ulid::generate().to_string(),
        number: 0,
        tenant: TenantId::ANONYMOUS.to_owned(),
        matchers: vec![MatcherText::from(&matcher)],
        from: at(10),
        to: at(40),
        reason: "a test".to_owned(),
        who: "nobody".to_owned(),
        created_at: 0,
    };
    let change = |_: &emberkeep_archive::Live| {
        Ok::<_, ArchiveError>(Some(Change {
            masks: vec![mask.clone()],
            ..Change::default()
        }))
    };
    apply(&catalog, &fresh_nonce(), 2, change).await.unwrap();
    let report = answer(&archive, asked()).await;
    assert_eq!(maps(&report)[2], ("c", "##------####"));
    assert_eq!(report.gap_count, 0);
    let expiring = Coverage {
        range: TimeRange {
            start: at(-30),
            end: at(60),
        },
        keep: Some(Duration::from_secs(80 * 60)),
        ..asked()
    };
    assert_eq!(maps(&answer(&archive, expiring).await)[0], ("a", "--..##############"));
}

#[tokio::test]
async fn sources_without_up_are_found_when_asked_for() {
    let archive = archive().await;
    let all = Coverage {
        others: OtherSources::BySeries,
        ..asked()
    };
    let report = answer(&archive, all).await;
    let found: Vec<_> = report
        .sources
        .iter()
        .filter(|source| source.by == SeenBy::Series)
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].labels["instance"].as_str(), found[0].states.as_str()),
        ("p", ".!!!!!!!!!#.")
    );
    assert!(report.notes.is_empty());
}

#[tokio::test]
async fn what_is_in_no_part_yet_is_no_gap_unless_heads_are_read() {
    let archive = archive().await;
    let open = || Coverage {
        range: TimeRange {
            start: at(0),
            end: at(80),
        },
        end: RangeEnd::Now,
        ..asked()
    };
    let report = answer(&archive, open()).await;
    assert_eq!(maps(&report)[0].1.len(), 12, "up to the newest sample");
    let head = TestHead::source(up("a", 60, 80, 1.0), archive.committed());
    let sources = Sources::new(Arc::clone(&archive.store), vec![head]);
    let report = open().run(&sources, usize::MAX).await.unwrap();
    let expected = [
        ("a", "################"),
        ("b", "##oo#####......."),
        ("c", "####!!!#####!!!!"),
    ];
    assert_eq!(maps(&report), expected);
}

#[tokio::test]
async fn the_api_answers_the_same() {
    let archive = archive().await;
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    let ask = async |parameters: &str| {
        let url = format!("{url}/api/v1/coverage?{parameters}");
        let answer = client().get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        let found: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, found)
    };
    let range = format!("start={}&end={}", at(0) / 1_000, at(60) / 1_000);
    let (status, found) = ask(&format!("{range}&step=5m&min_gap=1m")).await;
    assert_eq!((status, &found["status"]), (200, &Value::from("success")));
    let expected = serde_json::to_value(answer(&archive, asked()).await).unwrap();
    assert_eq!(found["data"], expected);
    let (_, found) = ask(&format!("{range}&step=1h&source_label=job&match[]={{instance=\"c\"}}")).await;
    assert_eq!(found["data"]["sources"][0]["states"], "!");
    for wrong in ["start=5&end=4", "step=1ms&start=0", "min_gap=x", "match[]={"] {
        assert_eq!(ask(wrong).await.0, 400, "{wrong}");
    }
}
