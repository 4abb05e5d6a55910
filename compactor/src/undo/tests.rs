//! Undo by number and by time, what it refuses, and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_archive::{CollectSettings, collect};

use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::guard::Consent;
use crate::retention::{Retention, RetentionMetrics, expire};

async fn expire_all(archive: &Archive, now_ms: i64) -> u64 {
    let yaml = "retention: {keep: 1d}";
    let config = emberkeep_service::config::FileConfig::parse(yaml, "x").unwrap();
    let retention = Retention::from_config(&config.retention).unwrap();
    let metrics = RetentionMetrics::default();
    let expired = expire(&archive.catalog, &retention, &metrics, Consent::Given, now_ms)
        .await
        .unwrap();
    expired.root.unwrap()
}

#[tokio::test]
async fn removals_come_back_and_receipts_stay() {
    let archive = Archive::new();
    let day = TODAY - 9;
    let old = archive
        .merged("a", day, &[("x", times(day, 5))], &[], NOW_MS - 8 * DAY_MS)
        .await;
    let removed_in = expire_all(&archive, NOW_MS).await;
    let new = archive.flush(&[("a", "x", times(TODAY, 5))], NOW_MS).await;
    assert_eq!(archive.live().await, [new]);
    let target = Target::Root(removed_in - 1);
    let looked = preview(&archive.catalog, target).await.unwrap();
    assert_eq!(
        (looked.root, looked.undone.lists.len(), looked.undone.files),
        (None, 1, 2)
    );
    assert_eq!(archive.live().await, [new], "a look changes nothing");
    let undone = undo(&archive.catalog, target, NOW_MS).await.unwrap();
    assert!(undone.root.is_some() && undone.undone == looked.undone);
    assert_eq!(archive.live().await, [old, new]);
    let again = undo(&archive.catalog, target, NOW_MS).await.unwrap();
    assert!(again.root.is_none() && again.undone.is_empty());
}

#[tokio::test]
async fn a_moment_names_the_root_that_was_the_newest_then() {
    let archive = Archive::new();
    let day = TODAY - 9;
    let at = NOW_MS - 8 * DAY_MS;
    let old = archive.merged("a", day, &[("x", times(day, 5))], &[], at).await;
    expire_all(&archive, NOW_MS).await;
    // The store's clock shall have been that of the committers.
    for (n, created_at) in [(1, at), (2, NOW_MS)] {
        let root = std::fs::File::open(archive.path().join(emberkeep_archive::names::root(n).as_ref())).unwrap();
        let created_at = std::time::Duration::from_millis(u64::try_from(created_at).unwrap());
        root.set_modified(std::time::SystemTime::UNIX_EPOCH + created_at)
            .unwrap();
    }
    let named = async |moment| root_of(&archive.catalog, Target::Time(moment)).await.ok();
    assert_eq!(
        (named(at - 1).await, named(at).await, named(NOW_MS - 1).await),
        (None, Some(1), Some(1))
    );
    assert_eq!(named(NOW_MS).await, Some(2));
    let undone = undo(&archive.catalog, Target::Time(NOW_MS - 1), NOW_MS).await.unwrap();
    assert_eq!((undone.target, archive.live().await), (1, vec![old]));
}

#[tokio::test]
async fn what_is_deleted_or_never_was_is_refused() {
    let archive = Archive::new();
    let day = TODAY - 9;
    archive
        .merged("a", day, &[("x", times(day, 5))], &[], NOW_MS - 8 * DAY_MS)
        .await;
    let removed_in = expire_all(&archive, NOW_MS).await;
    let settings = CollectSettings::default();
    let collected = collect(&archive.catalog, &settings, NOW_MS + 8 * DAY_MS).await.unwrap();
    assert_eq!(collected.files, 2);
    let refused = async |target| undo(&archive.catalog, target, NOW_MS).await.unwrap_err().to_string();
    assert!(refused(Target::Root(removed_in - 1)).await.contains("are deleted"));
    assert!(refused(Target::Root(999)).await.contains("no root 999"));
}
