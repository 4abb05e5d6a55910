//! How heads and catalog are looked at: how often, how old a look may be, what a head that is down means, and what keeps files.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{Catalog, CountingStore, StoreOperation, fold, fresh_nonce};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_reader::{
    HeadRoster, HeadSource, LookSettings, MissingHeads, Query, Reader, ReaderError, ReaderMetrics, ReaderSettings,
    Selection, Sources,
};
use emberkeep_service::clock::{Clock, SystemClock};
use prometheus_client::registry::Registry;
use reqwest::StatusCode;
use serde_json::Value;

use crate::answers::{STREAMED, post, query as asked};
use crate::support::{Rows, TestArchive, TestHead, client, exemplar, labels, sample, serve};

fn everything() -> Query {
    Query {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        selection: Selection::all(),
    }
}

fn rows(at: i64) -> Rows {
    let series = labels(&[("__name__", "up")]);
    vec![
        (TenantId::default(), series.clone(), sample(at, 1.0)),
        (TenantId::default(), series, exemplar(at, 1.0, &[])),
    ]
}

fn down() -> HeadSource {
    HeadSource::Local(Arc::new(TestHead {
        rows: Rows::new(),
        committed: 0,
        is_down: true,
    }))
}

fn looking(look: LookSettings) -> ReaderSettings {
    ReaderSettings {
        look,
        ..ReaderSettings::default()
    }
}

fn text_of(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

#[tokio::test]
async fn a_look_is_two_listings_and_one_read_of_what_is_new() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let catalog = Catalog::new(Arc::clone(&archive.store));
    fold(&*archive.store, &catalog, &fresh_nonce(), 1).await.unwrap();
    archive.flush(&rows(2)).await;
    let (store, traffic) = CountingStore::wrap(Arc::clone(&archive.store));
    let sources = Sources::new(store, Vec::new());
    let spent = || {
        (
            traffic.requests(StoreOperation::List),
            traffic.requests(StoreOperation::Get),
        )
    };
    sources.view().await.unwrap();
    assert_eq!(spent(), (2, 2), "the root and the record above it");
    sources.view().await.unwrap();
    assert_eq!(spent(), (4, 2), "nothing is new");
    archive.flush(&rows(3)).await;
    assert_eq!(sources.view().await.unwrap().parts.len(), 3);
    assert_eq!(spent(), (6, 3), "one record is new");
}

#[tokio::test]
async fn what_is_kept_of_parts_is_shown_with_its_bound() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let mut registry = Registry::default();
    let settings = ReaderSettings {
        kept_bytes: 1 << 20,
        ..ReaderSettings::default()
    };
    let metrics = ReaderMetrics::register(&mut registry);
    let reader = Reader::new(archive.store.clone(), Vec::new(), settings, metrics);
    let _open = reader.scan(&everything()).await.unwrap();
    let text = text_of(&registry);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    assert_eq!(value("reader_cache_limit_bytes "), 1 << 20);
    assert!((1..1 << 20).contains(&value("reader_cache_bytes ")), "{text}");
}

#[tokio::test]
async fn a_young_look_is_used_again_unless_a_head_has_committed_more() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let (store, traffic) = CountingStore::wrap(Arc::clone(&archive.store));
    let settings = LookSettings {
        refresh_interval: Duration::from_secs(3_600),
        ..LookSettings::default()
    };
    let metrics = ReaderMetrics::default();
    let alone = Sources::with_settings(store.clone(), Vec::new(), settings.clone(), metrics.clone());
    let ahead = Sources::with_settings(store, vec![TestHead::source(Rows::new(), 2)], settings, metrics);
    alone.look(&everything(), HeadKinds::Samples).await.unwrap();
    alone.look(&everything(), HeadKinds::Samples).await.unwrap();
    assert_eq!(traffic.requests(StoreOperation::List), 2);
    assert!(
        ahead.look(&everything(), HeadKinds::Samples).await.is_err(),
        "commit 2 does not exist"
    );
    archive.flush(&rows(2)).await;
    let look = ahead.look(&everything(), HeadKinds::Samples).await.unwrap();
    assert_eq!(look.view.parts.len(), 2);
    assert_eq!(
        alone
            .look(&everything(), HeadKinds::Samples)
            .await
            .unwrap()
            .view
            .parts
            .len(),
        1
    );
}

#[tokio::test]
async fn the_last_look_is_used_for_a_while_when_the_catalog_cannot_be_read() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let mut registry = Registry::default();
    let metrics = ReaderMetrics::register(&mut registry);
    let sources = |max_staleness, metrics: &ReaderMetrics| {
        let settings = LookSettings {
            max_staleness,
            ..LookSettings::default()
        };
        Sources::with_settings(archive.store.clone(), Vec::new(), settings, metrics.clone())
    };
    let (patient, strict) = (
        sources(Duration::from_secs(3_600), &metrics),
        sources(Duration::ZERO, &metrics),
    );
    patient.view().await.unwrap();
    strict.view().await.unwrap();
    let log = archive.directory.path().join("_archive/log");
    fs::rename(&log, log.with_extension("away")).unwrap();
    // A link to itself cannot be followed, by root neither.
    std::os::unix::fs::symlink(&log, &log).unwrap();
    assert_eq!(patient.view().await.unwrap().parts.len(), 1);
    let error = strict.view().await.unwrap_err();
    assert!(
        matches!(&error, ReaderError::Unavailable(why) if why.contains("--catalog.max-staleness")),
        "{error}"
    );
    assert!(
        sources(Duration::from_secs(3_600), &metrics).view().await.is_err(),
        "there is no look to fall back on"
    );
    let text = text_of(&registry);
    for line in [
        "reader_catalog_looks_total 2\n",
        "reader_catalog_looks_failed_total 3\n",
        "reader_catalog_stale_views_total 1\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("reader_catalog_last_look_timestamp_seconds 1"), "{text}");
}

