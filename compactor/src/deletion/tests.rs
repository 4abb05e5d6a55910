//! Deletion: what it is told to take, what stops it, and taking it back.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::parse_selector;

use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::locks::{LockRequest, lock};

fn request(selector: &str, range: TimeRange) -> DeleteRequest {
    DeleteRequest {
        tenant: TenantId::parse("a").unwrap(),
        matchers: parse_selector(selector).unwrap(),
        range,
        reason: "asked for by the customer".to_owned(),
        who: "ops".to_owned(),
    }
}

/// Two days of two series with 100 rows each, one merged and one flushed.
async fn two_days() -> Archive {
    let archive = Archive::new();
    let day = TODAY - 5;
    archive
        .merged(
            "a",
            day,
            &[("debug", times(day, 100)), ("x", times(day, 100))],
            &[],
            NOW_MS - 4 * DAY_MS,
        )
        .await;
    let next = day + 1;
    let rows = [
        ("a", "debug", times(next, 100)),
        ("a", "x", times(next, 100)),
        ("b", "debug", times(next, 100)),
    ];
    archive.flush(&rows, NOW_MS - 3 * DAY_MS).await;
    archive
}

#[tokio::test]
async fn the_extent_is_what_the_series_tables_say() {
    let archive = two_days().await;
    let all = extent(&archive.catalog, &request("{job=\"debug\"}", TimeRange::ALL))
        .await
        .unwrap();
    assert_eq!((all.parts, all.series, all.rows), (2, 2, 200));
    assert!(all.bytes > 0 && all.bytes < all.of);
    let noon = times(TODAY - 5, 1)[0];
    let half = TimeRange {
        start: noon,
        end: noon + 50 * 60_000,
    };
    let half = extent(&archive.catalog, &request("{job=\"debug\"}", half))
        .await
        .unwrap();
    assert_eq!((half.parts, half.series), (1, 1));
    assert!((49..=52).contains(&half.rows), "{half:?}");
    let nothing = extent(&archive.catalog, &request("{job=\"none\"}", TimeRange::ALL))
        .await
        .unwrap();
    assert_eq!((nothing.parts, nothing.rows, nothing.bytes), (0, 0, 0));
    let empty = TimeRange { start: 5, end: 5 };
    assert!(extent(&archive.catalog, &request("up", empty)).await.is_err());
}

#[tokio::test]
async fn a_deletion_holds_from_its_root_on_and_is_taken_back() {
    let archive = two_days().await;
    let request = request("{job=\"debug\"}", TimeRange::ALL);
    let refused = delete(&archive.catalog, &request, 10, Consent::Missing, NOW_MS)
        .await
        .unwrap_err();
    assert!(refused.is_guard() && archive.catalog.live().await.unwrap().masks().is_empty());
    let (mask, _) = delete(&archive.catalog, &request, 10, Consent::Given, NOW_MS)
        .await
        .unwrap();
    let live = archive.catalog.live().await.unwrap();
    assert_eq!(
        (live.masks(), mask.number),
        (std::slice::from_ref(&mask), live.root_n())
    );
    assert_eq!(
        (mask.who.as_str(), mask.reason.as_str(), mask.created_at),
        ("ops", "asked for by the customer", NOW_MS)
    );
    assert_eq!(live.parts().filter(|part| mask.concerns(part)).count(), 2);
    let object = archive.path().join("_archive/masks").join(&mask.id);
    assert!(object.exists());
    assert!(matches!(
        undelete(&archive.catalog, "x", NOW_MS).await,
        Err(UpkeepError::Unknown { .. })
    ));
    let undeleted = undelete(&archive.catalog, &mask.id, NOW_MS).await.unwrap();
    assert_eq!((undeleted.mask, undeleted.rewritten_since), (mask, None));
    assert!(archive.catalog.live().await.unwrap().masks().is_empty() && !object.exists());
}

