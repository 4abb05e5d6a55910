//! Results land together or not at all each: what was lifted, locked or lost meanwhile stops one of them and no other.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::{TenantId, TimeRange, parse_selector};

use super::*;
use crate::deletion::{DeleteRequest, delete, undelete};
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::guard::Consent;
use crate::locks::{LockRequest, lock};
use crate::merger::{Merger, MergerSettings};
use crate::plan::{PlanSettings, plan};

/// Two days of flushes, old enough to be merged: a job for each.
async fn two_days() -> Archive {
    let archive = Archive::new();
    for day in [TODAY - 4, TODAY - 3] {
        let rows = [("a", "debug", times(day, 60)), ("a", "x", times(day, 60))];
        archive.flush(&rows, NOW_MS - 2 * DAY_MS).await;
    }
    archive
}

/// Runs everything that is due, and makes nothing of it live.
async fn results(archive: &Archive) -> Vec<JobResult> {
    let scratch = tempfile::tempdir().unwrap();
    let (live, store) = (archive.catalog.live().await.unwrap(), archive.catalog.store());
    let jobs = plan(store, &live, &PlanSettings::default().at_once(), &[], NOW_MS)
        .await
        .unwrap();
    let merger = Merger::new(Arc::clone(store), MergerSettings::new(scratch.path().to_owned()));
    let mut results = Vec::new();
    for job in &jobs {
        results.push(merger.run(job).await.unwrap());
    }
    results
}

/// Deletes one of the two series for ever; the id of the mask.
async fn delete_debug(archive: &Archive) -> String {
    let request = DeleteRequest {
        tenant: TenantId::parse("a").unwrap(),
        matchers: parse_selector("{job=\"debug\"}").unwrap(),
        range: TimeRange::ALL,
        reason: "asked for".to_owned(),
        who: "ops".to_owned(),
    };
    let deleted = delete(&archive.catalog, &request, 10, Consent::Given, NOW_MS).await;
    deleted.unwrap().0.id
}

/// Rows that are live.
async fn rows(archive: &Archive) -> u64 {
    let live = archive.catalog.live().await.unwrap();
    live.parts().map(|part| part.samples()).sum()
}

#[tokio::test]
async fn a_result_under_a_mask_that_was_lifted_meanwhile_is_dropped() {
    let archive = two_days().await;
    let mask = delete_debug(&archive).await;
    let made = results(&archive).await;
    assert_eq!(made.iter().map(|result| result.deleted).collect::<Vec<_>>(), [60, 60]);
    undelete(&archive.catalog, &mask, NOW_MS).await.unwrap();
    let landed = commit_results(&archive.catalog, &made, NOW_MS).await.unwrap();
    assert_eq!((landed.landed, landed.dropped, landed.refused), (0, 2, vec![]));
    assert_eq!(rows(&archive).await, 240, "what was taken back is there");
    // What is merged anew holds all of it.
    let landed = commit_results(&archive.catalog, &results(&archive).await, NOW_MS).await;
    assert_eq!(landed.unwrap().landed, 2);
    assert_eq!(rows(&archive).await, 240);
}

#[tokio::test]
async fn a_result_without_rows_that_a_lock_keeps_since_is_dropped() {
    let archive = two_days().await;
    delete_debug(&archive).await;
    let made = results(&archive).await;
    let day = i64::from(TODAY - 4) * DAY_MS;
    let request = LockRequest {
        tenant: None,
        range: TimeRange {
            start: day,
            end: day + DAY_MS,
        },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    };
    lock(&archive.catalog, &request, NOW_MS).await.unwrap();
    let landed = commit_results(&archive.catalog, &made, NOW_MS).await.unwrap();
    assert_eq!((landed.landed, landed.dropped), (1, 1), "the other day is not locked");
    assert_eq!(rows(&archive).await, 120 + 60);
}

#[tokio::test]
async fn a_result_that_is_refused_does_not_stop_the_others() {
    let archive = two_days().await;
    let mut made = results(&archive).await;
    // The same again, of the first day, from a run that stalled until its files were collected.
    let stalled = results(&archive).await.remove(0);
    for file in stalled.outputs.iter().flat_map(|part| &part.files) {
        std::fs::remove_file(archive.path().join(&file.path)).unwrap();
    }
    made.insert(0, stalled);
    let landed = commit_results(&archive.catalog, &made, NOW_MS).await.unwrap();
    assert_eq!((landed.landed, landed.dropped), (2, 0));
    assert_eq!(landed.refused.len(), 1);
    assert!(landed.refused[0].contains("is not there"), "{}", landed.refused[0]);
    let live = archive.catalog.live().await.unwrap();
    assert_eq!(landed.root.unwrap().n, live.root_n());
    assert_eq!((live.parts().count(), rows(&archive).await), (2, 240));
    // Alone it is refused as well, and changes nothing.
    let again = commit_results(&archive.catalog, &made[..1], NOW_MS).await.unwrap();
    assert_eq!((again.landed, again.dropped), (0, 1), "its inputs are live no more");
    assert_eq!(archive.catalog.live().await.unwrap().root_n(), live.root_n());
}
