//! The quota takes the oldest first, looks ahead, and is stopped by locks, age and the guard.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_archive::Ulid;
use emberkeep_model::TimeRange;

use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::locks::{LockRequest, lock};

/// Parts of equal size, of the days 20 to 11 days ago; none is so young that the forecast takes it for growth.
async fn ten_days() -> (Archive, Vec<Ulid>, u64) {
    let archive = Archive::new();
    let mut parts = Vec::new();
    for age in (11..=20).rev() {
        let day = TODAY - age;
        parts.push(
            archive
                .merged(
                    "a",
                    day,
                    &[("x", times(day, 50))],
                    &[],
                    NOW_MS - i64::from(age - 1) * DAY_MS,
                )
                .await,
        );
    }
    let bytes = archive.catalog.live().await.unwrap().bytes();
    (archive, parts, bytes)
}

async fn run(archive: &Archive, quota: u64, consent: Consent) -> Result<Freed, UpkeepError> {
    let metrics = QuotaMetrics::default();
    enforce(
        &archive.catalog,
        quota,
        &Retention::default(),
        &metrics,
        consent,
        NOW_MS,
    )
    .await
}

#[tokio::test]
async fn the_oldest_go_first_and_no_more_than_needed() {
    let (archive, parts, bytes) = ten_days().await;
    assert_eq!(run(&archive, bytes, Consent::Missing).await.unwrap(), Freed::default());
    let freed = run(&archive, bytes * 3 / 4, Consent::Given).await.unwrap();
    assert_eq!((freed.parts, freed.short), (3, 0));
    assert_eq!(archive.live().await, parts[3..]);
    // What it removed still lies there, and is not removed twice.
    assert_eq!(
        run(&archive, bytes * 3 / 4, Consent::Given).await.unwrap(),
        Freed::default()
    );
    let live = archive.catalog.live().await.unwrap();
    let ahead = forecast(&live, 0, &Retention::default(), NOW_MS);
    assert_eq!((ahead.live + ahead.condemned, ahead.ahead), (bytes, live.bytes()));
}

#[tokio::test]
async fn more_than_a_tenth_waits_for_a_person() {
    let (archive, parts, bytes) = ten_days().await;
    assert!(run(&archive, bytes / 2, Consent::Missing).await.unwrap_err().is_guard());
    assert_eq!(archive.live().await, parts);
}

#[tokio::test]
async fn locks_and_young_data_stay_and_what_is_short_is_told() {
    let (archive, parts, bytes) = ten_days().await;
    let young = archive.flush(&[("a", "x", times(TODAY, 50))], NOW_MS).await;
    let request = LockRequest {
        tenant: None,
        range: TimeRange {
            start: i64::from(TODAY - 20) * DAY_MS,
            end: i64::from(TODAY - 18) * DAY_MS,
        },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    };
    lock(&archive.catalog, &request, NOW_MS).await.unwrap();
    let freed = run(&archive, 1, Consent::Given).await.unwrap();
    let mut kept = vec![parts[0], parts[1], young];
    kept.sort();
    assert_eq!((freed.parts, archive.live().await), (8, kept));
    assert!(freed.short > bytes / 5, "{freed:?}");
}

#[tokio::test]
async fn what_will_come_until_the_window_ends_is_reckoned_with() {
    let (archive, _, bytes) = ten_days().await;
    let recent = archive
        .flush(&[("a", "x", times(TODAY - 2, 50))], NOW_MS - DAY_MS)
        .await;
    let live = archive.catalog.live().await.unwrap();
    let growth = live.by_ulid()[&recent].bytes();
    let ahead = forecast(&live, bytes + growth, &Retention::default(), NOW_MS);
    assert_eq!(
        (ahead.live, ahead.ahead, ahead.excess),
        (bytes + growth, bytes + 2 * growth, growth)
    );
}