#[tokio::test]
async fn what_was_rewritten_comes_back_by_rollback_only() {
    let archive = two_days().await;
    let request = request("{job=\"debug\"}", TimeRange::ALL);
    let (mask, _) = delete(&archive.catalog, &request, 10, Consent::Given, NOW_MS)
        .await
        .unwrap();
    let nonce = fresh_nonce();
    let rewritten = apply(&archive.catalog, &nonce, NOW_MS, |live| {
        let mut change = Change::default();
        change.removing(Removal::Rewritten, live.parts().next().unwrap().ulid);
        Ok::<_, UpkeepError>(Some(change))
    });
    rewritten.await.unwrap();
    let undeleted = undelete(&archive.catalog, &mask.id, NOW_MS).await.unwrap();
    assert_eq!(undeleted.rewritten_since, Some(mask.number - 1));
    let before = archive.live().await.len();
    let target = crate::undo::Target::Root(mask.number - 1);
    crate::undo::undo(&archive.catalog, target, NOW_MS).await.unwrap();
    assert_eq!(archive.live().await.len(), before + 1);
}

#[tokio::test]
async fn a_lock_stops_it_and_is_named() {
    let archive = two_days().await;
    let start = i64::from(TODAY - 5) * DAY_MS;
    let range = TimeRange {
        start,
        end: start + DAY_MS,
    };
    let locked = LockRequest {
        tenant: None,
        range,
        reason: "lawsuit".to_owned(),
        who: "legal".to_owned(),
    };
    let id = lock(&archive.catalog, &locked, NOW_MS).await.unwrap().lock.id;
    for overlapping in [
        TimeRange::ALL,
        range,
        TimeRange {
            start: range.end - 1,
            end: range.end + 10,
        },
    ] {
        let request = request("up", overlapping);
        let refused = delete(&archive.catalog, &request, 100, Consent::Given, NOW_MS)
            .await
            .unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(&id) && text.contains("lawsuit"), "{text}");
    }
    let after = TimeRange {
        start: range.end,
        end: i64::MAX,
    };
    assert!(
        delete(&archive.catalog, &request("up", after), 100, Consent::Given, NOW_MS)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_it_hid_is_recorded_and_what_is_left_is_told() {
    let archive = two_days().await;
    let catalog = &archive.catalog;
    let noon = times(TODAY - 5, 1)[0];
    let half = TimeRange {
        start: noon,
        end: noon + 50 * 60_000,
    };
    let before = catalog.refresh().await.unwrap();
    let (mask, _) = delete(catalog, &request("{job=\"debug\"}", half), 100, Consent::Given, NOW_MS)
        .await
        .unwrap();
    let recorded = record(catalog, &before, &mask).await.unwrap();
    let [hidden] = &recorded.parts[..] else {
        panic!("one part has such rows")
    };
    assert_eq!((hidden.rows, hidden.histograms.as_str()), (50, "0000000000000000"));
    // The digest is the sum over exactly those rows.
    let mut expected = Digests::default();
    let mut runs = SeriesRuns::default();
    for timestamp in times(TODAY - 5, 50) {
        let (value, start_timestamp) = (1.0, 0);
        runs.samples.push(emberkeep_model::Sample {
            timestamp,
            value,
            start_timestamp,
        });
    }
    expected.add(&runs);
    let sum = expected
        .samples
        .iter()
        .fold(0_u64, |sum, (_, digest)| sum.wrapping_add(digest));
    assert_eq!(hidden.samples, format!("{sum:016x}"));
    assert_eq!(DeletionRecord::load(catalog, &mask.id).await.unwrap(), Some(recorded));
    assert_eq!(DeletionRecord::load(catalog, "none").await.unwrap(), None);

    // The day is written again without the rows.
    let day = TODAY - 5;
    let source = catalog
        .live()
        .await
        .unwrap()
        .parts()
        .find(|part| part.day == Some(day))
        .unwrap()
        .ulid;
    let rest = [("debug", times(day, 100)[50..].to_vec()), ("x", times(day, 100))];
    archive.merged("a", day, &rest, &[source], NOW_MS).await;
    let view = catalog.refresh().await.unwrap();
    assert_eq!(hidden_rows(catalog, &view, &mask).await.unwrap(), []);
}