#[tokio::test]
async fn a_head_that_is_down_fails_queries_unless_partial_answers_are_allowed() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let heads = || vec![TestHead::source(rows(2), archive.committed()), down()];
    let strict = archive.reader(heads(), ReaderSettings::default());
    assert!(matches!(
        strict.scan(&everything()).await,
        Err(ReaderError::Unavailable(_))
    ));

    let mut registry = Registry::default();
    let partial = looking(LookSettings {
        missing_heads: MissingHeads::LeaveOut,
        ..LookSettings::default()
    });
    let metrics = ReaderMetrics::register(&mut registry);
    let reader = Reader::new(archive.store.clone(), heads(), partial, metrics);
    let url = serve(Arc::new(reader)).await;
    let response = post(&url, vec![asked(0, 100, &[])], &[STREAMED]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["X-Emberkeep-Partial"], "head 2");
    let mut queries = 1;
    for path in [
        "series?match[]=up",
        "labels",
        "label/__name__/values",
        "query_exemplars?query=up",
        "metadata",
        "status/cardinality?start=0",
    ] {
        let text = client()
            .get(format!("{url}/api/v1/{path}"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {text}");
        assert!(answer["warnings"].to_string().contains("head 2"), "{path}: {text}");
        queries += 1;
    }
    assert!(text_of(&registry).contains(&format!("reader_partial_answers_total {queries}\n")));
    // A whole answer has no mark.
    let whole = archive.reader(Vec::new(), ReaderSettings::default());
    let response = post(&serve(whole).await, vec![asked(0, 100, &[])], &[STREAMED]).await;
    assert!(!response.headers().contains_key("X-Emberkeep-Partial"));
}

#[tokio::test]
async fn a_head_that_is_down_is_not_missed_where_it_holds_nothing() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let closed = format!("http://127.0.0.1:{}", {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    });
    let list = archive.directory.path().join("heads");
    fs::write(&list, format!("{closed} holds-from=2026-01-01T00:00:00Z\n")).unwrap();
    let roster = HeadRoster::new(&[], Some(list), None).unwrap();
    let reader = Reader::new(
        archive.store.clone(),
        roster,
        ReaderSettings::default(),
        ReaderMetrics::default(),
    );
    let query = |start, end| Query {
        range: TimeRange { start, end },
        ..everything()
    };
    assert!(
        reader
            .scan(&query(0, 1_000))
            .await
            .unwrap()
            .next()
            .await
            .unwrap()
            .is_some()
    );
    let error = reader.scan(&query(0, 1_767_225_600_001)).await.unwrap_err();
    assert!(
        matches!(&error, ReaderError::Unavailable(why) if why.contains(&closed)),
        "{error}"
    );
}

#[tokio::test]
async fn a_long_read_holds_a_pin_and_takes_it_away() {
    let mut archive = TestArchive::new();
    archive.flush(&rows(1)).await;
    let sources = Sources::new(archive.store.clone(), Vec::new());
    let pins = || {
        let found = fs::read_dir(archive.directory.path().join("_archive/pins"));
        found.map_or(0, |found| {
            found.filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
        })
    };
    let early = sources
        .pinned_look(&everything(), HeadKinds::Samples, "a test")
        .await
        .unwrap();
    assert!(!early.is_pinned(), "before the first root nothing is ever removed");
    early.release().await;
    let catalog = Catalog::new(Arc::clone(&archive.store));
    fold(&*archive.store, &catalog, &fresh_nonce(), 1).await.unwrap();
    let pinned = sources
        .pinned_look(&everything(), HeadKinds::Samples, "a test")
        .await
        .unwrap();
    assert!(pinned.is_pinned() && pinned.look.view.root_n == 1);
    assert_eq!(pins(), 1);
    pinned.release().await;
    assert_eq!(pins(), 0);
}

#[tokio::test]
async fn a_moment_of_the_past_is_without_heads_and_what_came_later() {
    let mut archive = TestArchive::new();
    let catalog = Catalog::new(Arc::clone(&archive.store));
    for at in [1_000, 2_000] {
        archive.flush(&rows(at)).await;
        let made_at = SystemClock.now_ms() + at;
        fold(&*archive.store, &catalog, &fresh_nonce(), made_at).await.unwrap();
    }
    let roots = catalog.retained_roots().await.unwrap();
    let first = catalog
        .at_root(roots.last().unwrap().n)
        .await
        .unwrap()
        .root_created_at
        .unwrap();
    let sources = Sources::new(
        archive.store.clone(),
        vec![TestHead::source(rows(3), archive.committed())],
    );
    let look = sources.look_as_of(first).await.unwrap();
    assert_eq!((look.heads.len(), look.view.parts.len()), (0, 1));
    assert!(sources.look_as_of(first - 1).await.is_err());
}
