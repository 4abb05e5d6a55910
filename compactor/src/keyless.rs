//! A key that is missing or wrong, in what upkeep does: an error that names it, and never damage.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, Change, Keys, Rebuild, Removal, Ulid, apply, fresh_nonce, names, reseal, rollback,
};
use emberkeep_service::clock::ManualClock;

use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, keys, times};
use crate::scrub::{ScrubMetrics, scrub};
use crate::{CompactorError, Merger, MergerSettings, Upkeep, UpkeepMetrics, UpkeepSettings};

const BOTH: [&str; 2] = ["k-1", "k-2"];

/// A day whose parts lie under `k-1`, and one whose parts lie under `k-2`, as the catalog does. Each is to be merged.
async fn mixed() -> (Archive, [Vec<Ulid>; 2]) {
    let mut archive = Archive::new();
    let mut parts = [Vec::new(), Vec::new()];
    for (i, day) in [TODAY - 3, TODAY - 2].into_iter().enumerate() {
        archive = archive.with_keys(keys(Some(BOTH[i]), &BOTH));
        for job in ["x", "y"] {
            let rows = [(job, times(day, 5))];
            parts[i].push(archive.merged("a", day, &rows, &[], NOW_MS - DAY_MS).await);
        }
    }
    let manifests = std::fs::read_dir(archive.path().join("_archive/manifests")).unwrap();
    for manifest in manifests {
        let name = manifest.unwrap().file_name().into_string().unwrap();
        let store = archive.catalog.store();
        reseal(&**store, &names::manifest(&name)).await.unwrap();
    }
    (archive, parts)
}

/// Keys with which `k-2` is read and `k-1` is not, and what is said of that.
fn lacking() -> [(Keys, &'static str); 2] {
    [
        (keys(Some("k-2"), &["k-2"]), "key `k-1` is needed"),
        (keys(Some("k-2"), &["k-2", "k-1=other"]), "key `k-1` is not the one"),
    ]
}

async fn quarantined(archive: &Archive) -> usize {
    archive.catalog.live().await.unwrap().quarantined().len()
}

#[tokio::test]
async fn a_merge_leaves_the_part_alone_and_the_others_go_on() {
    for (keys, _) in lacking() {
        let (archive, [old, new]) = mixed().await;
        let archive = archive.with_keys(keys);
        let store = || Arc::clone(archive.catalog.store());
        let scratch = archive.path().with_file_name("scratch");
        let upkeep = Upkeep::new(
            store(),
            Merger::new(store(), MergerSettings::new(scratch)),
            UpkeepSettings::default(),
            Arc::new(ManualClock::new(NOW_MS)),
            UpkeepMetrics::default(),
        );
        let pass = upkeep.pass().await.unwrap();
        assert!(pass.merged == 1 && pass.failed > 0, "{pass:?}");
        let live = archive.live().await;
        assert!(old.iter().all(|part| live.contains(part)) && new.iter().all(|part| !live.contains(part)));
        assert_eq!(quarantined(&archive).await, 0);
    }
}

#[tokio::test]
async fn a_scrub_finds_no_damage_and_says_which_key_is_wanted() {
    for (keys, said) in lacking() {
        let (archive, [old, new]) = mixed().await;
        let archive = archive.with_keys(keys);
        let refused = scrub(&archive.catalog, u64::MAX, &ScrubMetrics::default(), NOW_MS)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
        assert_eq!(quarantined(&archive).await, 0);
        let state = emberkeep_archive::ScrubState::load(&archive.catalog).await.unwrap();
        let is_verified = |part: &Ulid| state.verified.contains_key(&part.to_string());
        assert!(new.iter().all(is_verified) && !old.iter().any(is_verified));
    }
}

#[tokio::test]
async fn a_rebuild_does_not_begin() {
    for (keys, said) in lacking() {
        let archive = mixed().await.0.with_keys(keys);
        let refused = Rebuild::survey(&archive.catalog).await.unwrap_err();
        assert!(
            matches!(refused, ArchiveError::Key { .. }) && refused.to_string().contains(said),
            "{refused}"
        );
    }
    // Nor when the roots themselves are under the missing key: they are not lost.
    let archive = Archive::new().with_keys(keys(Some("k-1"), &["k-1"]));
    archive
        .merged("a", TODAY - 3, &[("x", times(TODAY - 3, 5))], &[], NOW_MS)
        .await;
    let archive = archive.with_keys(keys(Some("k-2"), &["k-2"]));
    let refused = Rebuild::survey(&archive.catalog).await.unwrap_err();
    assert!(refused.to_string().contains("key `k-1` is needed"), "{refused}");
}

#[tokio::test]
async fn a_rollback_changes_nothing() {
    for (keys, said) in lacking() {
        let (archive, [old, new]) = mixed().await;
        let both = |write| crate::fixture::keys(Some(write), &BOTH);
        let mut archive = archive.with_keys(both("k-1"));
        let before = archive.catalog.live().await.unwrap().root_n();
        for (write, part) in [("k-1", old[0]), ("k-2", new[0])] {
            archive = archive.with_keys(both(write));
            apply(&archive.catalog, &fresh_nonce(), NOW_MS, |_| {
                let mut change = Change::default();
                change.removing(Removal::Expired, part);
                Ok::<_, ArchiveError>(Some(change))
            })
            .await
            .unwrap();
        }
        let manifests = std::fs::read_dir(archive.path().join("_archive/manifests")).unwrap();
        for manifest in manifests {
            let name = manifest.unwrap().file_name().into_string().unwrap();
            reseal(&**archive.catalog.store(), &names::manifest(&name))
                .await
                .unwrap();
        }
        let archive = archive.with_keys(keys);
        let refused = rollback(&archive.catalog, before, &fresh_nonce(), NOW_MS)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ArchiveError::Key { .. }) && refused.to_string().contains(said),
            "{refused}"
        );
        assert_eq!(archive.live().await.len(), 2);
    }
}

#[tokio::test]
async fn without_the_key_of_the_root_nothing_is_done() {
    let archive = Archive::new().with_keys(keys(Some("k-1"), &["k-1"]));
    archive.flush(&[("a", "x", times(TODAY, 5))], NOW_MS).await;
    let mut archive = archive;
    for lacking in [Keys::default(), keys(None, &["k-2"])] {
        archive = archive.with_keys(lacking);
        let refused = archive.catalog.live().await.unwrap_err();
        assert!(refused.to_string().contains("key `k-1` is needed"), "{refused}");
        // Time does not bring a key, so nobody is told to wait for it.
        assert!(!CompactorError::from(refused).is_transient());
    }
}
