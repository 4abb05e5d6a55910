//! Whoever loses a race for a root decides again: on locks and deletions that came, or were taken back, when it had decided already.
//!
//! In each test somebody else is faster right before the root is created, so a decision of before would land.

#![expect(clippy::unwrap_used, reason = "tests")]

mod rival;

use std::sync::Arc;

use emberkeep_archive::{Catalog, Lock};
use emberkeep_model::{TenantId, TimeRange, parse_selector};
use emberkeep_service::config::FileConfig;

use crate::deletion::{DeleteRequest, delete, undelete};
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::guard::{Consent, UpkeepError};
use crate::job_result::{JobResult, commit_results};
use crate::locks::{LockRequest, lock};
use crate::merger::{Merger, MergerSettings};
use crate::plan::{PlanSettings, plan};
use crate::quota::{QuotaMetrics, enforce};
use crate::retention::{Retention, RetentionMetrics, expire};

/// Locks a whole day.
async fn lock_day(catalog: &Catalog, day: i32) -> Lock {
    let start = i64::from(day) * DAY_MS;
    let request = LockRequest {
        tenant: None,
        range: TimeRange {
            start,
            end: start + DAY_MS,
        },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    };
    lock(catalog, &request, NOW_MS).await.unwrap().lock
}

fn deletion() -> DeleteRequest {
    DeleteRequest {
        tenant: TenantId::parse("a").unwrap(),
        matchers: parse_selector("{job=\"debug\"}").unwrap(),
        range: TimeRange::ALL,
        reason: "asked for".to_owned(),
        who: "ops".to_owned(),
    }
}

/// Two old days, one part each.
async fn two_days(ages: [i32; 2]) -> Archive {
    let archive = Archive::new();
    for age in ages {
        let at = NOW_MS - i64::from(age - 1) * DAY_MS;
        let rows = [("debug", times(TODAY - age, 5)), ("x", times(TODAY - age, 5))];
        archive.merged("a", TODAY - age, &rows, &[], at).await;
    }
    archive
}

#[tokio::test]
async fn retention_keeps_what_was_locked_when_it_had_decided() {
    let archive = two_days([41, 40]).await;
    let parts = archive.live().await;
    let archive = archive.with_rival(async |catalog: Catalog| drop(lock_day(&catalog, TODAY - 41).await));
    let yaml = "retention: {keep: 30d, most_at_once_percent: 100}";
    let retention = Retention::from_config(&FileConfig::parse(yaml, "x").unwrap().retention).unwrap();
    let metrics = RetentionMetrics::default();
    let expired = expire(&archive.catalog, &retention, &metrics, Consent::Given, NOW_MS).await;
    assert_eq!(expired.unwrap().parts, 1);
    assert_eq!(archive.live().await, parts[..1], "the locked one");
}

#[tokio::test]
async fn a_quota_keeps_what_was_locked_when_it_had_decided() {
    let archive = two_days([41, 40]).await;
    let parts = archive.live().await;
    let bytes = archive.catalog.live().await.unwrap().bytes();
    let archive = archive.with_rival(async |catalog: Catalog| drop(lock_day(&catalog, TODAY - 41).await));
    let (retention, metrics) = (Retention::default(), QuotaMetrics::default());
    let quota = bytes * 3 / 4;
    let freed = enforce(&archive.catalog, quota, &retention, &metrics, Consent::Given, NOW_MS).await;
    assert_eq!(freed.unwrap().parts, 1);
    assert_eq!(archive.live().await, parts[..1], "the oldest, which is locked");
}

#[tokio::test]
async fn a_deletion_is_refused_by_a_lock_that_came_when_it_had_been_decided() {
    let archive = two_days([41, 40]).await;
    let archive = archive.with_rival(async |catalog: Catalog| drop(lock_day(&catalog, TODAY - 41).await));
    let refused = delete(&archive.catalog, &deletion(), 10, Consent::Given, NOW_MS).await;
    assert!(matches!(refused, Err(UpkeepError::Locked { .. })), "{refused:?}");
    assert!(archive.catalog.live().await.unwrap().masks().is_empty());
}

/// What a merge makes of a day of which half is deleted; the id of that deletion.
async fn half_deleted() -> (Archive, String, JobResult) {
    let archive = Archive::new();
    let rows = [("a", "debug", times(TODAY - 4, 20)), ("a", "x", times(TODAY - 4, 20))];
    archive.flush(&rows, NOW_MS - 2 * DAY_MS).await;
    let deleted = delete(&archive.catalog, &deletion(), 10, Consent::Given, NOW_MS).await;
    let (live, store) = (archive.catalog.live().await.unwrap(), archive.catalog.store());
    let jobs = plan(store, &live, &PlanSettings::default().at_once(), &[], NOW_MS).await;
    let scratch = tempfile::tempdir().unwrap();
    let merger = Merger::new(Arc::clone(store), MergerSettings::new(scratch.path().to_owned()));
    let made = merger.run(&jobs.unwrap()[0]).await.unwrap();
    assert_eq!(made.deleted, 20);
    (archive, deleted.unwrap().0.id, made)
}

#[tokio::test]
async fn a_result_is_dropped_whose_deletion_is_taken_back_while_it_lands() {
    let (archive, mask, made) = half_deleted().await;
    let inputs = archive.live().await;
    let archive =
        archive.with_rival(async move |catalog: Catalog| drop(undelete(&catalog, &mask, NOW_MS).await.unwrap()));
    let landed = commit_results(&archive.catalog, &[made], NOW_MS).await.unwrap();
    assert_eq!((landed.landed, landed.dropped, archive.live().await), (0, 1, inputs));
}

#[tokio::test]
async fn a_result_is_dropped_whose_rows_are_locked_while_it_lands() {
    let (archive, _, made) = half_deleted().await;
    let inputs = archive.live().await;
    let archive = archive.with_rival(async |catalog: Catalog| drop(lock_day(&catalog, TODAY - 4).await));
    let landed = commit_results(&archive.catalog, &[made], NOW_MS).await.unwrap();
    assert_eq!((landed.landed, landed.dropped, archive.live().await), (0, 1, inputs));
}
