//! Locks hold, are told from what is not there, and are released.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::parse_selector;

use super::*;
use crate::deletion::{DeleteRequest, delete};
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::guard::Consent;

fn request(tenant: Option<&str>, start: i64, end: i64) -> LockRequest {
    LockRequest {
        tenant: tenant.map(|tenant| TenantId::parse(tenant).unwrap()),
        range: TimeRange { start, end },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    }
}

#[tokio::test]
async fn a_lock_holds_until_it_is_released() {
    let archive = Archive::new();
    let id = lock(&archive.catalog, &request(None, 0, 10), NOW_MS)
        .await
        .unwrap()
        .lock
        .id;
    let live = archive.catalog.live().await.unwrap();
    assert_eq!((live.locks().len(), &live.locks()[0].id), (1, &id));
    let object = archive.path().join("_archive/locks").join(&id);
    assert!(object.exists());
    assert!(matches!(
        unlock(&archive.catalog, "nobody", NOW_MS).await,
        Err(UpkeepError::Unknown { .. })
    ));
    assert_eq!(unlock(&archive.catalog, &id, NOW_MS).await.unwrap().id, id);
    assert!(archive.catalog.live().await.unwrap().locks().is_empty());
    assert!(!object.exists(), "a rebuilt catalog must not lock it again");
    assert!(lock(&archive.catalog, &request(None, 10, 10), NOW_MS).await.is_err());
}

#[tokio::test]
async fn a_lock_says_what_it_comes_too_late_for() {
    let archive = Archive::new();
    let day = TODAY - 3;
    let part = archive
        .merged("a", day, &[("x", times(day, 5))], &[], NOW_MS - DAY_MS)
        .await;
    let deletion = DeleteRequest {
        tenant: TenantId::parse("a").unwrap(),
        matchers: parse_selector("up").unwrap(),
        range: TimeRange::ALL,
        reason: "asked for".to_owned(),
        who: "ops".to_owned(),
    };
    let (mask, _) = delete(&archive.catalog, &deletion, 10, Consent::Given, NOW_MS)
        .await
        .unwrap();
    let whole_day = request(Some("a"), i64::from(day) * DAY_MS, i64::from(day + 1) * DAY_MS);
    let locked = lock(&archive.catalog, &whole_day, NOW_MS).await.unwrap();
    assert_eq!(locked.masks, [mask]);
    let live = archive.catalog.live().await.unwrap();
    assert!(keeps(live.locks(), &live.by_ulid()[&part]));
    assert!(
        lock(&archive.catalog, &request(Some("b"), 0, 10), NOW_MS)
            .await
            .unwrap()
            .masks
            .is_empty()
    );
}
