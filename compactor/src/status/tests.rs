//! The status tells what there is, and what is wrong.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use emberkeep_archive::HeldPin;
use emberkeep_model::{TenantId, TimeRange, parse_selector};
use emberkeep_service::config::FileConfig;

use super::*;
use crate::deletion::{DeleteRequest, delete};
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::guard::Consent;
use crate::locks::{LockRequest, lock};
use crate::retention::{RetentionMetrics, expire};
use crate::scrub::{ScrubMetrics, scrub};

#[tokio::test]
async fn an_empty_archive_has_nothing() {
    let archive = Archive::new();
    let status = Status::look(&archive.catalog, &Retention::default(), NOW_MS)
        .await
        .unwrap();
    assert_eq!(
        (status.root, status.root_age_seconds, status.levels.len()),
        (0, None, 0)
    );
    assert_eq!(status.scrub.oldest_unverified, None);
}

#[tokio::test]
async fn all_there_is_is_told() {
    let archive = Archive::new();
    let (day, late) = (TODAY - 40, TODAY - 3);
    archive
        .merged("a", day, &[("x", times(day, 10))], &[], NOW_MS - 39 * DAY_MS)
        .await;
    let merged = archive
        .merged("a", late, &[("x", times(late, 10))], &[], NOW_MS - 2 * DAY_MS)
        .await;
    archive
        .flush(
            &[("a", "x", times(TODAY, 5)), ("b", "x", times(TODAY, 6))],
            NOW_MS - 1000,
        )
        .await;
    let config = FileConfig::parse("retention: {keep: 30d, undelete_window: 2d}", "x").unwrap();
    let retention = Retention::from_config(&config.retention).unwrap();
    let (catalog, metrics) = (&archive.catalog, RetentionMetrics::default());
    expire(catalog, &retention, &metrics, Consent::Given, NOW_MS)
        .await
        .unwrap();
    let request = DeleteRequest {
        tenant: TenantId::parse("b").unwrap(),
        matchers: parse_selector("up").unwrap(),
        range: TimeRange::ALL,
        reason: "asked for".to_owned(),
        who: "ops".to_owned(),
    };
    delete(catalog, &request, 100, Consent::Given, NOW_MS).await.unwrap();
    let locked = LockRequest {
        tenant: None,
        range: TimeRange { start: 5, end: 6 },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    };
    lock(catalog, &locked, NOW_MS).await.unwrap();
    let root = catalog.live().await.unwrap().root_n();
    HeldPin::hold(catalog, root, Duration::from_secs(60), "a test", NOW_MS)
        .await
        .unwrap();
    let victim = catalog.live().await.unwrap().by_ulid()[&merged].files[0].path.clone();
    std::fs::remove_file(archive.path().join(victim)).unwrap();
    scrub(catalog, u64::MAX, &ScrubMetrics::default(), NOW_MS)
        .await
        .unwrap();

    let status = Status::look(catalog, &retention, NOW_MS + 5000).await.unwrap();
    assert_eq!((status.root, status.root_age_seconds), (root + 1, Some(5)));
    assert_eq!(
        status
            .levels
            .iter()
            .map(|(level, held)| (*level, held.parts, held.samples))
            .collect::<Vec<_>>(),
        [(0, 1, 11), (2, 1, 10)]
    );
    let of = |tenant: &str| (status.tenants[tenant].parts, status.tenants[tenant].samples);
    assert_eq!((of("a"), of("b")), ((1, 15), (0, 6)));
    let receiver = status.receivers["r"];
    assert_eq!((receiver.folded, receiver.committed, receiver.epoch), (1, 1, 1));
    assert_eq!(
        (
            status.unfolded_parts,
            status.masks.len(),
            status.locks.len(),
            status.pins.len()
        ),
        (0, 1, 1, 1)
    );
    assert_eq!(
        (status.quarantined.len(), &status.quarantined[0].part),
        (1, &merged.to_string())
    );
    let [condemned] = &status.condemned[..] else {
        panic!("one list")
    };
    assert_eq!(
        (condemned.why, condemned.deleted_from),
        ("expired", NOW_MS + 2 * DAY_MS)
    );
    assert_eq!(status.scrub.verified_parts, 1);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["levels"]["2"]["samples"], 10);
}
